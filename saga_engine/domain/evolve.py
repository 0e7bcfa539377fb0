"""The next snapshot out of the old one and one command. With the journal's commands this replays a run."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from saga_engine.domain import commands as c
from saga_engine.domain.snapshot import Result, Snapshot, Task, UndoEntry, WaitingEvent
from saga_engine.domain.values import Status


def evolve(run: Snapshot, command: c.Command) -> Snapshot:
    """Return *run* as it is after *command*. Attempt and lease are not a decision's to change, but to end."""
    match command:
        case c.Move(target=target, visit=visit):
            return replace(run, state=target, open=False, transitions=run.transitions + 1, visits={**run.visits, target: visit})
        case c.OpenState():
            return replace(run, open=True)
        case c.AddTask() | c.CloseTask() | c.SetDue() | c.EndAttempt() | c.Park():
            return replace(run, tasks=_tasks(run, command))
        case c.AddResult(state=state, visit=visit, source=source, value=value):
            return replace(run, results=(*run.results, Result(state, visit, source, value, run.revision + 1)))
        case c.PushUndo(position=position, state=state, visit=visit, task=task):
            return replace(run, undo=(*run.undo, UndoEntry(position, state, visit, task, run.revision + 1)))
        case c.SetUndo():
            return _set_undo(run, command)
        case c.ForgetResults(revision=revision):
            return replace(run, results=tuple(replace(r, undone=r.undone or r.revision > revision) for r in run.results))
        case c.KeepEvent(number=number, name=name, payload=payload, actor=actor, source=source):
            return replace(run, inbox=(*run.inbox, WaitingEvent(number, name, payload, actor, source)))
        case c.NoteEvent():
            return run
        case c.TakeEvent(number=number):
            return replace(run, inbox=tuple(event for event in run.inbox if event.number != number))
        case c.OpenApproval(gate=gate):
            return replace(run, gate=gate)
        case c.CountVote() | c.WidenGate():
            return _gate(run, command)
        case c.CloseApproval():
            return replace(run, gate=None)
        case c.BeginRollback(cancelling=cancelling, to=to):
            return replace(run, cancelling=run.cancelling or cancelling, rollback_to=to)
        case c.Pause():
            return replace(run, paused=True, tasks=tuple(map(_paused, run.tasks)))
        case c.Resume():
            return replace(run, paused=False, tasks=tuple(map(_resumed, run.tasks)))
        case c.Finish(status=status):
            return replace(run, status=status)


def settled(run: Snapshot) -> Snapshot:
    """*run* at the end of a decision: one more revision, and the status that its tasks amount to."""
    return replace(run, revision=run.revision + 1, status=run.status if run.ended else live_status(run))


def live_status(run: Snapshot) -> Status:
    """parked where anything is, waiting where the head waits for somebody, else running."""
    if any(task.parked for task in run.tasks):
        return "parked"
    head = run.head()
    return "waiting" if head is not None and head.kind in ("wait", "gate") else "running"


def _tasks(
    run: Snapshot, command: c.AddTask | c.CloseTask | c.SetDue | c.EndAttempt | c.Park
) -> tuple[Task, ...]:
    match command:
        case c.AddTask(task=task):
            return (*run.tasks, task)
        case c.CloseTask(task=name):
            return tuple(task for task in run.tasks if task.name != name)
        case c.SetDue(task=name, due_at=due_at, failures=failures, error=error):
            due, later = held(run, due_at)
            changes: dict[str, Any] = {"due_at": due, "resumes_at": later, "failures": failures, "error": error}
            return _changed(run, name, leased_by=None, ending=None, parked=None, **changes)
        case c.EndAttempt(task=name, then=then, due_at=due_at, failures=failures, error=error):
            return _changed(run, name, ending=then, resumes_at=due_at, failures=failures, error=error)
        case c.Park(task=name, parked=parked, failures=failures):
            set_aside: dict[str, Any] = {"due_at": None, "resumes_at": None, "leased_by": None, "ending": None}
            return _changed(run, name, parked=parked, failures=failures, error=parked.text, **set_aside)


def held(run: Snapshot, due_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """``(due_at, resumes_at)`` for a task that comes due at *due_at*: a paused run keeps it for later."""
    return (None, due_at) if run.paused else (due_at, None)


def _changed(run: Snapshot, name: str, **fields: Any) -> tuple[Task, ...]:
    return tuple(replace(task, **fields) if task.name == name else task for task in run.tasks)


def _paused(task: Task) -> Task:
    """Nobody claims it; a leased attempt runs on and is recorded."""
    if task.due_at is None or task.leased_by is not None:
        return task
    return replace(task, due_at=None, resumes_at=task.due_at)


def _resumed(task: Task) -> Task:
    if task.resumes_at is None or task.ending is not None:
        return task
    return replace(task, due_at=task.resumes_at, resumes_at=None)


def _set_undo(run: Snapshot, command: c.SetUndo) -> Snapshot:
    """The entry's status; with an undone entry goes the result of its visit."""
    undo = tuple(replace(e, status=command.status) if e.position == command.position else e for e in run.undo)
    if command.status not in ("undone", "skipped"):
        return replace(run, undo=undo)
    entry = next(e for e in run.undo if e.position == command.position)
    results = tuple(
        replace(r, undone=True) if (r.state, r.visit) == (entry.state, entry.visit) else r for r in run.results
    )
    return replace(run, undo=undo, results=results)


def _gate(run: Snapshot, command: c.CountVote | c.WidenGate) -> Snapshot:
    assert run.gate is not None, "votes are counted at an open gate only"
    match command:
        case c.CountVote(vote=vote):
            return replace(run, gate=replace(run.gate, votes=(*run.gate.votes, vote)))
        case c.WidenGate(role=role):
            return replace(run, gate=replace(run.gate, roles=(*run.gate.roles, role)))


