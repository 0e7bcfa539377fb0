"""From state to state: what ends with the old one, what waits in line for the new (SEMANTICS, "Moving from A to B")."""

from saga_engine.domain import commands as c
from saga_engine.domain.chart import may_overlap
from saga_engine.domain.definition.table import VISITS_MAX, Gate, RollBack, Run, Wait
from saga_engine.domain.draft import Draft, Halted
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Parked, Task
from saga_engine.domain.values import ENDINGS, Status


def take(
    draft: Draft, trigger: str, subject: object, task: Task, *, at: str = "", forced: bool = False, over: bool = True
) -> bool:
    """Leave by the first way on *trigger* whose guard agrees with *subject*; False where there is none.

    *task* is what brought the outcome: it is parked when a guard raises (W16) or a budget is spent (W14;
    *forced* by a person's retry), so that the outcome is not lost. *at* asks a group instead of the state.
    Not *over*: the attempt of *task* is still open, and what follows waits for its end; so nothing is parked here.
    """
    try:
        way = draft.choose(draft.chart.ways(at or draft.run.state, trigger), subject)
    except Halted as halted:
        draft.park(task, halted.code, str(halted), trigger)
        return True
    if way is None:
        return False
    spent = "" if forced else over_budget(draft, way.target)
    if not spent:
        move(draft, way.target, trigger, task if over else None)
    elif over:
        draft.park(task, "W14", spent, trigger)
    return over or not spent


def over_budget(draft: Draft, target: str) -> str:
    """Why the run may not go to *target* again; empty where it may."""
    visits = draft.run.visits.get(target, 0)
    if visits >= visits_max(draft, target):
        return f"{target} was visited {visits} times, which is its limit"
    if draft.run.transitions >= draft.budget.transitions:
        return f"the run made {draft.run.transitions} transitions, which is the limit"
    return ""


def visits_max(draft: Draft, target: str) -> int:
    """How often a run may be in *target*: as ``at(visits=)`` says, else as the settings do."""
    written = draft.chart.rows[target].visits
    return draft.budget.visits if written == VISITS_MAX else written


def move(draft: Draft, target: str, because: str, done: Task | None = None) -> None:
    """Go to *target*. *done* is the task whose outcome this is; it is over."""
    source, was_open = draft.run.state, draft.run.open
    visit = draft.run.visit
    if source:
        leave(draft, target, done)
    draft.emit(c.Move(source, target, draft.run.visits.get(target, 0) + 1, because))
    if was_open and draft.chart.rows[source].leaving:
        draft.queue("leaving", source, visit)  # of the visit that ended, also when the state is entered again
    if draft.chart.rows[target].entering:
        draft.queue("entering", target, draft.run.visit)
    _queue_activity(draft, source, target)
    _begin_groups(draft, source, target)


def leave(draft: Draft, target: str, done: Task | None) -> None:
    """Close what belongs to the state; an attempt that is still open is asked to end, and is waited for."""
    for task in draft.run.tasks:
        if done is not None and task.name == done.name:
            draft.emit(c.CloseTask(task.name))
        elif task.kind == "timer":
            if not _outlives(draft, task, target):
                draft.emit(c.CloseTask(task.name))
        elif task.kind != "leaving" or task.parked:  # a notice of the state before has its turn, whoever goes on
            _let_go(draft, task)
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


def still_running(runner: str) -> str:
    """Why the run waits for a person before it does anything that the lost attempt might get in the way of."""
    return f"its last attempt may still be running on {runner}"


def _let_go(draft: Draft, task: Task) -> None:
    """What is open ends first; what may be running somewhere, unheard of, waits for a person; all else goes."""
    missing = _missing(draft, task)
    if task.leased_by is not None:
        if task.ending != "leave":
            draft.emit(c.EndAttempt(task.name, "leave", None, task.failures, task.error))
    elif missing is None:
        _drop(draft, task)
    elif missing.outcome != "leave":
        draft.emit(c.Park(task.name, replace(missing, outcome="leave"), task.failures))


def _missing(draft: Draft, task: Task) -> Parked | None:
    """Why nothing may follow a task that nobody holds: an attempt of it never came back, and may do harm."""
    if task.parked:
        return task.parked if task.parked.outcome in ENDINGS else None
    if task.lost_by is None or task.lost_dead or may_overlap(draft.chart, task.kind, task.state, "leave"):
        return None
    return Parked("W23", still_running(task.lost_by))


def _drop(draft: Draft, task: Task) -> None:
    """Nobody holds it: it goes. A step that was never leased did nothing and leaves nothing to undo."""
    entry = draft.run.entry(task.name) if task.kind == "step" else None
    if entry is not None and task.attempt == 0:
        draft.emit(c.SetUndo(entry.position, "dropped"))
    draft.emit(c.CloseTask(task.name))


def _outlives(draft: Draft, timer: Task, target: str) -> bool:
    """A waiting event's time to live goes on, and a group's deadline while the run stays in the group."""
    return timer.outcome == "forget" or (
        timer.outcome == "timed_out" and timer.state in draft.chart.machine.groups(target)
    )


def _begin_groups(draft: Draft, source: str, target: str) -> None:
    """A group's deadline is one timer for the whole stay in it, held until its first state has been entered."""
    inside = draft.chart.machine.groups(source) if source else ()
    for name in draft.chart.machine.groups(target):
        if name not in inside and draft.chart.groups[name].deadline is not None and not draft.run.ended:
            draft.emit(c.AddTask(Task(draft.task_name(), "timer", name, 0, 0, outcome="timed_out")))


def _queue_activity(draft: Draft, source: str, target: str) -> None:
    activity = draft.chart.activity(target)
    match activity:
        case Run():
            task = draft.queue("step", target, draft.run.visit)
            draft.emit(c.PushUndo(len(draft.run.undo) + 1, target, task.visit, task.name))
        case Wait():
            draft.queue("wait", target, draft.run.visit)
        case Gate():
            draft.queue("gate", target, draft.run.visit)
        case RollBack():
            pass
        case _:
            finish(draft, _final_status(draft, source, activity.outcome))


def _final_status(draft: Draft, source: str, outcome: Status) -> Status:
    """cancelled where a cancel began the rollback, wherever it ends; else a definition says which ends are failures."""
    if draft.run.cancelling:
        return "cancelled"
    undone = bool(source) and isinstance(draft.chart.activity(source), RollBack)
    return "rolled_back" if undone and outcome == "completed" else outcome
