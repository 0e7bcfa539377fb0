"""The statements of T2, built once, in the order in which they are executed: each takes rows of its kind."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import delete, func, update

from saga_engine.store import schema as s
from saga_engine.store import written as w
from saga_engine.store.many import Given, Many, Statement, Writes

Found: TypeAlias = Callable[[Given], sa.ColumnElement[bool]]
"""The condition that finds the row which the values are for, by its primary key."""
Columns: TypeAlias = Callable[[Given], Mapping[str, sa.ColumnElement[Any]]]
"""What columns become that no value is named after."""

_RUN: Final[Found] = lambda given: s.runs.c.id == given("run")  # noqa: E731  one of many conditions
_TASK: Final[Found] = lambda given: s.tasks.c.name == given("task")  # noqa: E731  one of many conditions
_GATE: Final[Found] = lambda given: s.approvals.c.task == given("gate")  # noqa: E731  one of many conditions

_OTHERS: Final[Mapping[str, sa.types.TypeEngine[Any]]] = {
    "run": s.runs.c.id.type,
    "task": s.tasks.c.name.type,
    "gate": s.approvals.c.task.type,
    "of": s.runs.c.number.type,
    "place": sa.Integer(),
    "by": sa.Text(),
    "why": sa.Text(),
    "forgiven": sa.Boolean(),
    "entered_at_new": s.Moment(),
    "ended_at_new": s.Moment(),
    "leased_at_new": s.Moment(),
}
"""The types of values that are no columns."""


def _place(table: sa.Table) -> Found:
    return lambda given: sa.and_(table.c.run == given("of"), table.c.position == given("place"))


def _arrived(given: Given) -> sa.ColumnElement[bool]:
    return sa.and_(s.inbox.c.run_id == given("run"), s.inbox.c.number == given("place"))


def _new(table: sa.Table, row: type[Any], renews: str = "") -> Many:
    """New rows of *table*; of one that is there already, the column that it *renews* is set."""
    return Many({name: table.c[name].type for name in row._fields}, table, renews)


def _gone(table: sa.Table, row: type[Any], found: Found) -> Many:
    """Rows of *table* that go."""
    return Many({name: _OTHERS[name] for name in row._fields}, lambda given: delete(table).where(found(given)))


def _changes(table: sa.Table, row: type[Any], found: Found, more: Columns = lambda _given: {}) -> Many:
    """Rows of *table* in which each column is set that a value is named after, and *more*."""
    named = [name for name in row._fields if name not in _OTHERS]

    def made(given: Given) -> Statement:
        return update(table).values({**{name: given(name) for name in named}, **more(given)}).where(found(given))

    types = {name: _OTHERS[name] if name in _OTHERS else table.c[name].type for name in row._fields}
    return Many(types, made)


def _held(name: str, column: sa.Column[Any]) -> Columns:
    """The column becomes the value *name*, or stays where that is null."""
    return lambda given: {column.name: func.coalesce(given(name), column)}


def _moved(given: Given) -> Mapping[str, sa.ColumnElement[Any]]:
    return {**_held("entered_at_new", s.runs.c.entered_at)(given), **_held("ended_at_new", s.runs.c.ended_at)(given)}


def _leased(given: Given) -> Mapping[str, sa.ColumnElement[Any]]:
    crashes = sa.case((given("forgiven"), sa.literal_column("0")), else_=s.tasks.c.crashes)
    return {**_held("leased_at_new", s.tasks.c.leased_at)(given), "crashes": crashes}


def _paused(given: Given) -> Mapping[str, sa.ColumnElement[Any]]:
    return {"paused_by": given("by"), "paused_reason": given("why")}


# Every update and delete finds its row by a primary key.
_EACH: Final[Mapping[str, Many]] = {
    "runs": _new(s.runs, w.NewRunRow),
    "journal": _new(s.journal, w.JournalRow),
    "run_changes": _changes(s.runs, w.RunRow, _RUN, _moved),
    "tasks_gone": _gone(s.tasks, w.TaskGone, _TASK),
    "task_changes": _changes(s.tasks, w.TaskRow, _TASK, _leased),
    "tasks": _new(s.tasks, w.NewTaskRow),
    "results": _new(s.results, w.ResultRow),
    "results_undone": _changes(s.results, w.ResultUndone, _place(s.results)),
    "undo": _new(s.undo, w.UndoRow, renews="status"),
    "pauses": _changes(s.runs, w.PauseRow, _RUN, _paused),
    "inbox": _new(s.inbox, w.InboxRow),
    "inbox_changes": _changes(s.inbox, w.InboxChange, _arrived),
    "approvals": _new(s.approvals, w.ApprovalRow),
    "approvals_widened": _changes(s.approvals, w.ApprovalWidened, _GATE),
    "votes": _new(s.votes, w.VoteRow),
    "approvals_closed": _changes(s.approvals, w.ApprovalClosed, _GATE),
}

WRITES: Final = Writes(_EACH, together=[*_EACH][: [*_EACH].index("pauses")])
"""The rows that T2 writes. What most decisions write is written together."""
