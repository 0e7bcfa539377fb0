"""T1 and the other statements on tasks that are no decisions: claim, release, free, hints of a running attempt.

None of them touches a run's revision. A claim locks tasks only and waits for nobody; attempt and incarnation in
each WHERE are the fence.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update

from saga_engine.failpoints import hit
from saga_engine.store.schema import Moment, incarnations, tasks


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task as a claim leased it. *lost_by*: who held it before and never handed it back."""

    name: str
    run_id: str
    kind: str
    attempt: int
    crashes: int
    lost_by: str | None
    lost_dead: bool


def claim(
    db: sa.Connection, incarnation: str, queues: Collection[str], loaded: Collection[int], limit: int, now: datetime
) -> list[Claimed]:
    """Lease up to *limit* due tasks to *incarnation*, oldest due first.

    Two incarnations never hold the same task. When this one ends, another may lease it; its attempt will be
    higher. Only tasks of *queues* and of *loaded* definitions are taken.
    """
    wanted = {"me": incarnation, "queues": list(queues), "loaded": list(loaded), "now": now, "most": limit}
    rows = db.execute(_CLAIM, wanted).all()
    hit("store.claim.before_commit")
    return [
        Claimed(row.name, row.run_id, row.kind, row.attempt, row.crashes, row.lost_by, bool(row.lost_dead))
        for row in rows
    ]


