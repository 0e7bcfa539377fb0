"""The next snapshot out of the old one and one command. With the journal's commands this replays a run."""

from datetime import datetime
from typing import Any

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
    match command:
        case c.AddTask() | c.CloseTask() | c.SetDue() | c.EndAttempt() | c.RaiseAttempt() | c.Park():
            put(run, "tasks", _tasks(run, command))
        case c.PushUndo() | c.SetUndo():
            _undo(run, command)
        case c.Move() | c.OpenState() | c.BeginRollback() | c.Pause() | c.Resume() | c.Finish():
            _run(run, command)
        case c.AddResult() | c.ForgetResults():
            put(run, "results", _results(run, command))
        case c.KeepEvent() | c.NoteEvent() | c.TakeEvent():
            put(run, "inbox", _inbox(run, command))
        case _:  # the types leave the gate's: a new command breaks the build until it is handled
            put(run, "gate", _gate(run, command))


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


def _run(run: Snapshot, command: c.Move | c.OpenState | c.BeginRollback | c.Pause | c.Resume | c.Finish) -> None:
    match command:
        case c.Move(target=target, visit=visit):
            _put(run, state=target, open=False, transitions=run.transitions + 1, visits={**run.visits, target: visit})
        case c.OpenState():
            put(run, "open", True)  # noqa: FBT003  a value, no flag
        case c.BeginRollback(cancelling=cancelling, to=to):
            _put(run, cancelling=run.cancelling or cancelling, rollback_to=to)
        case c.Pause():
            _put(run, paused=True, tasks=tuple(map(_paused, run.tasks)))
        case c.Resume():
            _put(run, paused=False, tasks=tuple(map(_resumed, run.tasks)))
        case _:
            put(run, "status", command.status)


def _put(run: Snapshot, **values: Any) -> None:  # noqa: ANN401  a value of any field
    for name, value in values.items():
        put(run, name, value)


def _tasks(
    run: Snapshot, command: c.AddTask | c.CloseTask | c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park
) -> tuple[Task, ...]:
    match command:
        case c.AddTask(task=task):
            return (*run.tasks, task)
        case c.CloseTask(task=name):
            return tuple([task for task in run.tasks if task.name != name])
        case _:
            return tuple([_changed(run, task, command) if task.name == command.task else task for task in run.tasks])


def _changed(run: Snapshot, task: Task, command: c.SetDue | c.EndAttempt | c.RaiseAttempt | c.Park) -> Task:
    match command:
        case c.RaiseAttempt(attempt=attempt):
            return replace(task, attempt=max(task.attempt, attempt))
        case c.SetDue(due_at=due_at, failures=failures, error=error):
            due, later = held(run, due_at)
            return replace(_over(task), parked=None, due_at=due, resumes_at=later, failures=failures, error=error)
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


def held(run: Snapshot, due_at: datetime | None) -> tuple[datetime | None, datetime | None]:
    """``(due_at, resumes_at)`` for a task that comes due at *due_at*: a paused run keeps it for later."""
    return (None, due_at) if run.paused else (due_at, None)


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


def _undo(run: Snapshot, command: c.PushUndo | c.SetUndo) -> None:
    """The stack; with an undone step goes its result, but nothing that people sent meanwhile."""
    if isinstance(command, c.PushUndo):
        entry = UndoEntry(command.position, command.state, command.visit, command.task, run.revision + 1)
        put(run, "undo", (*run.undo, entry))
        return
    position, status = command.position, command.status
    undo = tuple([replace(entry, status=status) if entry.position == position else entry for entry in run.undo])
    put(run, "undo", undo)
    if status in ("undone", "skipped"):
        gone = {(e.state, e.visit) for e in undo if e.position == position}
        put(run, "results", tuple([replace(r, undone=True) if _came_of(r, gone) else r for r in run.results]))


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
