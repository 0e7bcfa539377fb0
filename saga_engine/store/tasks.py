"""What the holder of a task does with its row, without a decision: hand it back, leave hints, ask if it counts.

Attempt and incarnation in each WHERE are the fence; no run's revision changes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update

from saga_engine.failpoints import hit
from saga_engine.store.schema import Moment, tasks

Lease = tuple[str, int]
"""A task's name and the attempt that is held."""

# Primary key of saga_tasks.
_HELD: Final = sa.and_(
    tasks.c.name == bindparam("ta"), tasks.c.attempt == bindparam("at"), tasks.c.leased_by == bindparam("me")
)
_HANDED_BACK: Final[Mapping[str, Any]] = {
    "leased_by": None,
    "leased_at": None,
    "due_at": sa.func.coalesce(tasks.c.due_at, bindparam("now", type_=Moment)),
}


def lost_to(runner: sa.ColumnElement[Any], dead: sa.ColumnElement[Any]) -> Mapping[str, Any]:
    """Note who lost the task (a null *runner*: nobody), unless one is noted that may still be running.

    That one is what the next holder must ask about: that another has died since says nothing of it.
    """
    stays = sa.or_(runner.is_(None), sa.and_(tasks.c.lost_by.is_not(None), tasks.c.lost_dead.is_(False)))
    return {
        "lost_by": sa.case((stays, tasks.c.lost_by), else_=runner),
        "lost_dead": sa.case((stays, tasks.c.lost_dead), else_=dead),
    }


def release(db: sa.Connection, incarnation: str, leases: Sequence[Lease], now: datetime) -> None:
    """Hand tasks back that were not started, or whose attempt has ended without a report. Nothing is counted.

    Who lost the task before stays noted: nobody has asked about that yet.
    """
    if leases:
        hit("store.release.before_write")
        # In one order, so that two who lock several tasks never wait for each other in a circle.
        rows = [{"ta": name, "at": attempt, "me": incarnation, "now": now} for name, attempt in sorted(leases)]
        db.execute(_RELEASE, rows)


_RELEASE: Final = update(tasks).where(_HELD).values(**_HANDED_BACK)


def release_running(db: sa.Connection, incarnation: str, leases: Sequence[Lease], now: datetime, runner: str) -> None:
    """Hand tasks back whose attempts do not end, though asked to: the next holder learns that *runner* may go on."""
    if leases:
        hit("store.release.before_write")
        rows = [
            {"ta": name, "at": attempt, "me": incarnation, "now": now, "runner": runner}
            for name, attempt in sorted(leases)
        ]
        db.execute(_RELEASE_RUNNING, rows)


_RELEASE_RUNNING: Final = (
    update(tasks).where(_HELD).values(**_HANDED_BACK, **lost_to(bindparam("runner", type_=sa.Text), sa.false()))
)


def release_rest(db: sa.Connection, incarnation: str, now: datetime) -> None:
    """Hand back whatever the incarnation still holds; it has started none of it. ix_saga_tasks_leased."""
    hit("store.release.rest")
    db.execute(_RELEASE_REST, {"me": incarnation, "now": now})


_RELEASE_REST: Final = update(tasks).where(tasks.c.leased_by == bindparam("me")).values(**_HANDED_BACK)


def release_crashed(db: sa.Connection, incarnation: str, lease: Lease, now: datetime, runner: str) -> None:
    """Free a task whose attempt is known to have died with its own process *runner*, while its worker lives on.

    As if a worker had died with it: due at once, one crash more.
    """
    hit("store.release.before_write")
    db.execute(_RELEASE_CRASHED, {"ta": lease[0], "at": lease[1], "me": incarnation, "now": now, "runner": runner})


_RELEASE_CRASHED: Final = (
    update(tasks)
    .where(_HELD)
    .values(**_HANDED_BACK, crashes=tasks.c.crashes + 1, **lost_to(bindparam("runner", type_=sa.Text), sa.true()))
)


def held(db: sa.Connection, incarnation: str) -> dict[Lease, bool]:
    """What is leased to an incarnation, and whether its attempt is asked to end. ix_saga_tasks_leased."""
    rows = db.execute(_HELD_BY, {"me": incarnation})
    return {(row.name, row.attempt): row.ending is not None for row in rows}


_HELD_BY: Final = select(tasks.c.name, tasks.c.attempt, tasks.c.ending).where(tasks.c.leased_by == bindparam("me"))


def note(db: sa.Connection, incarnation: str, lease: Lease, now: datetime, **hints: str) -> bool:
    """Write *hints* (checkpoint, progress) of a running attempt; False when it no longer counts.

    They prove that the attempt lives and gets on: its crashes are forgotten.
    """
    values = {"ta": lease[0], "at": lease[1], "me": incarnation, "now": now, **hints}
    hit("store.note.before_write")
    return db.execute(_NOTES[tuple(sorted(hints))], values).rowcount == 1


_NOTES: Final[Mapping[tuple[str, ...], sa.Update]] = {
    columns: update(tasks)
    .where(_HELD)
    .values(
        {**{column: bindparam(column) for column in columns}, "heard_at": bindparam("now", type_=Moment), "crashes": 0}
    )
    for columns in ((), ("checkpoint",), ("progress",), ("checkpoint", "progress"))
}


def still_held(db: sa.Connection, incarnation: str, lease: Lease) -> bool:
    """True while this attempt counts in the store; its row stays locked until the end of the transaction."""
    found = db.execute(_STILL, {"ta": lease[0], "at": lease[1], "me": incarnation}).first()
    hit("store.task.locked")
    return found is not None


_STILL: Final = select(tasks.c.name).where(_HELD).with_for_update()


def checkpoint_of(db: sa.Connection, name: str) -> str | None:
    """What an earlier attempt of the task kept. Primary key."""
    return db.execute(_CHECKPOINT, {"ta": name}).scalar_one_or_none()


_CHECKPOINT: Final = select(tasks.c.checkpoint).where(tasks.c.name == bindparam("ta"))
