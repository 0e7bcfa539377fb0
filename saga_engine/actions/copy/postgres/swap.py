"""The cut-over in PostgreSQL: the staging table takes the target's name, in one transaction."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.drift import refuse_drift, refuse_hindrances
from saga_engine.actions.copy.names import TableName, as_loaded, derivations, derived
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.postgres import carry, references, sequences, sql
from saga_engine.actions.copy.postgres.fingerprint import fingerprint
from saga_engine.actions.copy.postgres.locks import Locks
from saga_engine.actions.copy.postgres.refusals import refusals
from saga_engine.errors import MoveError

LOCK_TIMEOUT_MILLISECONDS: Final = 3_000
"""Whoever uses the table queues behind this lock: give up soon, let them pass, and try again (the saga's retry)."""

_INDEXES: Final = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %s::regclass ORDER BY 1"""
_CLUSTERED: Final = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = %s::regclass AND i.indisclustered"""
_TRIGGERS: Final = """
SELECT pg_get_triggerdef(oid) AS definition, tgname AS name, tgenabled AS enabled FROM pg_trigger
 WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY tgname"""
_ENABLED: Final = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_FREE: Final = "SELECT to_regclass(%s) IS NULL"


def freeze(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. Raises the driver's LockNotAvailable while somebody else uses the staging table.

    The target is not locked yet: its users need not wait while the staging table is read. ``MoveError`` at an
    isolation level that would not show what others have committed while a lock was waited for.
    """
    level = db.exec_driver_sql("SHOW transaction_isolation").scalar()
    if level != "read committed":
        raise MoveError(
            f"the target's connection works at {level}, where a swap does not see what others commit while it waits for"
            " a lock; take default_transaction_isolation out of the options in its URL, then retry the run"
        )
    db.exec_driver_sql(f"SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_MILLISECONDS}ms', true)")
    if fingerprint(db, plan.staging).exists:  # a table that is gone cannot be locked
        sql.run(db, f"LOCK TABLE {sql.written(plan.staging)} IN ACCESS EXCLUSIVE MODE")


def swap(db: Connection, plan: Plan) -> list[str]:
    """See ``dialect.Dialect``. Raises the driver's LockNotAvailable while somebody else uses the table."""
    refuse_drift(plan, fingerprint(db, plan.target))  # a table that is gone cannot be locked
    if not plan.before.exists:
        return sql.run_all(db, _appear(db, plan))
    # Rows that were referred to may have gone since LOADING. All that reads rows comes before anybody has to wait.
    references.refuse_orphans(db, plan, plan.staging, plan.target, references.proved(db, plan.target))
    reached, locks = sequences.reached(db, plan), Locks(db, plan)
    locks.take_target()
    refuse_drift(plan, fingerprint(db, plan.target))
    if plan.before.exists:
        refuse_hindrances(refusals(db, plan.target))
    handed_over, said = references.handed_over(db, plan), carry.said(db, plan)  # the names are those of now
    statements = locks.run(_replace(db, plan))
    go_on = sequences.let_go_on(db, plan, reached)
    statements += locks.run(handed_over)  # late: it keeps users of the tables that are referred to waiting
    statements += locks.run(said)
    # Last: what a sequence is set to is not rolled back, and nothing that can be refused comes after it.
    return [*statements, *sql.run_all(db, go_on)]


def _appear(db: Connection, plan: Plan) -> list[str]:
    """Where no table was, the new one gets its name, and its key the usual name if that is free."""
    statements = [_rename(plan.staging, plan.target)]
    made = {name for one in plan.indexes for name in (one.name, *derivations(one.name, f"_{plan.token}"))}
    [key] = [name for name in _index_names(db, plan.staging) if name not in made]
    usual = plan.target.renamed(derived(plan.target.name, "_pkey"))
    if db.exec_driver_sql(_FREE, (sql.written(usual),)).scalar():
        statements.append(_rename_index(plan, key, usual.name))
    return statements


def _replace(db: Connection, plan: Plan) -> list[str]:
    """Old names to the old table's kept ones, then the new table's to the old: tables, indexes, sequences, triggers."""
    indexes, loaded = _index_names(db, plan.target), _index_names(db, plan.staging)
    new_names = {row.column: row.name for row in sequences.of(db, plan.staging) if row.is_identity}
    shared = [row for row in sequences.of(db, plan.target) if row.is_owned and not row.is_identity]
    identities = [row for row in sequences.of(db, plan.target) if row.is_identity]
    return [
        _rename(plan.target, plan.kept),
        *(_rename_index(plan, name, _kept(name, plan)) for name in indexes),
        *(f"ALTER SEQUENCE {row.name} RENAME TO {sql.name(_kept(row.bare, plan))}" for row in identities),
        _rename(plan.staging, plan.target),
        *(_rename_index(plan, as_loaded(name, f"_{plan.token}", loaded), name) for name in indexes),
        *(f"ALTER SEQUENCE {new_names[row.column]} RENAME TO {sql.name(row.bare)}" for row in identities),
        *(f"ALTER SEQUENCE {row.name} OWNED BY {sql.written(plan.target)}.{row.column}" for row in shared),
        *_triggers(db, plan),
        *(f"ALTER TABLE {sql.written(plan.target)} CLUSTER ON {sql.name(name)}" for name in _clustered(db, plan)),
    ]


def _triggers(db: Connection, plan: Plan) -> list[str]:
    """The catalogue's statements as they are: the new table will have the name that is in them."""
    target = sql.written(plan.target)
    statements = []
    for row in db.exec_driver_sql(_TRIGGERS, (target,)):
        statements.append(row.definition)
        if row.enabled in _ENABLED:
            statements.append(f"ALTER TABLE {target} {_ENABLED[row.enabled]} TRIGGER {sql.name(row.name)}")
    return statements


def _index_names(db: Connection, table: TableName) -> list[str]:
    return list(db.exec_driver_sql(_INDEXES, (sql.written(table),)).scalars())


def _clustered(db: Connection, plan: Plan) -> list[str]:
    """The index that a bare CLUSTER sorts the table by, if there is one."""
    return list(db.exec_driver_sql(_CLUSTERED, (sql.written(plan.target),)).scalars())


def _kept(name: str, plan: Plan) -> str:
    return derived(name, f"_before_{plan.token}")


def _rename(table: TableName, to: TableName) -> str:
    return f"ALTER TABLE {sql.written(table)} RENAME TO {sql.name(to.name)}"


def _rename_index(plan: Plan, name: str, to: str) -> str:
    return f"ALTER INDEX {sql.written(plan.target.renamed(name))} RENAME TO {sql.name(to)}"
