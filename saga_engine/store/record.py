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
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select

from saga_engine.domain.frozen import Value
from saga_engine.domain.snapshot import Snapshot
from saga_engine.failpoints import hit
from saga_engine.store import schema as s
from saga_engine.store.entry import Entry, Pinned, beginning
from saga_engine.store.many import any_of, stamp_of
from saga_engine.store.rows import Batch, collect
from saga_engine.store.schema.runs import NUMBERS
from saga_engine.store.statements import WRITES


def record(db: sa.Connection, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """Write *entries*, at most one for each run, inside the caller's transaction; return those whose run has moved."""
    assert len({entry.run_id for entry in entries}) == len(entries), "two decisions on one snapshot exclude each other"
    heads = _lock(db, [entry.run_id for entry in entries if entry.new is None])
    numbers = _numbers(db, sum(entry.new is not None for entry in entries))
    batch = Batch(now, stamp_of(db.dialect.name))
    moved = []
    for entry in entries:
        after = entry.decision.after
        assert after.ended or after.tasks, f"{after.run_id} would be live without an open task: nobody would look again"
        if entry.new or _unmoved(entry.before, heads.get(entry.run_id)):
            collect(batch, entry, *_chained(entry, heads, numbers))
        else:
            moved.append(entry)
    hit("store.record.before_write")
    for name in WRITES.execute(db, batch):
        hit(f"store.record.{name}")
    return moved


class Head(Value):
    """A locked run as it stands now, with its open tasks' fences."""

    number: int
    revision: int
    journal_hash: bytes
    pinned: Pinned
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


_LOCKING: Final = {dialect: _locking(dialect) for dialect in ("sqlite", "postgresql")}


def _lock(db: sa.Connection, ids: list[str]) -> dict[str, Head]:
    if not ids:
        return {}
    rows = db.execute(_LOCKING[db.dialect.name], {"ids": ids}).all()
    hit("store.record.locked")
    heads = {}
    for run_id, counted, number, digest, definition, queue, host, name, leased_by in rows:
        if name is None:
            heads[run_id] = Head(number, counted, digest, Pinned(definition, queue, host), {})
        else:
            heads[run_id].fences[name] = (counted, leased_by)
    return heads


def _numbers(db: sa.Connection, wanted: int) -> Iterator[int]:
    """So many numbers for new runs. One that is not used after all is a gap."""
    if not wanted:
        return iter(())
    if db.dialect.name == "postgresql":
        return iter([number for (number,) in db.execute(_NEXT_NUMBERS, {"wanted": wanted})])
    return count(db.execute(_LAST_NUMBER).scalar_one() + 1)


_NEXT_NUMBERS: Final = select(NUMBERS.next_value()).select_from(
    func.generate_series(1, bindparam("wanted", type_=sa.Integer))
)
# Primary keys of saga_runs and saga_journal: lines whose run somebody has removed are nobody else's.
_LAST_NUMBER: Final = select(
    func.max(
        func.coalesce(select(func.max(s.runs.c.number)).scalar_subquery(), 0),
        func.coalesce(select(func.max(s.journal.c.run)).scalar_subquery(), 0),
    )
)


def _chained(entry: Entry, heads: dict[str, Head], numbers: Iterator[int]) -> tuple[int, Pinned, bytes]:
    """The run's number, what it is pinned to, and the hash of its last journal line."""
    if entry.new:
        return next(numbers), entry.new.pinned, beginning(entry.run_id)
    head = heads[entry.run_id]
    return head.number, head.pinned, head.journal_hash


def _unmoved(before: Snapshot, head: Head | None) -> bool:
    if head is None or head.revision != before.revision:
        return False
    return head.fences == {task.name: (task.attempt, task.leased_by) for task in before.tasks}
