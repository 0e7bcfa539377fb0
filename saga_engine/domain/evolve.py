"""The next snapshot out of the old one and one command. With the journal's commands this replays a run."""

from dataclasses import replace
from datetime import datetime

from saga_engine.domain import commands as c
from saga_engine.domain.snapshot import OpenGate, Result, Snapshot, Task, UndoEntry, WaitingEvent
from saga_engine.domain.values import Status


def evolve(run: Snapshot, command: c.Command) -> Snapshot:
    """Return *run* as it is after *command*.

    Attempt and lease are not a decision's to change, but to end, and to count on from what a target has seen.
    """
    match command:
        case c.Move() | c.OpenState() | c.BeginRollback() | c.Pause() | c.Resume() | c.Finish():
            return _run(run, command)
        case c.AddTask() | c.CloseTask() | c.SetDue() | c.EndAttempt() | c.RaiseAttempt() | c.Park():
            return replace(run, tasks=_tasks(run, command))
        case c.AddResult() | c.ForgetResults():
            return replace(run, results=_results(run, command))
        case c.PushUndo() | c.SetUndo():
            return _undo(run, command)
        case c.KeepEvent() | c.NoteEvent() | c.TakeEvent():
            return replace(run, inbox=_inbox(run, command))
        case _:  # the types leave the gate's: a new command breaks the build until it is handled
            return replace(run, gate=_gate(run, command))


def settled(run: Snapshot) -> Snapshot:
    """*run* at the end of a decision: one more revision, and the status that its tasks amount to."""
    return replace(run, revision=run.revision + 1, status=run.status if run.ended else live_status(run))


def live_status(run: Snapshot) -> Status:
    """parked where anything is, waiting where the head waits for somebody, else running."""
    if any(task.parked for task in run.tasks):
        return "parked"
    head = run.head()
    return "waiting" if head is not None and head.kind in ("wait", "gate") else "running"


def _run(run: Snapshot, command: c.Move | c.OpenState | c.BeginRollback | c.Pause | c.Resume | c.Finish) -> Snapshot:
    match command:
        case c.Move(target=target, visit=visit):
            visits = {**run.visits, target: visit}
            return replace(run, state=target, open=False, transitions=run.transitions + 1, visits=visits)
        case c.OpenState():
            return replace(run, open=True)
        case c.BeginRollback(cancelling=cancelling, to=to):
            return replace(run, cancelling=run.cancelling or cancelling, rollback_to=to)
        case c.Pause():
            return replace(run, paused=True, tasks=tuple(map(_paused, run.tasks)))
        case c.Resume():
            return replace(run, paused=False, tasks=tuple(map(_resumed, run.tasks)))
        case _:
            return replace(run, status=command.status)


def _tasks(
    run: Snapshot, command: c.AddTask | c.CloseTask | c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park
) -> tuple[Task, ...]:
    match command:
        case c.AddTask(task=task):
            return (*run.tasks, task)
        case c.CloseTask(task=name):
            return tuple(task for task in run.tasks if task.name != name)
        case _:
            return tuple(_changed(run, task, command) if task.name == command.task else task for task in run.tasks)


def _changed(run: Snapshot, task: Task, command: c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park) -> Task:
    match command:
        case c.RaiseAttempt(attempt=attempt):
            return replace(task, attempt=max(task.attempt, attempt))
        case c.SetDue(due_at=due_at, failures=failures, error=error):
            due, later = held(run, due_at)
            again = replace(_over(task), parked=None, due_at=due, resumes_at=later)
            return replace(again, failures=failures, error=error)
        case c.EndAttempt(then=then, due_at=due_at, failures=failures, error=error):
            asked_at = task.due_at or task.resumes_at  # due, also while paused: if its worker dies, another one asks
            return replace(task, ending=then, due_at=asked_at, resumes_at=due_at, failures=failures, error=error)
        case _:
            aside = replace(_over(task), parked=command.parked, due_at=None, resumes_at=None)
            return replace(aside, failures=command.failures, error=command.parked.text)


def held(run: Snapshot, due_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """``(due_at, resumes_at)`` for a task that comes due at *due_at*: a paused run keeps it for later."""
    return (None, due_at) if run.paused else (due_at, None)


def _over(task: Task) -> Task:
    """No attempt of it is open, and none is missing."""
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


def _results(run: Snapshot, command: c.AddResult | c.ForgetResults) -> tuple[Result, ...]:
    match command:
        case c.AddResult(state=state, visit=visit, source=source, value=value):
            return (*run.results, Result(state, visit, source, value, run.revision + 1))
        case _:
            return tuple(replace(r, undone=r.undone or r.revision > command.revision) for r in run.results)


def _undo(run: Snapshot, command: c.PushUndo | c.SetUndo) -> Snapshot:
    """The stack; with an undone step goes its result, but nothing that people sent meanwhile."""
    if isinstance(command, c.PushUndo):
        entry = UndoEntry(command.position, command.state, command.visit, command.task, run.revision + 1)
        return replace(run, undo=(*run.undo, entry))
    position, status = command.position, command.status
    undo = tuple(replace(entry, status=status) if entry.position == position else entry for entry in run.undo)
    gone = {(e.state, e.visit) for e in undo if e.position == position and status in ("undone", "skipped")}
    results = tuple(replace(r, undone=True) if _came_of(r, gone) else r for r in run.results)
    return replace(run, undo=undo, results=results)


def _came_of(result: Result, gone: set[tuple[str, int]]) -> bool:
    return (result.state, result.visit) in gone and not result.source.startswith("event:")


def _inbox(run: Snapshot, command: c.KeepEvent | c.NoteEvent | c.TakeEvent) -> tuple[WaitingEvent, ...]:
    match command:
        case c.KeepEvent(number=number, name=name, payload=payload, actor=actor, source=source):
            return (*run.inbox, WaitingEvent(number, name, payload, actor, source))
        case c.NoteEvent():
            return run.inbox
        case _:
            return tuple(event for event in run.inbox if event.number != command.number)


def _gate(run: Snapshot, command: c.OpenApproval | c.CountVote | c.WidenGate | c.CloseApproval) -> OpenGate | None:
    match command:
        case c.OpenApproval(gate=gate):
            return gate
        case c.CloseApproval():
            return None
    assert run.gate is not None, "only an open gate is voted at or widened"
    match command:
        case c.CountVote(vote=vote):
            return replace(run.gate, votes=(*run.gate.votes, vote))
        case _:
            return replace(run.gate, roles=(*run.gate.roles, command.role))
