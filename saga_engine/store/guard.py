"""The lock and the comparison of T2 as part of the statement that writes: on PostgreSQL one round trip instead of four.

What ``record._lock`` reads is known to who has recorded the run last. The runs are locked in id order, then their open
tasks, as there; where anything differs from what was decided on, nothing is written, and the caller takes the long way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from msgspec.json import Encoder
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects import postgresql

from saga_engine.store import schema as s
from saga_engine.store.entry import Entry, Head, Heads

STALE_SECONDS: Final = 2.0
"""A statement that is executed later than this writes nothing.

Its client may have given it up, and must be able to know that it never takes: before it is executed it holds no lock.
"""


def guarded(entries: Sequence[Entry], heads: Heads, sent: datetime) -> Mapping[str, Any]:
    """The values of ``ALLOWED`` for these entries, whose runs all have a head; a new run has no rows yet to differ.

    *sent*, by the database's clock, is when the statement is on its way.
    """
    runs = [_run(entry.run_id, heads[entry.run_id]) for entry in entries if entry.new is None]
    fences = [
        {"run": entry.run_id, "task": task.name, "attempt": task.attempt, "holder": task.leased_by}
        for entry in entries
        for task in entry.before.tasks
    ]
    return {
        "guard_runs": _ENCODER.encode(runs).decode(),
        "guard_tasks": _ENCODER.encode(fences).decode(),
        "runs_wanted": len(runs),
        "tasks_wanted": len(fences),
        "until": sent + timedelta(seconds=STALE_SECONDS),
    }


def _run(run_id: str, head: Head) -> Mapping[str, Any]:
    # The host of its files is the one thing of a run that changes without a revision.
    return {"run": run_id, "revision": head.revision, "hash": head.journal_hash, "host": head.pinned.host}


def _rows_of(name: str, **types: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    """The JSON array that is bound as *name*, as rows."""
    rows = func.json_to_recordset(sa.cast(bindparam(name, type_=sa.Text), postgresql.JSON))
    columns = rows.table_valued(*(sa.column(key, kind) for key, kind in types.items()))
    return columns.render_derived(name=name, with_types=True)


def _allowed() -> sa.CTE:
    runs, tasks = s.runs.c, s.tasks.c
    wanted = _rows_of("guard_runs", run=runs.id.type, revision=sa.Integer(), hash=sa.Text(), host=sa.Text())
    # Unique index of saga_runs.
    same_run = sa.and_(
        runs.id == wanted.c.run,
        runs.revision == wanted.c.revision,
        runs.journal_hash == func.decode(wanted.c.hash, sa.literal_column("'base64'")),
        runs.host.is_not_distinct_from(wanted.c.host),
    )
    heads = select(runs.id).join_from(wanted, s.runs, same_run).order_by(runs.id)
    locked = heads.with_for_update(key_share=True, of=s.runs).cte("guard_heads")
    fence = _rows_of("guard_tasks", run=runs.id.type, task=tasks.name.type, attempt=sa.Integer(), holder=sa.Text())
    # Primary key of saga_tasks. Sorted behind the join: all runs are locked before the first task is.
    same_task = sa.and_(
        tasks.name == fence.c.task,
        tasks.attempt == fence.c.attempt,
        tasks.leased_by.is_not_distinct_from(fence.c.holder),
    )
    held = select(tasks.name).join_from(locked, fence, fence.c.run == locked.c.id).join(s.tasks, same_task)
    fences = held.order_by(tasks.run_id, tasks.name).with_for_update(of=s.tasks).cte("guard_fences")
    all_runs = select(func.count()).select_from(locked).scalar_subquery() == bindparam("runs_wanted", type_=sa.Integer)
    all_tasks = select(func.count()).select_from(fences).scalar_subquery() == bindparam(
        "tasks_wanted", type_=sa.Integer
    )
    # A CASE, for its parts are looked at in order: the clock when all locks are held.
    in_time = func.clock_timestamp() < bindparam("until", type_=s.Moment)
    allowed = sa.case((sa.and_(all_runs, all_tasks), in_time), else_=sa.false())
    return select(allowed.label("allowed")).cte("guard")


ALLOWED: Final = _allowed()
"""One row: whether all is as it was."""
_ENCODER: Final = Encoder()
