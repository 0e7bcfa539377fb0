"""What SQLite says of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row

from saga_engine.actions.copy.catalog import Column, Index, Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.sqlite.sql import index_definition, is_strict
from saga_engine.errors import CannotMove

ROWID_TYPE: Final = "INTEGER"
BUILT_IN_COLLATIONS: Final = {"BINARY", "NOCASE", "RTRIM"}
GENERATED: Final = (2, 3)
"""``hidden`` in table_xinfo of virtual and stored generated columns."""
HIDDEN: Final = 1

_OBJECT: Final = "SELECT type, sql FROM main.sqlite_master WHERE name = ? AND type IN ('table', 'view')"
_SPELLING: Final = (
    "SELECT name FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
    " ORDER BY name = ? DESC"
)
_COLUMNS: Final = (
    "SELECT name, type, \"notnull\" AS required, dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid"
)
_INDEXES: Final = (
    "SELECT name, \"unique\" AS is_unique, origin, partial FROM pragma_index_list(?, 'main') ORDER BY name"
)
_INDEX_COLUMNS: Final = (
    "SELECT name, cid, \"desc\" AS descending, coll FROM pragma_index_xinfo(?, 'main') WHERE key = 1 ORDER BY seqno"
)
_FOREIGN_KEYS: Final = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?, 'main') ORDER BY 1"
_AUTOINCREMENT: Final = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)
_SQL: Final = "SELECT sql FROM main.sqlite_master WHERE type = 'index' AND name = ?"
_TRIGGERS: Final = (
    "SELECT name FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name"
)


def resolve(db: Connection, written: TableName) -> TableName:
    """See ``dialect.Dialect``. SQLite does not tell upper from lower case; the catalogue's spelling is taken."""
    if written.schema_name not in ("", "main"):
        raise CannotMove(table=written, problems=f"SQLite has no schema {written.schema_name!r}; write {written.name}")
    spelled = db.exec_driver_sql(_SPELLING, (written.name, written.name)).scalar()
    return TableName(schema_name="", name=spelled or written.name)


def describe(db: Connection, table: TableName) -> Table | None:
    """See ``dialect.Dialect``."""
    found = db.exec_driver_sql(_OBJECT, (table.name,)).one_or_none()
    if found is None:
        return None
    if found.type == "view" or found.sql is None or found.sql.upper().startswith("CREATE VIRTUAL"):
        kind = "a view" if found.type == "view" else "a virtual table or one of SQLite's own"
        raise CannotMove(table=table, problems=f"{table} is {kind}, not an ordinary table")
    found_columns = db.exec_driver_sql(_COLUMNS, (table.name,)).all()
    key = tuple(row.name for row in sorted(found_columns, key=lambda row: row.pk) if row.pk)
    collations = _key_collations(db, table)
    indexes = _indexes(db, table)
    numbered = _numbered(found_columns, key, collations)
    refers_to = tuple(db.exec_driver_sql(_FOREIGN_KEYS, (table.name,)).scalars())
    return Table(
        name=table,
        columns=tuple(_column(row, key, collations) for row in found_columns if row.hidden != HIDDEN),
        key=key,
        indexes=tuple(indexes),
        left_behind=tuple(_left_behind(found.sql, found_columns, numbered, refers_to)),
        triggers=tuple(f"the trigger {name}" for name in db.exec_driver_sql(_TRIGGERS, (table.name,)).scalars()),
        counting=numbered if _AUTOINCREMENT.search(found.sql) else (),
        refers_to=refers_to,
        sql=found.sql,
        strict=is_strict(found.sql),
    )


def tables(db: Connection, schema_name: str) -> list[str]:
    """See ``dialect.Dialect``."""
    del schema_name
    return list(db.exec_driver_sql("SELECT name FROM main.sqlite_master WHERE type = 'table'").scalars())


def is_free(db: Connection, name: TableName) -> bool:
    """See ``dialect.Dialect``."""
    return not db.exec_driver_sql("SELECT 1 FROM main.sqlite_master WHERE name = ? COLLATE NOCASE", (name.name,)).all()


