"""What stands in the way of a move from or to SQLite: named, so that a person decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.sqlite.sql import body

_TABLE_SQL: Final = "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"


def unfit(db: Connection) -> list[str]:
    """See ``dialect.Dialect``. UTF-16 sorts text in another order than UTF-8, so ranges of keys would differ."""
    encoding = db.exec_driver_sql("PRAGMA main.encoding").scalar()
    return [] if encoding == "UTF-8" else [f"the database stores text as {encoding}, not as UTF-8"]


def unusable(names: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``."""
    folded = [name.lower() for name in names]
    alike = sorted(name for name in names if folded.count(name.lower()) > 1)
    return [f"columns {', '.join(alike)}: SQLite does not tell upper from lower case"] if alike else []


def rights_to_read(db: Connection, table: TableName) -> list[str]:
    """See ``dialect.Dialect``. Who can open the file can read it."""
    del db, table
    return []


def rights_to_replace(db: Connection, target: TableName, existing: Table | None) -> list[str]:
    """See ``dialect.Dialect``. Who can write the ledger can write the file."""
    del db, target, existing
    return []


def refusals(db: Connection, target: TableName) -> list[str]:
    """See ``dialect.Dialect``. Views, triggers and foreign keys name their tables, so they follow the new one."""
    made_by = db.exec_driver_sql(_TABLE_SQL, (target.name,)).scalars()
    return [
        f"the statement that made {target} cannot be read: give it a plain name" for sql in made_by if not body(sql)
    ]
