"""The next snapshot out of the old one and one command. With the journal's commands this replays a run."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from saga_engine.domain import commands as c
from saga_engine.domain.frozen import copied, put, replace
from saga_engine.domain.snapshot import OpenGate, Result, Snapshot, Task, UndoEntry, WaitingEvent
from saga_engine.domain.values import Status


def evolve(run: Snapshot, command: c.Command) -> Snapshot:
    """Return *run* as it is after *command*.

    Attempt and lease are not a decision's to change, but to end, and to count on from what a target has seen.
    """
    after = copied(run)
    apply(after, command)
    return after


def apply(run: Snapshot, command: c.Command) -> None:
    """Do *command* to *run*, which is the caller's own copy: a decision makes one, not one for each command.

    Only the fields themselves are set; what they hold is never changed, for other snapshots share it.
    """
    APPLIED[type(command)](run, command)


def settled(run: Snapshot) -> Snapshot:
    """Return *run* as it is at the end of a decision."""
    after = copied(run)
    settle(after)
    return after


def settle(run: Snapshot) -> None:
    """Give *run*, at the end of a decision, one more revision and the status that its tasks amount to."""
    put(run, "revision", run.revision + 1)
    if not run.ended:
        put(run, "status", live_status(run))


def live_status(run: Snapshot) -> Status:
    """parked where anything is, waiting where the head waits for somebody, else running."""
    if any(task.parked for task in run.tasks):
        return "parked"
    head = run.head()
    return "waiting" if head is not None and head.kind in ("wait", "gate") else "running"


def held(run: Snapshot, due_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """``(due_at, resumes_at)`` for a task that comes due at *due_at*: a paused run keeps it for later."""
    return (None, due_at) if run.paused else (due_at, None)


def _move(run: Snapshot, move: c.Move) -> None:
    put(run, "state", move.target)
    put(run, "open", False)  # noqa: FBT003  a value, no flag
    put(run, "transitions", run.transitions + 1)
    put(run, "visits", {**run.visits, move.target: move.visit})


def _open(run: Snapshot, _: c.OpenState) -> None:
    put(run, "open", True)  # noqa: FBT003  a value, no flag


def _turn_back(run: Snapshot, turn: c.BeginRollback) -> None:
    put(run, "cancelling", run.cancelling or turn.cancelling)
    put(run, "rollback_to", turn.to)
    put(run, "rollback_floor", max((x.position for x in run.undo if x.state == turn.to and x.is_left), default=0))


def _pause(run: Snapshot, _: c.Pause) -> None:
    put(run, "paused", True)  # noqa: FBT003  a value, no flag
    put(run, "tasks", tuple(map(_paused, run.tasks)))


def _resume(run: Snapshot, _: c.Resume) -> None:
    put(run, "paused", False)  # noqa: FBT003  a value, no flag
    put(run, "tasks", tuple(map(_resumed, run.tasks)))


def _finish(run: Snapshot, finish: c.Finish) -> None:
    put(run, "status", finish.status)


def _add(run: Snapshot, add: c.AddTask) -> None:
    put(run, "tasks", (*run.tasks, add.task))


def _close(run: Snapshot, close: c.CloseTask) -> None:
    put(run, "tasks", tuple([task for task in run.tasks if task.name != close.task]))


def _change(run: Snapshot, command: c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park) -> None:
    tasks = [_changed(run, task, command) if task.name == command.task else task for task in run.tasks]
    put(run, "tasks", tuple(tasks))


def _changed(run: Snapshot, task: Task, command: c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park) -> Task:
    match command:
        case c.SetDue(due_at=due_at, failures=failures, error=error):
            due, later = held(run, due_at)
            return replace(_over(task), parked=None, due_at=due, resumes_at=later, failures=failures, error=error)
        case c.RaiseAttempt(attempt=attempt):
            return replace(task, attempt=max(task.attempt, attempt))
        case c.EndAttempt(then=then, due_at=due_at, failures=failures, error=error):
            asked_at = task.due_at or task.resumes_at  # due, also while paused: if its worker dies, another one asks
            return replace(task, ending=then, due_at=asked_at, resumes_at=due_at, failures=failures, error=error)
        case _:
            text, failures = command.parked.text, command.failures
            return replace(
                _over(task), parked=command.parked, due_at=None, resumes_at=None, failures=failures, error=text
            )


def _over(task: Task) -> Task:
    """No attempt of it is open, and none is missing."""
    if task.leased_by is None and task.ending is None and task.lost_by is None and not task.lost_dead:
        return task
    return replace(task, leased_by=None, ending=None, lost_by=None, lost_dead=False)


def _paused(task: Task) -> Task:
    """Nobody claims it; a leased attempt runs on and is recorded, one that was lost while ending is asked about."""
    if task.due_at is None or task.leased_by is not None or task.ending is not None:
        return task
    return replace(task, due_at=None, resumes_at=task.due_at)


def _resumed(task: Task) -> Task:
    if task.resumes_at is None or task.ending is not None:
        return task
    return replace(task, due_at=task.resumes_at, resumes_at=None)


def _add_result(run: Snapshot, add: c.AddResult) -> None:
    result = Result(add.state, add.visit, add.source, add.value, run.revision + 1)
    put(run, "results", (*run.results, result))


def _forget(run: Snapshot, forget: c.ForgetResults) -> None:
    results = [replace(r, undone=r.undone or r.revision > forget.revision) for r in run.results]
    put(run, "results", tuple(results))


def _push_undo(run: Snapshot, push: c.PushUndo) -> None:
    entry = UndoEntry(push.position, push.state, push.visit, push.task, run.revision + 1)
    put(run, "undo", (*run.undo, entry))


def _set_undo(run: Snapshot, command: c.SetUndo) -> None:
    """With an undone step goes its result, but nothing that people sent meanwhile."""
    position, status = command.position, command.status
    undo = tuple([replace(entry, status=status) if entry.position == position else entry for entry in run.undo])
    put(run, "undo", undo)
    if status in ("undone", "skipped"):
        gone = {(e.state, e.visit) for e in undo if e.position == position}
        put(run, "results", tuple([replace(r, undone=True) if _came_of(r, gone) else r for r in run.results]))


def _came_of(result: Result, gone: set[tuple[str, int]]) -> bool:
    return (result.state, result.visit) in gone and not result.source.startswith("event:")


def _keep_event(run: Snapshot, kept: c.KeepEvent) -> None:
    event = WaitingEvent(kept.number, kept.name, kept.payload, kept.actor, kept.source)
    put(run, "inbox", (*run.inbox, event))


def _note_event(run: Snapshot, _: c.NoteEvent) -> None:
    """It waits for nothing: only the store remembers its key."""


def _take_event(run: Snapshot, take: c.TakeEvent) -> None:
    put(run, "inbox", tuple(event for event in run.inbox if event.number != take.number))


def _open_gate(run: Snapshot, opened: c.OpenApproval) -> None:
    put(run, "gate", opened.gate)


def _count(run: Snapshot, count: c.CountVote) -> None:
    gate = _gate(run)
    put(run, "gate", replace(gate, votes=(*gate.votes, count.vote)))


def _widen(run: Snapshot, widen: c.WidenGate) -> None:
    gate = _gate(run)
    put(run, "gate", replace(gate, roles=(*gate.roles, widen.role)))


def _close_gate(run: Snapshot, _: c.CloseApproval) -> None:
    put(run, "gate", None)


def _gate(run: Snapshot) -> OpenGate:
    assert run.gate is not None, "only an open gate is voted at or widened"
    return run.gate


APPLIED: Final[Mapping[type[c.Command], Callable[[Snapshot, Any], None]]] = {
    c.Move: _move,
    c.OpenState: _open,
    c.BeginRollback: _turn_back,
    c.Pause: _pause,
    c.Resume: _resume,
    c.Finish: _finish,
    c.AddTask: _add,
    c.CloseTask: _close,
    c.SetDue: _change,
    c.EndAttempt: _change,
    c.RaiseAttempt: _change,
    c.Park: _change,
    c.AddResult: _add_result,
    c.ForgetResults: _forget,
    c.PushUndo: _push_undo,
    c.SetUndo: _set_undo,
    c.KeepEvent: _keep_event,
    c.NoteEvent: _note_event,
    c.TakeEvent: _take_event,
    c.OpenApproval: _open_gate,
    c.CountVote: _count,
    c.WidenGate: _widen,
    c.CloseApproval: _close_gate,
}
"""What each command does. A test holds this against the type: a command without a line here is a bug."""
