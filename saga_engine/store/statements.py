"""The statements of T2, built once, in the order in which they are executed: each takes a list of rows of its kind."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, delete, func, insert, update

from saga_engine.store import schema as s
from saga_engine.store import written as w
from saga_engine.store.many import Many


def _changes(table: sa.Table, row: type[Any], **more: sa.ColumnElement[Any]) -> sa.Update:
    """An update that sets each column that a value of *row* is named after."""
    named: dict[str, Any] = {name: bindparam(name) for name in row._fields if name in table.c}
    return update(table).values({**named, **more})


def _held(name: str, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The value *name*, or what is there where it is null."""
    return func.coalesce(bindparam(name, type_=column.type), column)


_FORGIVEN: Final = sa.case((bindparam("forgiven", type_=sa.Boolean), sa.literal_column("0")), else_=s.tasks.c.crashes)
_RUN: Final = s.runs.c.id == bindparam("run")
_TASK: Final = s.tasks.c.name == bindparam("task")
_GATE: Final = s.approvals.c.task == bindparam("gate")


def _place(table: sa.Table, number: str = "position") -> sa.ColumnElement[bool]:
    return sa.and_(table.c.run_id == bindparam("run"), table.c[number] == bindparam("place"))


# Every update and delete finds its row by a primary key.
_STATEMENTS: Final[Mapping[str, tuple[type[Any], sa.Insert | sa.Update | sa.Delete]]] = {
    "runs": (w.NewRunRow, insert(s.runs)),
    "run_changes": (
        w.RunRow,
        _changes(
            s.runs,
            w.RunRow,
            entered_at=_held("entered_at_new", s.runs.c.entered_at),
            ended_at=_held("ended_at_new", s.runs.c.ended_at),
        ).where(_RUN),
    ),
    "pauses": (
        w.PauseRow,
        update(s.runs).values(paused_by=bindparam("by"), paused_reason=bindparam("why")).where(_RUN),
    ),
    "journal": (w.JournalRow, insert(s.journal)),
    "tasks_gone": (w.TaskGone, delete(s.tasks).where(_TASK)),
    "task_changes": (
        w.TaskRow,
        _changes(s.tasks, w.TaskRow, leased_at=_held("leased_at_new", s.tasks.c.leased_at), crashes=_FORGIVEN).where(
            _TASK
        ),
    ),
    "tasks": (w.NewTaskRow, insert(s.tasks)),
    "results": (w.ResultRow, insert(s.results)),
    "results_undone": (w.ResultUndone, _changes(s.results, w.ResultUndone).where(_place(s.results))),
    "undo": (w.UndoRow, insert(s.undo)),
    "undo_changes": (w.UndoChange, _changes(s.undo, w.UndoChange).where(_place(s.undo))),
    "inbox": (w.InboxRow, insert(s.inbox)),
    "inbox_changes": (w.InboxChange, _changes(s.inbox, w.InboxChange).where(_place(s.inbox, "number"))),
    "approvals": (w.ApprovalRow, insert(s.approvals)),
    "approvals_widened": (w.ApprovalWidened, _changes(s.approvals, w.ApprovalWidened).where(_GATE)),
    "votes": (w.VoteRow, insert(s.votes)),
    "approvals_closed": (w.ApprovalClosed, _changes(s.approvals, w.ApprovalClosed).where(_GATE)),
}

WRITES: Final[Mapping[str, Many]] = {name: Many(made, row._fields) for name, (row, made) in _STATEMENTS.items()}
