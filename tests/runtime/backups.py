"""Backups of a store that is at work, as a DBA takes them, opened again beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from saga_engine.store.connect import open_store
from saga_engine.store.prepare import prepare
from saga_engine.store.schema import metadata


def backup(url: str, fresh_url: Callable[[str, str], str], name: str = "restored") -> str:
    """The URL of a copy of the store as it is at this moment: SQLite's online backup, or a dump of one snapshot."""
    if url.startswith("sqlite"):
        copy = fresh_url("sqlite", name)
        with sqlite3.connect(Path(str(sa.make_url(url).database))) as source:
            target = sqlite3.connect(str(sa.make_url(copy).database))
            source.backup(target)
            target.close()
        source.close()
        return copy
    copy = fresh_url("postgresql", name)
    store = open_store(copy)
    prepare(store)
    source_engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="REPEATABLE READ")
    with source_engine.connect() as old, store.write() as new:
        new.execute(sa.delete(metadata.tables["saga_store"]))
        for table in metadata.sorted_tables:
            rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
            if rows:
                new.execute(sa.insert(table), rows)
        for table in metadata.sorted_tables:
            _go_on_counting(new, table)
    store.close()
    return copy


def _go_on_counting(db: sa.Connection, table: sa.Table) -> None:
    """What numbers rows goes on behind those of the copy, as after pg_restore."""
    for column in table.primary_key:
        named = {"table": table.name, "column": column.name}
        sequence = db.execute(sa.text("SELECT pg_get_serial_sequence(:table, :column)"), named).scalar_one()
        newest = db.execute(sa.select(sa.func.max(column))).scalar_one()
        if sequence is not None and newest is not None:
            db.execute(sa.select(sa.func.setval(sequence, newest)))
