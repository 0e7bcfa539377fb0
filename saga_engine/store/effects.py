"""Which targets a step has touched: written before its first ledger write there, so that an undo knows where to go."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import insert, select

from saga_engine.domain.snapshot import Task
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


def touch(db: sa.Connection, seen: Touch, incarnation: str, attempt: Task) -> str | None:
    """Note the touch, fenced by the running attempt; return the ledger uuid that the run keeps of this connection.

    That is the first one it ever saw there: another database behind the same name is refused by the ledger. None:
    the attempt no longer counts, and nothing was written.
    """
    if not tasks.still_held(db, incarnation, attempt.name, attempt.attempt):
        return None
    kept = db.execute(
        select(effects.c.ledger)
        .where(effects.c.run_id == seen.run_id, effects.c.connection == seen.connection)
        .limit(1)
    ).scalar_one_or_none()
    ledger = kept or seen.ledger
    mine = select(effects.c.task).where(effects.c.task == seen.task, effects.c.connection == seen.connection)
    if db.execute(mine).first() is None:
        hit("store.touch.before_write")
        row = {"run_id": seen.run_id, "task": seen.task, "connection": seen.connection, "ledger": ledger}
        db.execute(insert(effects), row)
    return str(ledger)


def touched(db: sa.Connection, task: str) -> dict[str, str]:
    """``{connection: ledger uuid}`` of a step. Primary key."""
    rows = db.execute(select(effects.c.connection, effects.c.ledger).where(effects.c.task == task))
    return {row.connection: row.ledger for row in rows}
