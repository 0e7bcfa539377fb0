"""From one state to the next: what ends with the old one, what waits in line for the new (SEMANTICS, "Moving from A to B")."""

from typing import Any

from saga_engine.domain import commands as c
from saga_engine.domain.definition.table import End, Gate, RollBack, Run, Wait
from saga_engine.domain.draft import Draft, Halted
from saga_engine.domain.snapshot import Task
from saga_engine.domain.values import Status


def take(draft: Draft, trigger: str, subject: Any, task: Task, *, at: str = "", forced: bool = False, over: bool = True) -> bool:
    """Leave by the first way on *trigger* whose guard agrees with *subject*; False where there is none.

    *task* is what brought the outcome: it is parked when a guard raises (W16) or a budget is spent (W14;
    *forced* by a person's retry), so that the outcome is not lost. *at* asks a group instead of the state;
    not *over*: the attempt of *task* is still open and has to end first.
    """
    try:
        way = draft.choose(draft.chart.ways(at or draft.run.state, trigger), subject)
    except Halted as halted:
        draft.park(task, halted.code, str(halted), trigger)
        return True
    if way is None:
        return False
    spent = "" if forced else over_budget(draft, way.target)
    if spent:
        draft.park(task, "W14", spent, trigger)
    else:
        move(draft, way.target, trigger, task if over else None)
    return True


def over_budget(draft: Draft, target: str) -> str:
    """Why the run may not go to *target* again; empty where it may."""
    visits = draft.run.visits.get(target, 0)
    if visits >= draft.chart.rows[target].visits:
        return f"{target} was visited {visits} times, which is its limit"
    if draft.run.transitions >= draft.budget.transitions:
        return f"the run made {draft.run.transitions} transitions, which is the limit"
    return ""


def move(draft: Draft, target: str, because: str, done: Task | None = None) -> None:
    """Go to *target*. *done* is the task whose outcome this is; it is over."""
    source, was_open = draft.run.state, draft.run.open
    visit = draft.run.visit
    if source:
        leave(draft, target, done)
    draft.emit(c.Move(source, target, draft.run.visits.get(target, 0) + 1, because))
    if was_open and draft.chart.rows[source].leaving:
        _queue_leaving(draft, source, visit)
    if draft.chart.rows[target].entering:
        draft.queue("entering", target)
    _queue_activity(draft, source, target)


def leave(draft: Draft, target: str, done: Task | None) -> None:
    """Close what belongs to the state; an attempt that is still open is asked to end, and is waited for."""
    for task in draft.run.tasks:
        if done is not None and task.name == done.name:
            draft.emit(c.CloseTask(task.name))
        elif task.kind == "timer":
            if not _outlives(draft, task, target):
                draft.emit(c.CloseTask(task.name))
        elif task.leased_by is not None:
            if task.ending != "leave":
                draft.emit(c.EndAttempt(task.name, "leave", None, task.failures, task.error))
        else:
            _drop(draft, task)
    if draft.run.gate is not None:
        draft.emit(c.CloseApproval(draft.run.gate.task, "void"))


def finish(draft: Draft, status: Status) -> None:
    """End the run: nothing waits any more."""
    for event in draft.run.inbox:
        draft.emit(c.TakeEvent(event.number, "ended"))
    for task in draft.run.tasks:
        if task.kind == "timer":
            draft.emit(c.CloseTask(task.name))
    draft.emit(c.Finish(status))


def _drop(draft: Draft, task: Task) -> None:
    """Nobody holds it: it goes. A step that was never leased did nothing and leaves nothing to undo."""
    entry = draft.run.entry(task.name) if task.kind == "step" else None
    if entry is not None and entry.status == "started" and task.attempt == 0:
        draft.emit(c.SetUndo(entry.position, "dropped"))
    draft.emit(c.CloseTask(task.name))


def _outlives(draft: Draft, timer: Task, target: str) -> bool:
    """A waiting event's time to live goes on, and a group's deadline while the run stays in the group."""
    return timer.outcome == "forget" or (timer.outcome == "timed_out" and timer.state in draft.chart.machine.groups(target))


def _queue_leaving(draft: Draft, source: str, visit: int) -> None:
    """The notice of the state just left; its visit is the one that ended, also when the state is entered again."""
    position = max((task.position for task in draft.run.tasks), default=0) + 1
    draft.emit(c.AddTask(Task(draft.task_name(), "leaving", source, visit, position)))


def _queue_activity(draft: Draft, source: str, target: str) -> None:
    match draft.chart.activity(target):
        case Run():
            task = draft.queue("step", target)
            draft.emit(c.PushUndo(len(draft.run.undo) + 1, target, task.visit, task.name))
        case Wait():
            draft.queue("wait", target)
        case Gate():
            draft.queue("gate", target)
        case RollBack():
            pass
        case End(outcome=outcome):
            finish(draft, _final_status(draft, source, outcome))


def _final_status(draft: Draft, source: str, outcome: Status) -> Status:
    """cancelled and rolled_back are ends of a rollback; a definition says which other ends are failures."""
    if outcome == "failed" or not source or not isinstance(draft.chart.activity(source), RollBack):
        return outcome
    return "cancelled" if draft.run.cancelling else "rolled_back"
