"""The staging table in PostgreSQL: made, finished, removed."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.drift import refuse_drift
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import carry, catalog, references, sql
from saga_engine.actions.copy.postgres.fingerprint import fingerprint

_PRIMARY: Final = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
 WHERE conrelid = %s::regclass AND contype = 'p'"""


def create_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. The key comes first: rows arrive in its order, and it bounds what is read again."""
    refuse_drift(plan, fingerprint(db, plan.target))
    staging = sql.written(plan.staging)
    if not plan.before.exists:
        sql.run(db, f"CREATE TABLE {staging} ({_columns(plan)})")
        return
    target = sql.written(plan.target)
    sql.run(db, f"CREATE TABLE {staging} (LIKE {target} INCLUDING ALL EXCLUDING INDEXES)")
    primary = db.exec_driver_sql(_PRIMARY, (target,)).one()
    name = sql.name(carry.beside(primary.name, plan))
    sql.run(db, f"ALTER TABLE {staging} ADD CONSTRAINT {name} {primary.definition}")


def finish_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. What it takes over from the target must be of the table that ``create_staging`` saw."""
    refuse_drift(plan, fingerprint(db, plan.target))
    staging = sql.written(plan.staging)
    if plan.before.exists:
        for statement in (*carry.constraints_and_indexes(db, plan), *carry.properties(db, plan)):
            sql.run(db, statement)
    for index in plan.indexes:
        unique = "UNIQUE " if index.unique else ""
        columns = ", ".join(map(sql.name, index.columns))
        # The name was free in the preflight; another run may have taken it since.
        is_free = catalog.is_free(db, plan.staging.renamed(index.name))
        name = index.name if is_free else carry.beside(index.name, plan)
        sql.run(db, f"CREATE {unique}INDEX {sql.name(name)} ON {staging} ({columns})")
    sql.run(db, f"ANALYZE {staging}")
    if plan.before.exists:
        references.refuse_orphans(db, plan, plan.staging, plan.target, references.proved(db, plan.target))


def drop_staging(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``."""
    sql.run(db, f"DROP TABLE IF EXISTS {sql.written(plan.staging)}")


def _columns(plan: Plan) -> str:
    columns = [
        f"{sql.name(lane.target.name)} {lane.target.type}{'' if lane.nullable else ' NOT NULL'}" for lane in plan.lanes
    ]
    return f"{', '.join(columns)}, PRIMARY KEY ({', '.join(map(sql.name, plan.key))})"
