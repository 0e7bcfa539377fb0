"""T1: workers lease tasks that are due, and the tasks of ended incarnations are freed.

A claim locks tasks only and waits for nobody. None of these statements touches a run's revision; the attempt that a
claim raises is the fence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam, select, update

from saga_engine.domain.chart import CONVICTED, SUSPECTED
from saga_engine.failpoints import hit
from saga_engine.store.compiled import Compiled
from saga_engine.store.schema import Moment, definitions, incarnations, tasks
from saga_engine.store.tasks import lost_to

Kind: TypeAlias = Literal["action", "suspect", "timer"]
"""What is claimed: actions; a suspect that has to run alone; timers, which need no slot."""


@dataclass(frozen=True, slots=True)
class Menu:
    """What a worker takes: tasks of these queues, of the definitions that it has loaded, not bound to another host.

    A claim serves both in their order.
    """

    queues: tuple[str, ...]
    loaded: tuple[int, ...]
    host: str = ""
    apart: frozenset[int] = frozenset()
    """Of these definitions a suspect gets a process of its own, so that others may run beside it."""

    def alone_from(self, definition: int) -> int:
        """With how many crashes a task of the definition has to run alone."""
        return CONVICTED if definition in self.apart else SUSPECTED


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task as a claim leased it, and how often a worker has died with it."""

    name: str
    run_id: str
    kind: str
    attempt: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Due:
    """When the first task of each definition comes due, of those that have one.

    *crashes*: of those first actions with which processes have died, with how many.
    """

    actions: Mapping[int, datetime] = field(default_factory=dict)
    timers: Mapping[int, datetime] = field(default_factory=dict)
    crashes: Mapping[int, int] = field(default_factory=dict)

    @property
    def action(self) -> datetime | None:
        """When the first action of all comes due."""
        return min(self.actions.values(), default=None)

    @property
    def timer(self) -> datetime | None:
        """When the first timer does."""
        return min(self.timers.values(), default=None)

    def alone(self, menu: Menu) -> bool:
        """Whether the first action of all has to run alone."""
        first = min(self.actions, key=self.actions.__getitem__, default=0)
        return self.crashes.get(first, 0) >= menu.alone_from(first)

    def recovers(self, menu: Menu) -> bool:
        """Whether the first of some definition is one with which a worker has died, and need not run alone."""
        return any(crashes < menu.alone_from(definition) for definition, crashes in self.crashes.items())


def look(db: sa.Connection, menu: Menu) -> Due:
    """What comes due next, now or later, of what nobody holds. Locks nothing."""
    rows = [
        row
        for queue in menu.queues
        for row in _FIRSTS.execute(db, {"of_queue": queue, "loaded": list(menu.loaded), "here": menu.host})
    ]
    actions = _firsts((row.id, row.action) for row in rows)
    return Due(
        actions=actions,
        timers=_firsts((row.id, row.timer) for row in rows),
        crashes={row.id: row.crashes for row in rows if row.crashes and row.action == actions[row.id]},
    )


def _firsts(found: Iterable[tuple[int, datetime | None]]) -> dict[int, datetime]:
    """The first moment of each definition, whatever the queue."""
    firsts: dict[int, datetime] = {}
    for definition, moment in found:
        if moment is not None:
            firsts[definition] = min(moment, firsts.get(definition, moment))
    return firsts


