"""The cut-over in SQLite: the staging table takes the target's name, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from saga_engine.actions.copy.drift import refuse_drift
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.actions.copy.sqlite import references
from saga_engine.actions.copy.sqlite.fingerprint import fingerprint
from saga_engine.actions.copy.sqlite.sql import qualified, quote
from saga_engine.actions.copy.sqlite.staging import attached, proof_names
from saga_engine.errors import MoveError


def freeze(db: Connection, plan: Plan) -> None:
    """See ``dialect.Dialect``. Nothing to do: a transaction that writes is the only one in the file."""


def swap(db: Connection, plan: Plan) -> list[str]:
    """See ``dialect.Dialect``.

    Views, triggers and foreign keys elsewhere go on naming the table. Its own indexes and triggers are made again
    for the new one, under their names; the kept table has its rows and keys only.
    """
    refuse_drift(plan, fingerprint(db, plan.target))
    references.refuse_orphans(db, plan)  # rows that were referred to may have gone since LOADING
    statements = [*_set_aside(db, plan), _rename(plan.staging, plan.target), *_made_again(db, plan)]
    _carry_sequence(db, plan)
    with _references_stay(db):
        for statement in statements:
            db.exec_driver_sql(statement)
    return statements


def to_prove(db: Connection, plan: Plan) -> list[str]:
    """See ``dialect.Dialect``. The swap has proved them; SQLite itself proves none."""
    del db, plan
    return []


def prove(db: Connection, plan: Plan, names: Sequence[str]) -> list[str]:
    """See ``dialect.Dialect``."""
    del db, plan, names
    return []


def _set_aside(db: Connection, plan: Plan) -> list[str]:
    if not plan.before.exists:
        return []
    return [
        *(f"DROP INDEX main.{quote(name)}" for name in proof_names(db, plan)),
        *(f"DROP {row.type.upper()} main.{quote(row.name)}" for row in attached(db, plan)),
        _rename(plan.target, plan.kept),
    ]


def _made_again(db: Connection, plan: Plan) -> list[str]:
    """The statements of the catalogue as they are: the new table has the name that is in them."""
    return [row.sql for row in attached(db, plan)]


def _carry_sequence(db: Connection, plan: Plan) -> None:
    """AUTOINCREMENT goes on where the old table is now, even if its last rows are gone."""
    if not db.exec_driver_sql("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'").scalar():
        return
    old = db.exec_driver_sql("SELECT seq FROM main.sqlite_sequence WHERE name = ?", (plan.target.name,)).scalar()
    if old is None:
        return
    new = db.exec_driver_sql("SELECT seq FROM main.sqlite_sequence WHERE name = ?", (plan.staging.name,)).scalar()
    db.exec_driver_sql("DELETE FROM main.sqlite_sequence WHERE name = ?", (plan.staging.name,))
    row = (plan.staging.name, max(old, new or 0))
    db.exec_driver_sql("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", row)


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
