"""What must be the same again in SQLite after a rollback (SEMANTICS, "The target is as before")."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Carried, Fingerprint
from saga_engine.actions.copy.sqlite import catalog
from saga_engine.actions.copy.sqlite.functions import register
from saga_engine.actions.copy.sqlite.rows import SqliteRows

_OBJECTS: Final = (
    "SELECT type, name, sql, rootpage FROM main.sqlite_master WHERE tbl_name = ? COLLATE NOCASE ORDER BY type, name"
)


def fingerprint(db: Connection, table: TableName) -> Fingerprint:
    """See ``dialect.Dialect``. The identity is the root pages; with auto_vacuum, which moves them, the rows' sum."""
    objects = db.exec_driver_sql(_OBJECTS, (table.name,)).all()
    if not objects:
        return Fingerprint(exists=False)
    shape = sha256(json.dumps([[row.type, row.name, row.sql] for row in objects]).encode()).hexdigest()
    if db.exec_driver_sql("PRAGMA main.auto_vacuum").scalar() != 0:
        return Fingerprint(exists=True, identity=_contents(db, table), shape=shape)
    page = next((str(row.rootpage) for row in objects if row.type == "table"), "")
    identity = json.dumps([[row.name, row.rootpage] for row in objects])
    return Fingerprint(exists=True, table=page, identity=identity, shape=shape)


def _contents(db: Connection, table: TableName) -> str:
    found = catalog.describe(db, table)
    assert found is not None
    register(db)
    columns = [Carried(name=c.name, type=c.type, form="stored", binary=c.binary) for c in found.columns]
    rows, total = SqliteRows(table, columns, found.key).checksum(db, None, None)
    return f"{rows} rows, {total}"