def new_text_is_binary(db: Connection) -> bool:
    """See ``dialect.Dialect``."""
    del db
    return True


def missing_types(db: Connection, types: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``. Any word is a type."""
    del db, types
    return []


def identity(db: Connection, table: TableName) -> str:
    """See ``dialect.Dialect``."""
    status = file_of(db, table).stat()
    return f"sqlite:{status.st_dev}:{status.st_ino}:{table.name.lower()}"


def file_of(db: Connection, table: TableName) -> Path:
    """The database's file; each connection to a database in memory has its own, so there is nothing to move."""
    path = db.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    if not path:
        raise CannotMove(table=table, problems="the database is in memory: every connection sees another one")
    return Path(path)


def _column(row: Row[Any], key: Sequence[str], collations: dict[str, str]) -> Column:
    is_rowid = tuple(key) == (row.name,) and row.type.upper() == ROWID_TYPE
    return Column(
        name=row.name,
        type=row.type,
        nullable=not row.required and not is_rowid,
        computed=row.hidden in GENERATED,
        binary=collations.get(row.name, "BINARY") == "BINARY",
        filled=row.dflt_value is not None or not row.required or is_rowid,
    )


def _key_collations(db: Connection, table: TableName) -> dict[str, str]:
    """By which collation each column of the primary key sorts; a rowid has none."""
    indexes = db.exec_driver_sql(_INDEXES, (table.name,)).all()
    found = {
        column.name: column.coll
        for index in indexes
        if index.origin == "pk"
        for column in db.exec_driver_sql(_INDEX_COLUMNS, (index.name,))
    }
    strange = {name: collation for name, collation in found.items() if collation not in BUILT_IN_COLLATIONS}
    if strange:
        listed = ", ".join(f"{name} by {collation}" for name, collation in strange.items())
        raise CannotMove(table=table, problems=f"key columns sort by collations of somebody's own: {listed}")
    return found


def _indexes(db: Connection, table: TableName) -> list[Index]:
    found = []
    for row in db.exec_driver_sql(_INDEXES, (table.name,)).all():
        if row.origin == "pk":
            continue
        columns = db.exec_driver_sql(_INDEX_COLUMNS, (row.name,)).all()
        plain = not row.partial and all(c.cid >= 0 and c.coll == "BINARY" and not c.descending for c in columns)
        names = tuple(column.name for column in columns)
        sql = db.exec_driver_sql(_SQL, (row.name,)).scalar()
        name = row.name if sql else f"{table.name}_{'_'.join(map(str, names))}_key"
        definition = (index_definition(sql) or "") if sql else ""
        found.append(Index(name, names if plain else (), bool(row.is_unique), definition))
    return found


def _numbered(columns: Sequence[Row[Any]], key: Sequence[str], collations: dict[str, str]) -> tuple[str, ...]:
    """The column that SQLite numbers by itself, for it is the rowid; a key that has an index is not."""
    if collations or len(key) != 1:
        return ()
    return tuple(row.name for row in columns if row.name == key[0] and row.type.upper() == ROWID_TYPE)


def _left_behind(sql: str, columns: Sequence[Row[Any]], numbered: Sequence[str], refers_to: Sequence[str]) -> list[str]:
    """What a table made by other words would lack."""
    return [
        *(f"the default of {row.name}" for row in columns if row.dflt_value is not None),
        *(
            f"the expression that computes {row.name}: it becomes a plain column"
            for row in columns
            if row.hidden in GENERATED
        ),
        *(f"the foreign key to {name}" for name in refers_to),
        *(["its CHECK constraints"] if re.search(r"\bCHECK\s*\(", sql, re.IGNORECASE) else []),
        *(["its COLLATE clauses"] if re.search(r"\bCOLLATE\s", sql, re.IGNORECASE) else []),
        *(f"the numbering of {name}" for name in numbered),
        *(["AUTOINCREMENT"] if _AUTOINCREMENT.search(sql) else []),
    ]
