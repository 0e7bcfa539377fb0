"""Which targets a step has touched: written before its first ledger write there, so that an undo knows where to go."""

from dataclasses import dataclass
from typing import Final

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


def touch(db: sa.Connection, seen: Touch, incarnation: str, lease: tasks.Lease) -> str | None:
    """Note the touch, fenced by the running attempt; return the ledger uuid that the run keeps of this connection.

    That is the first one it ever saw there: another database behind the same name is refused by the ledger. None:
    the attempt no longer counts, and nothing was written.
    """
    if not tasks.still_held(db, incarnation, lease):
        return None
    kept = db.execute(_KEPT, {"run_id": seen.run_id, "name": seen.connection}).scalar_one_or_none()
    ledger = str(kept or seen.ledger)
    if seen.connection not in touched(db, seen.task):
        hit("store.touch.before_write")
        row = {"run_id": seen.run_id, "task": seen.task, "connection": seen.connection, "ledger": ledger}
        db.execute(_TOUCH, row)
    return ledger


# ix_saga_effects_run_id.
_KEPT: Final = (
    select(effects.c.ledger)
    .where(effects.c.run_id == bindparam("run_id"), effects.c.connection == bindparam("name"))
    .limit(1)
)
_TOUCH: Final = insert(effects)


def touched(db: sa.Connection, task: str) -> dict[str, str]:
    """``{connection: ledger uuid}`` of a step. Primary key."""
    return {row.connection: row.ledger for row in db.execute(_TOUCHED, {"ta": task})}


_TOUCHED: Final = select(effects.c.connection, effects.c.ledger).where(effects.c.task == bindparam("ta"))
