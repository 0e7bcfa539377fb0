"""The statements of T2, built once, in the order in which they are executed: each takes a list of rows."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, func, insert, update

from saga_engine.store import schema as s
from saga_engine.store.many import Many


def _changes(table: sa.Table, columns: tuple[str, ...], **more: sa.ColumnElement[Any]) -> sa.Update:
    """An update that takes the new value of each of *columns* under its own name."""
    return update(table).values({**{name: bindparam(name) for name in columns}, **more})


_RUN = (
    "state",
    "status",
    "open",
    "revision",
    "transitions",
    "visits",
    "paused",
    "cancelling",
    "rollback_to",
    "updated_at",
    "journal_hash",
)
_TASK = (
    "due_at",
    "resumes_at",
    "attempt",
    "leased_by",
    "failures",
    "lost_by",
    "lost_dead",
    "ending",
    "error",
    "parked_code",
    "parked_text",
    "parked_outcome",
)

# Every update and delete finds its row by a primary key.
_STATEMENTS: Mapping[str, sa.Insert | sa.Update | sa.Delete] = {
    "runs": insert(s.runs),
    "run_changes": _changes(
        s.runs,
        _RUN,
        entered_at=func.coalesce(bindparam("entered_at_new", type_=s.Moment), s.runs.c.entered_at),
        ended_at=func.coalesce(bindparam("ended_at_new", type_=s.Moment), s.runs.c.ended_at),
    ).where(s.runs.c.id == bindparam("run")),
    "pauses": update(s.runs)
    .where(s.runs.c.id == bindparam("run"))
    .values(paused_by=bindparam("by"), paused_reason=bindparam("why")),
    "journal": insert(s.journal),
    "tasks_gone": delete(s.tasks).where(s.tasks.c.name == bindparam("ta")),
    "task_changes": _changes(
        s.tasks,
        _TASK,
        leased_at=func.coalesce(bindparam("leased_at_new", type_=s.Moment), s.tasks.c.leased_at),
        crashes=sa.case((bindparam("forgiven", type_=sa.Boolean), sa.literal_column("0")), else_=s.tasks.c.crashes),
    ).where(s.tasks.c.name == bindparam("ta")),
    "tasks": insert(s.tasks),
    "results": insert(s.results),
    "results_undone": _changes(s.results, ("undone",)).where(
        s.results.c.run_id == bindparam("r"), s.results.c.position == bindparam("po")
    ),
    "undo": insert(s.undo),
    "undo_changes": _changes(s.undo, ("status",)).where(
        s.undo.c.run_id == bindparam("r"), s.undo.c.position == bindparam("po")
    ),
    "inbox": insert(s.inbox),
    "inbox_changes": _changes(s.inbox, ("fate",)).where(
        s.inbox.c.run_id == bindparam("r"), s.inbox.c.number == bindparam("nu")
    ),
    "approvals": insert(s.approvals),
    "approvals_widened": _changes(s.approvals, ("roles",)).where(s.approvals.c.task == bindparam("ta")),
    "votes": insert(s.votes),
    "approvals_closed": _changes(s.approvals, ("outcome",)).where(s.approvals.c.task == bindparam("ta")),
}

WRITES: Mapping[str, Many] = {name: Many(statement) for name, statement in _STATEMENTS.items()}
