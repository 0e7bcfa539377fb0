"""Many runs at once: a real run, brought where it is by real decisions, is copied by INSERT … SELECT.

A copy differs from its run in its id alone: chains of hashes are not recomputed, so histories of copies do not verify.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from saga_engine.runtime import ids
from saga_engine.store import schema as s
from saga_engine.store.schema.runs import NUMBERS

PIECE: Final = 20_000
"""Runs that are copied at once."""
TABLES: Final = (s.runs, s.tasks, s.results, s.undo, s.effects, s.inbox, s.approvals, s.journal)
_made: Final = sa.table(
    "bench_ids", sa.column("number", sa.Integer), sa.column("id", sa.Text), sa.column("tag", sa.Text)
)


def of(table: sa.Table, run: str) -> sa.ColumnElement[bool]:
    """The rows of that run."""
    return table.c.run == s.number_of(run) if "run" in table.c else table.c.run_id == run


@contextmanager
def copying(url: str) -> Iterator[sa.Connection]:
    """A connection that commits by itself and checks nothing: what it copies was checked. Statistics are renewed."""
    engine = sa.create_engine(sa.make_url(url), poolclass=sa.NullPool)
    if engine.dialect.name == "sqlite":
        engine = sa.create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(sa.make_url(url).database or ""), poolclass=sa.NullPool
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        if db.dialect.name == "sqlite":
            for setting in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -500000"):
                db.exec_driver_sql(f"PRAGMA {setting}")
        else:
            db.exec_driver_sql("SET session_replication_role = replica")
            db.exec_driver_sql("SET synchronous_commit = off")
        yield db
        if db.dialect.name == "postgresql":  # what autovacuum does, at once; nobody does it for a SQLite store
            db.exec_driver_sql("VACUUM ANALYZE")
            db.exec_driver_sql("CHECKPOINT")


def copy(db: sa.Connection, run: str, times: int) -> None:
    """Copy a run and all that belongs to it."""
    db.exec_driver_sql("CREATE TEMPORARY TABLE bench_ids (number BIGINT PRIMARY KEY, id TEXT, tag TEXT)")
    copies = [_copying(db, table, run) for table in TABLES]
    first = db.execute(sa.select(sa.func.max(s.runs.c.number))).scalar_one() + 1
    for begun in range(first, first + times, PIECE):
        rows = [_named(number, ids.new_run_id()) for number in range(begun, min(begun + PIECE, first + times))]
        db.execute(sa.insert(_made), rows)
        for statement in copies:
            db.execute(statement)
        db.execute(sa.delete(_made))
    db.exec_driver_sql("DROP TABLE bench_ids")
    if db.dialect.name == "postgresql":
        db.execute(sa.select(sa.func.setval(NUMBERS.name, first + times)))


def _named(number: int, run: str) -> dict[str, Any]:
    return {"number": number, "id": run, "tag": ids.tag_of(run)}


def _copying(db: sa.Connection, table: sa.Table, run: str) -> sa.Insert:
    """All rows of the run, for each new id."""
    mine = s.runs.c.id == run if table is s.runs else of(table, run)
    rows = [dict(row) for row in db.execute(sa.select(table).where(mine)).mappings()]
    names = {name for row in rows for name, value in row.items() if isinstance(value, str) and run in value}
    new: list[sa.ColumnElement[Any]] = [
        _made.c.tag if column is s.runs.c.tag
        else _made.c.number if column is s.runs.c.number or column.name == "run"
        else sa.func.replace(column, run, _made.c.id) if column.name in names
        else column
        for column in table.c
    ]  # fmt: skip
    every = sa.select(*new).select_from(table.join(_made, sa.true())).where(mine)
    return sa.insert(table).from_select(list(table.c), every)
