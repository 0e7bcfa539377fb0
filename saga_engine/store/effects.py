"""Which targets a step has touched: written before its first ledger write there, so that an undo knows where to go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, insert, select

from saga_engine.failpoints import hit
from saga_engine.store import tasks
from saga_engine.store.schema import effects


@dataclass(frozen=True, slots=True)
class Touch:
    """A step's task, a connection, and the uuid of the ledger found there."""

    run_id: str
    task: str
    connection: str
    ledger: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the run keeps of a connection: its ledger's uuid, and the tasks that had touched that ledger before.

    By whatever name: two connections may lead to one database.
    """

    ledger: str
    tasks: frozenset[str]


def touch(db: sa.Connection, seen: Touch, incarnation: str, lease: tasks.Lease) -> Kept | None:
    """Note the touch, fenced by the running attempt; return what the run keeps of this connection.

    Its uuid is the first one it ever saw there: another database behind the same name is refused by the ledger.
    None: the attempt no longer counts, and nothing was written.
    """
    if not tasks.still_held(db, incarnation, lease):
        return None
    rows = _rows(db, seen.run_id)
    kept = _kept(rows, _ledger(rows, seen.connection) or seen.ledger)
    if not any((row.task, row.connection) == (seen.task, seen.connection) for row in rows):
        hit("store.touch.before_write")
        row = {"run_id": seen.run_id, "task": seen.task, "connection": seen.connection, "ledger": kept.ledger}
        db.execute(_TOUCH, row)
    return kept


def note(db: sa.Connection, seen: Touch) -> None:
    """Note a touch that is known from the ledger, unless it is there."""
    if seen.connection not in touched(db, seen.task):
        hit("store.touch.before_note")
        db.execute(
            _TOUCH, {"run_id": seen.run_id, "task": seen.task, "connection": seen.connection, "ledger": seen.ledger}
        )


def known(db: sa.Connection, run_id: str, connection: str) -> Kept | None:
    """What the run keeps of a connection; None where it has never touched it."""
    rows = _rows(db, run_id)
    ledger = _ledger(rows, connection)
    return None if ledger is None else _kept(rows, ledger)


def _rows(db: sa.Connection, run_id: str) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    """All that a run has touched. ix_saga_effects_run_id."""
    return db.execute(_OF_RUN, {"run_id": run_id}).all()


def _ledger(rows: Sequence[sa.Row[*tuple[Any, ...]]], connection: str) -> str | None:
    return next((row.ledger for row in rows if row.connection == connection), None)


def _kept(rows: Sequence[sa.Row[*tuple[Any, ...]]], ledger: str) -> Kept:
    return Kept(ledger, frozenset(row.task for row in rows if row.ledger == ledger))


_OF_RUN: Final = select(effects.c.task, effects.c.connection, effects.c.ledger).where(
    effects.c.run_id == bindparam("run_id")
)
_TOUCH: Final = insert(effects)


def touched(db: sa.Connection, task: str) -> dict[str, str]:
    """``{connection: ledger uuid}`` of a step. Primary key."""
    return {row.connection: row.ledger for row in db.execute(_TOUCHED, {"ta": task})}


_TOUCHED: Final = select(effects.c.connection, effects.c.ledger).where(effects.c.task == bindparam("ta"))
