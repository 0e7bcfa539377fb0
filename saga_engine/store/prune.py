"""Ended runs go, a bounded number of rows a transaction; what is left of each is one row of saga_pruned.

That row is written with the first rows that go: who checks histories then knows that the run is being pruned, and a
kill between two pieces leaves a run that the next prune goes on with. Only runs at rest are touched, and nobody who
claims or records ever waits for their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, select

from saga_engine.failpoints import hit
from saga_engine.store import pruned
from saga_engine.store.pruned import Gone
from saga_engine.store.schema import (
    Name,
    approvals,
    effects,
    findings,
    inbox,
    journal,
    results,
    runs,
    tasks,
    undo,
    votes,
)

IDS: sa.BindParameter[Any] = bindparam("ids", expanding=True, type_=Name)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs may go: those that ended before *before*, of *saga* if one is named, in one of *statuses*."""

    before: datetime
    statuses: tuple[str, ...]
    saga: str | None = None


@dataclass(frozen=True, slots=True)
class Old:
    """An ended run that is wanted. *at_rest*: no task of it is open, neither a notice nor an attempt that must end."""

    run_id: str
    gone: int
    """Lines that an earlier prune has removed, before it was killed."""
    lines: int
    """Those that are left."""
    at_rest: bool


# Primary key of saga_runs, from the oldest on; ix_saga_tasks_run_id for each.
_NO_TASK: Final = ~sa.exists().where(tasks.c.run_id == runs.c.id)
# No EXISTS: planned while there were few tasks, it would read those of all runs.
_AT_REST: Final = select(tasks.c.name).where(tasks.c.run_id == runs.c.id).limit(1).scalar_subquery().is_(None)
_FIRST_LINE: Final = select(sa.func.min(journal.c.revision)).where(journal.c.run == runs.c.number).scalar_subquery()
_GONE: Final = sa.func.coalesce(_FIRST_LINE - 1, runs.c.revision).label("gone")
_OLD: Final = (
    select(runs.c.id, runs.c.saga, runs.c.status, runs.c.ended_at, runs.c.revision, _GONE, _AT_REST.label("at_rest"))
    .where(runs.c.id > bindparam("after", type_=Name))
    .order_by(runs.c.id)
    .limit(bindparam("most", type_=sa.Integer))
)


def page(db: sa.Connection, wanted: Wanted, after: str, limit: int) -> tuple[list[Old], str | None]:
    """Of the next *limit* runs behind *after* those that are wanted, and where to go on; None at the end."""
    rows = db.execute(_OLD, {"after": after, "most": limit}).all()
    found = [Old(row.id, row.gone, row.revision - row.gone, row.at_rest) for row in rows if _is_wanted(row, wanted)]
    return found, rows[-1].id if len(rows) == limit else None


def _is_wanted(row: Any, wanted: Wanted) -> bool:  # noqa: ANN401  a row of _OLD
    ended = row.ended_at is not None and row.ended_at < wanted.before and row.status in wanted.statuses
    return ended and wanted.saga in (None, row.saga)


# Primary key of saga_runs, in id order, as everybody who locks several.
_LOCK: Final = (
    select(runs.c.id, runs.c.saga, runs.c.run_key, runs.c.status, runs.c.ended_at, runs.c.revision, runs.c.journal_hash)
    .where(runs.c.id.in_(IDS), runs.c.ended_at.is_not(None), _NO_TASK)
    .order_by(runs.c.id)
    .with_for_update(of=runs)
)
# Each by a primary key that begins with the run; votes by that of their approval's task.
_NUMBERS: Final = select(runs.c.number).where(runs.c.id.in_(IDS))
_PIECES: Final = [
    delete(table).where(of_them, number <= bindparam("upto", type_=sa.Integer))
    for table, of_them, number in (
        (journal, journal.c.run.in_(_NUMBERS), journal.c.revision),
        (results, results.c.run.in_(_NUMBERS), results.c.position),
        (undo, undo.c.run.in_(_NUMBERS), undo.c.position),
        (inbox, inbox.c.run_id.in_(IDS), inbox.c.number),
    )
]
_GATES: Final = select(approvals.c.task).where(approvals.c.run_id.in_(IDS))
_REST: Final = [
    delete(votes).where(votes.c.task.in_(_GATES)),
    *[delete(table).where(table.c.run_id.in_(IDS)) for table in (approvals, effects, findings)],
    delete(runs).where(runs.c.id.in_(IDS)),
]
ALL: Final = 2**31 - 1


def prune(db: sa.Connection, ids: Sequence[str], now: datetime) -> int:
    """Remove these runs whole, in the caller's transaction; how many. One that is no longer at rest stays."""
    there = _marked(db, ids, now)
    if there:
        _pieces(db, there, ALL)
        for statement in _REST:
            db.execute(statement, {"ids": there})
        hit("store.prune.removed")
    return len(there)


def prune_piece(db: sa.Connection, run_id: str, upto: int, now: datetime) -> bool:
    """Remove the first lines, results, undo entries and events, up to the number *upto*, of one long run.

    False where it is no longer there, or not at rest. ``prune`` removes what is left.
    """
    there = _marked(db, [run_id], now)
    _pieces(db, there, upto)
    hit("store.prune.piece")
    return bool(there)


def _marked(db: sa.Connection, ids: Sequence[str], now: datetime) -> list[str]:
    """Lock them, and see to it that each has its row in saga_pruned."""
    pruned.lock(db)
    rows = db.execute(_LOCK, {"ids": sorted(ids)}).all()
    begun = pruned.of(db, [row.id for row in rows])
    new = [_gone(row, now) for row in rows if row.id not in begun]
    pruned.add(db, new)
    hit("store.prune.marked")
    return [row.id for row in rows]


def _gone(row: Any, now: datetime) -> Gone:  # noqa: ANN401  a row of _LOCK
    return Gone(
        number=0,
        run_id=row.id,
        saga=row.saga,
        run_key=row.run_key,
        status=row.status,
        ended_at=row.ended_at,
        revision=row.revision,
        journal_hash=bytes(row.journal_hash),
        pruned_at=now,
    )


def _pieces(db: sa.Connection, ids: Sequence[str], upto: int) -> None:
    for statement in _PIECES:
        db.execute(statement, {"ids": list(ids), "upto": upto})
        hit("store.prune.piece")


# ix_saga_effects_run_id.
_TOUCHED: Final = select(effects.c.connection, effects.c.task).where(effects.c.run_id.in_(IDS))


def touched(db: sa.Connection, ids: Sequence[str]) -> list[tuple[str, str]]:
    """``(connection, task)`` of every step of these runs that wrote to a target."""
    return [(row.connection, row.task) for row in db.execute(_TOUCHED, {"ids": list(ids)})]