# ix_saga_tasks_due: (queue, due_at) of tasks that nobody holds.
_DUE = (
    select(tasks.c.name)
    .where(
        tasks.c.leased_by.is_(None),
        tasks.c.due_at.is_not(None),
        tasks.c.due_at <= bindparam("now", type_=Moment),
        tasks.c.queue.in_(bindparam("queues", expanding=True)),
        tasks.c.definition.in_(bindparam("loaded", expanding=True)),
    )
    .order_by(tasks.c.due_at)
    .limit(bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
    # Without this, PostgreSQL may run the sub-select again and lease more than was asked for.
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_CLAIM = (
    update(tasks)
    .where(tasks.c.name.in_(select(_DUE.c.name)), tasks.c.leased_by.is_(None))
    .values(leased_by=bindparam("me"), leased_at=bindparam("now", type_=Moment), attempt=tasks.c.attempt + 1)
    .returning(
        tasks.c.name, tasks.c.run_id, tasks.c.kind, tasks.c.attempt, tasks.c.crashes, tasks.c.lost_by, tasks.c.lost_dead
    )
)


def release(db: sa.Connection, incarnation: str, names: Sequence[tuple[str, int]], now: datetime) -> None:
    """Hand tasks back that were not started, or ended without a report because of a drain. Nothing is counted."""
    if names:
        hit("store.release.before_write")
        db.execute(_RELEASE, [{"ta": name, "at": attempt, "me": incarnation, "now": now} for name, attempt in names])


# Primary key of saga_tasks.
_HELD = sa.and_(
    tasks.c.name == bindparam("ta"), tasks.c.attempt == bindparam("at"), tasks.c.leased_by == bindparam("me")
)
_RELEASE = (
    update(tasks)
    .where(_HELD)
    .values(
        leased_by=None,
        leased_at=None,
        due_at=sa.func.coalesce(tasks.c.due_at, bindparam("now", type_=Moment)),
        lost_by=None,
        lost_dead=None,
    )
)


def free_ended(db: sa.Connection, now: datetime, limit: int) -> int:
    """Free up to *limit* tasks of ended incarnations: due at once, one crash more, the holder's end remembered.

    In a transaction of its own, before a claim: together they deadlocked with T2 in a trial.
    """
    rows = db.execute(_ORPHANS, {"most": limit}).all()
    if rows:
        hit("store.free.before_write")
        db.execute(_FREE, [_freed(row, now) for row in rows])
    return len(rows)


def orphans(db: sa.Connection) -> bool:
    """Whether an ended incarnation still holds a task. ix_saga_tasks_leased."""
    return db.execute(_ANY_ORPHAN).first() is not None


def _freed(row: Any, now: datetime) -> dict[str, Any]:
    """A release ended in order, and what it still held was never started or has been stopped: no crash."""
    return {
        "ta": row.name,
        "crash": 0 if row.ended_how == "released" else 1,
        "now": now,
        "lost_by": f"{row.host} pid {row.pid}",
        "lost_dead": row.ended_how != "expired",
    }


_ENDED_HOLDER = sa.and_(tasks.c.leased_by.is_not(None), incarnations.c.ended_at.is_not(None))
_ANY_ORPHAN = (
    select(tasks.c.name).join(incarnations, incarnations.c.id == tasks.c.leased_by).where(_ENDED_HOLDER).limit(1)
)
# ix_saga_tasks_leased, then the primary key of saga_incarnations.
_ORPHANS = (
    select(tasks.c.name, incarnations.c.host, incarnations.c.pid, incarnations.c.ended_how)
    .join(incarnations, incarnations.c.id == tasks.c.leased_by)
    .where(_ENDED_HOLDER)
    .limit(bindparam("most", type_=sa.Integer))
    .with_for_update(of=tasks, skip_locked=True)
)
_FREE = (
    update(tasks)
    .where(tasks.c.name == bindparam("ta"), tasks.c.leased_by.is_not(None))
    .values(
        leased_by=None,
        leased_at=None,
        due_at=sa.func.coalesce(tasks.c.due_at, bindparam("now", type_=Moment)),
        crashes=tasks.c.crashes + bindparam("crash", type_=sa.Integer),
        lost_by=bindparam("lost_by"),
        lost_dead=bindparam("lost_dead", type_=sa.Boolean),
    )
)


def held(db: sa.Connection, incarnation: str) -> dict[str, tuple[int, bool]]:
    """The tasks leased to an incarnation: ``{name: (attempt, an end is asked for)}``. ix_saga_tasks_leased."""
    rows = db.execute(_HELD_BY, {"me": incarnation})
    return {row.name: (row.attempt, row.ending is not None) for row in rows}


_HELD_BY = select(tasks.c.name, tasks.c.attempt, tasks.c.ending).where(tasks.c.leased_by == bindparam("me"))


def note(db: sa.Connection, incarnation: str, name: str, attempt: int, now: datetime, **hints: str) -> bool:
    """Write *hints* (checkpoint, progress) of a running attempt; False when it no longer counts.

    They prove that the attempt lives and gets on: its crashes are forgotten.
    """
    values = {"ta": name, "at": attempt, "me": incarnation, "now": now, **hints}
    return db.execute(_NOTES[tuple(sorted(hints))], values).rowcount == 1


_NOTES: dict[tuple[str, ...], sa.Update] = {
    columns: update(tasks)
    .where(_HELD)
    .values(
        {**{column: bindparam(column) for column in columns}, "heard_at": bindparam("now", type_=Moment), "crashes": 0}
    )
    for columns in ((), ("checkpoint",), ("progress",), ("checkpoint", "progress"))
}


def still_held(db: sa.Connection, incarnation: str, name: str, attempt: int) -> bool:
    """True while this attempt counts in the store; its row stays locked until the end of the transaction."""
    return db.execute(_STILL, {"ta": name, "at": attempt, "me": incarnation}).first() is not None


_STILL = select(tasks.c.name).where(_HELD).with_for_update()


def checkpoint_of(db: sa.Connection, name: str) -> str | None:
    """What an earlier attempt of the task kept."""
    return db.execute(select(tasks.c.checkpoint).where(tasks.c.name == name)).scalar_one_or_none()


def next_due(db: sa.Connection, queues: Collection[str], loaded: Collection[int]) -> datetime | None:
    """When the next task that this worker could take comes due; None where none is. ix_saga_tasks_due."""
    found: datetime | None = db.execute(_NEXT, {"queues": list(queues), "loaded": list(loaded)}).scalar_one()
    return found


_NEXT = select(sa.func.min(tasks.c.due_at)).where(
    tasks.c.leased_by.is_(None),
    tasks.c.due_at.is_not(None),
    tasks.c.queue.in_(bindparam("queues", expanding=True)),
    tasks.c.definition.in_(bindparam("loaded", expanding=True)),
)


def backs_off(db: sa.Connection, queues: Collection[str], loaded: Collection[int]) -> bool:
    """Whether an action, not only a timer, is due later. ix_saga_tasks_due."""
    return db.execute(_LATER, {"queues": list(queues), "loaded": list(loaded)}).first() is not None


_LATER = (
    select(tasks.c.name)
    .where(
        tasks.c.leased_by.is_(None),
        tasks.c.due_at.is_not(None),
        tasks.c.kind != "timer",
        tasks.c.queue.in_(bindparam("queues", expanding=True)),
        tasks.c.definition.in_(bindparam("loaded", expanding=True)),
    )
    .limit(1)
)


def live_leases(db: sa.Connection) -> int:
    """How many tasks are leased to incarnations that have not ended."""
    query = (
        select(sa.func.count())
        .select_from(tasks)
        .join(incarnations, incarnations.c.id == tasks.c.leased_by)
        .where(tasks.c.leased_by.is_not(None), incarnations.c.ended_at.is_(None))
    )
    return int(db.execute(query).scalar_one())
