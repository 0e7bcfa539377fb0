"""The staging table in SQLite: made, finished, removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row

from saga_engine.actions.copy.drift import refuse_drift
from saga_engine.actions.copy.names import TableName, as_loaded, derived
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.sqlite import catalog, references
from saga_engine.actions.copy.sqlite.fingerprint import fingerprint
from saga_engine.actions.copy.sqlite.sql import body, index_definition, qualified, quote

_TABLE_SQL: Final = "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?"
_ATTACHED: Final = (
    "SELECT type, name, sql FROM main.sqlite_master WHERE type IN ('index', 'trigger')"
    " AND tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY type, name"
)


def create_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. The words of an existing table are used again, with another name before them."""
    refuse_drift(plan, fingerprint(db, plan.target))
    like = db.exec_driver_sql(_TABLE_SQL, (plan.target.name,)).scalar() if plan.before.exists else plan.like
    db.exec_driver_sql(f"CREATE TABLE {qualified(plan.staging)} {body(like) if like else _columns(plan)}")


def finish_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``.

    Names of indexes are unique in the whole file and cannot be changed. So those of an existing table are made at
    the swap; here the unique ones are made under other names, to find out while there is a way back. ``MoveError`` for
    a foreign key that does not hold.
    """
    for index in plan.indexes:
        definition = index.definition or f"({', '.join(map(quote, index.columns))})"
        # The name was free in the preflight; another run may have taken it since.
        is_free = catalog.is_free(db, plan.staging.renamed(index.name))
        name = index.name if is_free else derived(index.name, f"_{plan.token}")
        db.exec_driver_sql(_create_index(name, plan.staging, definition, unique=index.unique))
    for existing in unique_indexes(db, plan):
        definition = index_definition(existing.sql) or ""
        db.exec_driver_sql(_create_index(proof_name(existing, plan), plan.staging, definition, unique=True))
    references.refuse_orphans(db, plan)


def drop_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``."""
    db.exec_driver_sql(f"DROP TABLE IF EXISTS {qualified(plan.staging)}")


def _columns(plan: Plan) -> str:
    columns = [
        f"{quote(lane.target.name)} {lane.target.type}{'' if lane.nullable else ' NOT NULL'}" for lane in plan.lanes
    ]
    key = ", ".join(map(quote, plan.key))
    return f"({', '.join(columns)}, PRIMARY KEY ({key}))"


def _create_index(name: str, table: TableName, definition: str, *, unique: bool) -> str:
    return f"CREATE {'UNIQUE ' if unique else ''}INDEX main.{quote(name)} ON {quote(table.name)} {definition}"


def attached(db: Connection, plan: Plan) -> Sequence[Row[Any]]:
    """The indexes and triggers of the table that is to be replaced, with the statements that made them."""
    return db.exec_driver_sql(_ATTACHED, (plan.target.name,)).all() if plan.before.exists else []


def unique_indexes(db: Connection, plan: Plan) -> list[Row[Any]]:
    """Those that the rows must fit."""
    return [row for row in attached(db, plan) if row.type == "index" and row.sql.upper().startswith("CREATE UNIQUE")]


def proof_name(index: Row[Any], plan: Plan) -> str:
    """What a unique index is called until the swap."""
    return derived(index.name, f"_{plan.token}")


def proof_names(db: Connection, plan: Plan) -> list[str]:
    """The unique indexes of the loaded staging table that prove what those of the target ask for."""
    there = [row.name for row in db.exec_driver_sql(_ATTACHED, (plan.staging.name,))]
    return [as_loaded(index.name, f"_{plan.token}", there) for index in unique_indexes(db, plan)]