def claim(db: sa.Connection, incarnation: str, menu: Menu, kind: Kind, limit: int, now: datetime) -> list[Claimed]:  # noqa: PLR0917  the words of a claim
    """Lease up to *limit* due tasks to *incarnation*: of each queue in turn, of each definition a share, oldest first.

    What a definition leaves of its share goes to the others: one that has few never waits for one that has many. Two
    incarnations never hold the same task. When this one ends, another may lease it; its attempt will be higher. An
    incarnation that has ended gets nothing.
    """
    found: list[Any] = []
    for queue in menu.queues:
        hungry = list(menu.loaded)
        while hungry and len(found) < limit:
            share = -(-(limit - len(found)) // len(hungry))
            for definition in [*hungry]:
                most = min(share, limit - len(found))
                who = {"me": incarnation, "now": now, "here": menu.host}
                alone = menu.alone_from(definition)
                wanted = {"of_queue": queue, "of_definition": definition, "most": most, "alone_from": alone, **who}
                rows = sorted(_CLAIM[kind].execute(db, wanted), key=lambda row: row.due_at)
                found += rows
                if len(rows) < most:
                    hungry.remove(definition)
    hit("store.claim.before_commit")
    return [Claimed(row.name, row.run_id, row.kind, row.attempt, row.crashes) for row in found]


def free_ended(db: sa.Connection, now: datetime, limit: int) -> int:
    """Free up to *limit* tasks of ended incarnations: due at once, one crash more, the holder's end remembered.

    In a transaction of its own, before a claim: together they deadlocked with T2 in a trial.
    """
    freed = 0
    while freed < limit and (holder := db.execute(_HOLDER).first()) is not None:
        hit("store.free.before_write")
        found = len(db.execute(_FREE, {**_freed(holder, now), "most": limit - freed}).all())
        if not found:  # somebody else has them in hand
            break
        freed += found
    return freed


def orphans(db: sa.Connection) -> bool:
    """Whether an ended incarnation still holds a task. ix_saga_tasks_leased."""
    return db.execute(_HOLDER).first() is not None


# One queue and definition at a time: only then do the indexes give the oldest first, without sorting what is due.
# The literals are those of the partial indexes; a bound value could not be proven equal to them.
_UNHELD: Final = sa.and_(
    tasks.c.leased_by.is_(None),
    tasks.c.due_at.is_not(None),
    tasks.c.queue == bindparam("of_queue"),
    sa.or_(tasks.c.host.is_(None), tasks.c.host == bindparam("here")),
)
_TIMER: Final[sa.ColumnElement[str]] = sa.literal_column("'timer'")
_IS: Final[Mapping[Kind, sa.ColumnElement[bool]]] = {
    "action": sa.and_(tasks.c.kind != _TIMER, tasks.c.crashes < bindparam("alone_from", type_=sa.Integer)),
    "suspect": sa.and_(tasks.c.kind != _TIMER, tasks.c.crashes >= bindparam("alone_from", type_=sa.Integer)),
    "timer": tasks.c.kind == _TIMER,
}


def _first(column: sa.Column[Any], condition: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """Of the first row of ix_saga_tasks_due or ix_saga_tasks_timers that the definition has."""
    query = select(column).where(_UNHELD, tasks.c.definition == definitions.c.id, condition)
    return query.order_by(tasks.c.due_at).limit(sa.literal_column("1")).scalar_subquery()


_ACTION: Final = tasks.c.kind != _TIMER
# Primary key of saga_definitions.
_FIRSTS: Final = Compiled(
    select(
        definitions.c.id,
        _first(tasks.c.due_at, _ACTION).label("action"),
        _first(tasks.c.crashes, _ACTION).label("crashes"),
        _first(tasks.c.due_at, _IS["timer"]).label("timer"),
    ).where(definitions.c.id.in_(bindparam("loaded", expanding=True)))
)


def _claiming(condition: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """ix_saga_tasks_due or ix_saga_tasks_timers, then the primary keys of saga_tasks and saga_incarnations."""
    due = (
        select(tasks.c.name)
        .where(
            _UNHELD,
            tasks.c.definition == bindparam("of_definition"),
            condition,
            tasks.c.due_at <= bindparam("now", type_=Moment),
        )
        .order_by(tasks.c.due_at)
        .limit(bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
        # Without this, PostgreSQL may run the sub-select again and lease more than was asked for.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    living = sa.exists().where(incarnations.c.id == bindparam("me"), incarnations.c.ended_at.is_(None))
    return (
        update(tasks)
        .where(tasks.c.name.in_(select(due.c.name)), tasks.c.leased_by.is_(None), living)
        .values(leased_by=bindparam("me"), leased_at=bindparam("now", type_=Moment), attempt=tasks.c.attempt + 1)
        .returning(tasks.c.name, tasks.c.run_id, tasks.c.kind, tasks.c.due_at, tasks.c.attempt, tasks.c.crashes)
    )


_CLAIM: Final[Mapping[Kind, Compiled]] = {kind: Compiled(_claiming(condition)) for kind, condition in _IS.items()}


def _freed(row: sa.Row[*tuple[Any, ...]], now: datetime) -> dict[str, Any]:
    """Who ended in order has handed back what was running: the rest was never started, and nobody is missing."""
    crashed = row.ended_how != "released"
    return {
        "of": row.id,
        "crash": int(crashed),
        "now": now,
        "runner": f"{row.host} pid {row.pid}" if crashed else None,
        "dead": row.ended_how == "dead",
    }


_ENDED_HOLDER: Final = sa.and_(tasks.c.leased_by.is_not(None), incarnations.c.ended_at.is_not(None))
# ix_saga_tasks_leased, then the primary key of saga_incarnations.
_HOLDER: Final = (
    select(incarnations.c.id, incarnations.c.host, incarnations.c.pid, incarnations.c.ended_how)
    .select_from(tasks.join(incarnations, incarnations.c.id == tasks.c.leased_by))
    .where(_ENDED_HOLDER)
    .limit(sa.literal_column("1"))
)
# ix_saga_tasks_leased, then the primary key. A row at a time would take four times as long.
_ITS_TASKS: Final = (
    select(tasks.c.name)
    .where(tasks.c.leased_by == bindparam("of"))
    .limit(bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("its")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_FREE: Final[sa.UpdateBase] = (
    update(tasks)
    .where(tasks.c.name.in_(select(_ITS_TASKS.c.name)), tasks.c.leased_by == bindparam("of"))
    .values(
        leased_by=None,
        leased_at=None,
        due_at=sa.func.coalesce(tasks.c.due_at, bindparam("now", type_=Moment)),
        crashes=tasks.c.crashes + bindparam("crash", type_=sa.Integer),
        **lost_to(bindparam("runner", type_=sa.Text), bindparam("dead", type_=sa.Boolean)),
    )
    .returning(sa.literal_column("1"))  # a driver knows no number of rows for a statement that begins with WITH
)
