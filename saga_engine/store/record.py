"""T2: decisions become rows. One transaction for a batch; a run that moved meanwhile is left out, never overwritten.

The caller decided each event on a snapshot, outside of any transaction. Here the runs are locked in id order and
compared with those snapshots: the revision, and attempt and lease of every open task, because a claim raises the
attempt and not the revision. What differs was decided on the past, and is handed back to be decided again.

The rows written are the difference between the snapshot before and the snapshot after; the journal line holds the
event and the commands that explain it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select

from saga_engine.domain.snapshot import Snapshot
from saga_engine.failpoints import hit
from saga_engine.store import schema as s
from saga_engine.store.compiled import Compiled
from saga_engine.store.entry import Entry, Head, Heads, Pinned, beginning
from saga_engine.store.guard import ALLOWED, guarded
from saga_engine.store.inspect import BESIDE
from saga_engine.store.many import any_of, stamp_of
from saga_engine.store.rows import collect
from saga_engine.store.schema.runs import NUMBERS
from saga_engine.store.statements import WRITES
from saga_engine.store.written import Batch


def record(db: sa.Connection, entries: Sequence[Entry], now: datetime, heads: Heads | None = None) -> list[Entry]:
    """Write *entries*, at most one for each run, inside the caller's transaction; return those whose run has moved.

    Into *heads* goes what the runs are after it.
    """
    assert len({entry.run_id for entry in entries}) == len(entries), "two decisions on one snapshot exclude each other"
    locked = _lock(db, [entry.run_id for entry in entries if entry.new is None])
    numbers = _numbers(db, sum(entry.new is not None for entry in entries))
    batch = Batch(now, stamp_of(db.dialect.name))
    after: Heads = {}
    moved = []
    for entry in entries:
        if entry.new or _unmoved(entry.before, locked.get(entry.run_id)):
            after[entry.run_id] = collect(batch, entry, _before(entry, locked, numbers))
        else:
            moved.append(entry)
    hit("store.record.before_write")
    for name in WRITES.execute(db, batch):
        hit(f"store.record.{name}")
    if heads is not None:
        heads |= after
    return moved


def record_at_once(db: sa.Connection, entries: Sequence[Entry], now: datetime, heads: Heads, sent: datetime) -> bool:
    """The same by a single statement, of runs whose *heads* are known. False: nothing was written, take the long way.

    Some run has moved, or what these decisions write takes more than one statement, or it was *sent* too long ago.
    """
    batch = Batch(now, stamp_of(db.dialect.name))
    after = {entry.run_id: collect(batch, entry, heads[entry.run_id]) for entry in entries}
    hit("store.record.before_write")
    written = WRITES.if_allowed(db, batch, ALLOWED, guarded(entries, heads, sent))
    if written:
        heads |= after
    return bool(written)


class Locked(NamedTuple):
    """A locked run as it stands now, with its open tasks' fences."""

    head: Head
    fences: dict[str, tuple[int, str | None]]


def _locking(dialect: str) -> sa.CompoundSelect[*tuple[Any, ...]]:
    """The runs, then their open tasks, whose columns for runs are null: one statement locks them in this order.

    That a statement sees one moment takes nothing away: of a row that was locked it sees what became of it meanwhile,
    and where tasks have come or gone, the revision of the run differs.
    """
    runs, tasks, null = s.runs.c, s.tasks.c, sa.null()
    # Unique index of saga_runs, in id order, so that two batches never wait for each other in a circle.
    heads = select(runs.id, runs.revision, runs.number, runs.journal_hash, runs.definition, runs.queue, runs.host)
    heads = heads.where(any_of(runs.id, "ids", dialect)).order_by(runs.id).with_for_update(key_share=True)
    # ix_saga_tasks_run_id. A claim skips what is locked here, and waits for nothing.
    fences = select(tasks.run_id, tasks.attempt, tasks.name, tasks.leased_by)
    fences = fences.where(any_of(tasks.run_id, "ids", dialect)).order_by(tasks.run_id, tasks.name).with_for_update()
    first, second = heads.subquery("heads"), fences.subquery("fences")
    return sa.union_all(
        select(*first.c, null.label("name"), null.label("leased_by")),
        select(second.c.run_id, second.c.attempt, null, null, null, null, null, second.c.name, second.c.leased_by),
    )


_LOCKING: Final = Compiled({dialect: _locking(dialect) for dialect in ("sqlite", "postgresql")})


def _lock(db: sa.Connection, ids: list[str]) -> dict[str, Locked]:
    if not ids:
        return {}
    rows = _LOCKING.execute(db, {"ids": ids})
    hit("store.record.locked")
    heads = {}
    for run_id, counted, number, digest, definition, queue, host, name, leased_by in rows:
        if name is None:
            heads[run_id] = Locked(Head(number, counted, digest, Pinned(definition, queue, host)), {})
        else:
            heads[run_id].fences[name] = (counted, leased_by)
    return heads


class Numbered(NamedTuple):
    """The number of a new run, and the tags beside its own."""

    number: int
    neighbours: tuple[str, ...]


def numbered(db: sa.Connection, tag: str) -> Numbered:
    """What the start of a run asks PostgreSQL before it writes. A number that is not used after all is a gap."""
    ((number, *beside),) = _NUMBERED.execute(db, {"wanted": 1, "of": tag})
    return Numbered(number, tuple([neighbour for neighbour in beside if neighbour]))


def _numbers(db: sa.Connection, wanted: int) -> Iterator[int]:
    """So many numbers for new runs. One that is not used after all is a gap."""
    if not wanted:
        return iter(())
    if db.dialect.name == "postgresql":
        return iter([number for (number,) in _NEXT_NUMBERS.execute(db, {"wanted": wanted})])
    return count(_LAST_NUMBER.execute(db, {})[0][0] + 1)


def _next_numbers() -> sa.Select[Any]:
    series = func.generate_series(1, bindparam("wanted", type_=sa.Integer))
    return select(NUMBERS.next_value().label("number")).select_from(series)


_NEXT_NUMBERS: Final = Compiled(_next_numbers())
_NUMBERED: Final = Compiled(_next_numbers().add_columns(*BESIDE))
# Primary keys of saga_runs and saga_journal: lines whose run somebody has removed are nobody else's.
_LAST_NUMBER: Final = Compiled(
    select(
        func.max(
            func.coalesce(select(func.max(s.runs.c.number)).scalar_subquery(), 0),
            func.coalesce(select(func.max(s.journal.c.run)).scalar_subquery(), 0),
        )
    )
)


def _before(entry: Entry, locked: dict[str, Locked], numbers: Iterator[int]) -> Head:
    """The run as it was: its number, what it is pinned to, and the hash of its last journal line."""
    if entry.new:
        return Head(next(numbers), 0, beginning(entry.run_id), entry.new.pinned)
    return locked[entry.run_id].head


def _unmoved(before: Snapshot, locked: Locked | None) -> bool:
    if locked is None or locked.head.revision != before.revision:
        return False
    return locked.fences == {task.name: (task.attempt, task.leased_by) for task in before.tasks}
