"""T2: decisions become rows. One transaction for a batch; a run that moved meanwhile is left out, never overwritten.

The caller decided each event on a snapshot, outside of any transaction. Here the runs are locked in id order and
compared with those snapshots: the revision, and attempt and lease of every open task, because a claim raises the
attempt and not the revision. What differs was decided on the past, and is handed back to be decided again.

The rows written are the difference between the snapshot before and the snapshot after; the journal line holds the
event and the commands that explain it.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.domain.frozen import Value
from saga_engine.domain.snapshot import Snapshot
from saga_engine.failpoints import hit
from saga_engine.store import schema as s
from saga_engine.store.entry import NO_HASH, Entry, Pinned
from saga_engine.store.many import stamp_of
from saga_engine.store.rows import Batch, collect
from saga_engine.store.statements import WRITES


def record(db: sa.Connection, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """Write *entries*, at most one for each run, inside the caller's transaction; return those whose run has moved."""
    assert len({entry.run_id for entry in entries}) == len(entries), "two decisions on one snapshot exclude each other"
    heads = _lock(db, [entry.run_id for entry in entries if entry.new is None])
    batch = Batch(now, stamp_of(db.dialect.name))
    moved = []
    for entry in entries:
        after = entry.decision.after
        assert after.ended or after.tasks, f"{after.run_id} would be live without an open task: nobody would look again"
        if entry.new or _unmoved(entry.before, heads.get(entry.run_id)):
            pinned, previous = _chained(entry, heads)
            collect(batch, entry, pinned, previous)
        else:
            moved.append(entry)
    hit("store.record.before_write")
    for name, statement in WRITES.items():
        if batch[name]:
            statement.execute(db, batch[name])
            hit(f"store.record.{name}")
    return moved


class Head(Value):
    """A locked run as it stands now, with its open tasks' fences."""

    revision: int
    journal_hash: bytes
    pinned: Pinned
    fences: dict[str, tuple[int, str | None]]


# Primary key of saga_runs, in id order, so that two batches never wait for each other in a circle.
_LOCK_RUNS = (
    select(s.runs.c.id, s.runs.c.revision, s.runs.c.journal_hash, s.runs.c.definition, s.runs.c.queue, s.runs.c.host)
    .where(s.runs.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(s.runs.c.id)
    .with_for_update(key_share=True)
)
# ix_saga_tasks_run_id. A claim skips what is locked here, and waits for nothing.
_LOCK_TASKS = (
    select(s.tasks.c.name, s.tasks.c.run_id, s.tasks.c.attempt, s.tasks.c.leased_by)
    .where(s.tasks.c.run_id.in_(bindparam("ids", expanding=True)))
    .order_by(s.tasks.c.run_id, s.tasks.c.name)
    .with_for_update()
)


def _lock(db: sa.Connection, ids: list[str]) -> dict[str, Head]:
    if not ids:
        return {}
    rows = db.execute(_LOCK_RUNS, {"ids": ids}).all()
    hit("store.record.locked")
    fences: dict[str, dict[str, tuple[int, str | None]]] = defaultdict(dict)
    tasks = db.execute(_LOCK_TASKS, {"ids": ids}).all()
    hit("store.record.tasks_locked")
    for name, run_id, attempt, leased_by in tasks:
        fences[run_id][name] = (attempt, leased_by)
    return {
        run_id: Head(revision, digest, Pinned(definition, queue, host), fences[run_id])
        for run_id, revision, digest, definition, queue, host in rows
    }


def _chained(entry: Entry, heads: dict[str, Head]) -> tuple[Pinned, bytes]:
    """What the run is pinned to, and the hash of its last journal line."""
    if entry.new:
        return entry.new.pinned, NO_HASH
    head = heads[entry.run_id]
    return head.pinned, head.journal_hash


def _unmoved(before: Snapshot, head: Head | None) -> bool:
    if head is None or head.revision != before.revision:
        return False
    return head.fences == {task.name: (task.attempt, task.leased_by) for task in before.tasks}
