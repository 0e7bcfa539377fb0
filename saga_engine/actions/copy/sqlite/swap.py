"""The cut-over in SQLite: the staging table takes the target's name, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from saga_engine.actions.copy.drift import refuse_drift
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.sqlite.fingerprint import fingerprint
from saga_engine.actions.copy.sqlite.sql import qualified, quote
from saga_engine.actions.copy.sqlite.staging import attached, proof_name, unique_indexes
from saga_engine.errors import MoveError


def freeze(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. Nothing to do: a transaction that writes is the only one in the file."""


def swap(db: Connection, plan: Plan) -> list[str]:
    """See ``dialect.Dialect``.

    Views, triggers and foreign keys elsewhere go on naming the table. Its own indexes and triggers are made again
    for the new one, under their names; the kept table has its rows and keys only.
    """
    refuse_drift(plan, fingerprint(db, plan.target))
    statements = [*_set_aside(db, plan), _rename(plan.staging, plan.target), *_made_again(db, plan)]
    with _references_stay(db):
        for statement in statements:
            db.exec_driver_sql(statement)
    return statements


def _set_aside(db: Connection, plan: Plan) -> list[str]:
    if not plan.before.exists:
        return []
    return [
        *(f"DROP INDEX main.{quote(proof_name(index, plan))}" for index in unique_indexes(db, plan)),
        *(f"DROP {row.type.upper()} main.{quote(row.name)}" for row in attached(db, plan)),
        _rename(plan.target, plan.kept),
    ]


def _made_again(db: Connection, plan: Plan) -> list[str]:
    """The statements of the catalogue as they are: the new table has the name that is in them."""
    return [row.sql for row in attached(db, plan)]


def _rename(table: TableName, to: TableName) -> str:
    return f"ALTER TABLE {qualified(table)} RENAME TO {quote(to.name)}"


@contextmanager
def _references_stay(db: Connection) -> Iterator[None]:
    """While tables are renamed, leave what names them as it is. Source: "ALTER TABLE RENAME", compatibility note."""
    if db.exec_driver_sql("PRAGMA foreign_keys").scalar():
        raise MoveError("PRAGMA foreign_keys is on for this connection; a rename would take the references along")
    before = db.exec_driver_sql("PRAGMA legacy_alter_table").scalar()
    db.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        db.exec_driver_sql(f"PRAGMA legacy_alter_table = {int(before or 0)}")
