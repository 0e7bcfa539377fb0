"""What workers report: an attempt succeeded, failed, ran out of time, was lost; a timer fired."""

from datetime import timedelta
from typing import Final
from zlib import crc32

from saga_engine.domain import approvals, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import retry_of, source_of
from saga_engine.domain.definition.table import NOTICE_RETRY, Run
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import Parked, Snapshot, Task
from saga_engine.domain.values import ParkCode

JITTER: Final = 0.2
"""The largest share of a back-off that is added to it, so that runs that failed together do not come back together."""


def stale(run: Snapshot, report: e.Report) -> bool:
    """True when the run no longer waits for this attempt. A first filter: the fence that counts is the database's."""
    task = run.task(report.task)
    return task is None or (task.attempt, task.leased_by) != (report.attempt, report.incarnation)


def succeeded(draft: Draft, task: Task, value: str) -> None:
    """An attempt came back with *value*."""
    if task.ending:
        ended(draft, task)
    elif task.kind == "step":
        step_done(draft, task, value)
    elif task.kind == "undo":
        draft.emit(c.SetUndo(task.about, "undone"), c.CloseTask(task.name))
    else:
        draft.emit(c.CloseTask(task.name))


def step_done(draft: Draft, task: Task, value: str) -> None:
    """Keep a step's result and go on; a pivot seals everything before it."""
    source = source_of(draft.chart, task.state)
    draft.emit(c.AddResult(task.state, task.visit, source, value))
    entry = draft.run.entry(task.name)
    assert entry is not None, "a step is on the undo stack from before its start"
    if draft.chart.run_of(task.state).safety == "pivot":
        draft.emit(*[c.SetUndo(x.position, "sealed") for x in draft.run.undo if x.status in ("started", "done")])
    else:
        draft.emit(c.SetUndo(entry.position, "done"))
    took = moving.take(draft, "then", draft.chart.parse(source, value), task)
    assert took, "a step's last way has no guard"


def failed(draft: Draft, task: Task, failure: e.ActionFailed) -> None:
    """An attempt raised: try again later, take the failed way, or park."""
    if task.ending:
        ended(draft, task)
    elif failure.busy:
        draft.emit(c.SetDue(task.name, draft.now + _delay(draft, task), task.failures, failure.error))
    elif failure.park or in_doubt_by_promise(draft, task):
        draft.park(task, failure.park or "W23", failure.error)
    elif exhausted(draft, task) or failure.final:
        _gives_up(draft, task, failure.error)
    else:
        draft.emit(c.SetDue(task.name, draft.now + _delay(draft, task), task.failures + 1, failure.error))


def timed_out(draft: Draft, task: Task, error: str) -> None:
    """An attempt ran out of time and may still be running: nothing follows before it has ended."""
    if task.ending:
        return
    if in_doubt_by_promise(draft, task):
        draft.park(task, "W23", error)
    elif not exhausted(draft, task):
        again_at = draft.now + _delay(draft, task)
        draft.emit(c.EndAttempt(task.name, "retry", again_at, task.failures + 1, error))
    elif task.kind != "step" or not moving.take(draft, "failed", None, task, over=False):
        draft.emit(c.EndAttempt(task.name, "park", None, task.failures + 1, error))


def lost(draft: Draft, task: Task, loss: e.AttemptLost) -> None:
    """An earlier attempt of a task never came back. Whoever holds the task now asks whether it may go on.

    Nothing decided means: run it.
    """
    runner = f"attempt {task.attempt - 1} may still be running on {loss.runner}"
    if task.ending:
        if loss.known_dead or _harmless(draft, task):
            ended(draft, task)
        else:
            draft.emit(c.Park(task.name, Parked("W23", runner, task.ending), task.failures))
    elif loss.crashes >= draft.budget.crashes:
        draft.park(task, "W24", f"{loss.crashes} workers died while they held this task; last: {loss.runner}")
    elif loss.crashes and in_doubt_by_promise(draft, task):
        draft.park(task, "W23", f"{loss.runner} died or fell silent in the middle of it; nobody knows what it did")
    elif draft.run.paused:
        draft.emit(c.SetDue(task.name, draft.now, task.failures, task.error))


def fired(draft: Draft, timer: Task) -> None:
    """A timer came due."""
    match timer.outcome:
        case "forget":
            _forget(draft, timer)
        case "escalate":
            approvals.escalate(draft, timer)
        case "expired":
            approvals.expire(draft, timer)
        case _:
            _deadline(draft, timer)


def ended(draft: Draft, task: Task) -> None:
    """An attempt that nobody wanted any more is over: what was held back for it follows."""
    match task.ending:
        case "retry":
            draft.emit(c.SetDue(task.name, max(draft.now, task.resumes_at or draft.now), task.failures, task.error))
        case "park":
            draft.park(task, _code(task), task.error)
        case _:
            draft.emit(c.CloseTask(task.name))


def exhausted(draft: Draft, task: Task) -> bool:
    """True when this failure uses up the task's retries."""
    return task.failures + 1 >= retry_of(draft.chart, task.kind, task.state, NOTICE_RETRY).attempts


def in_doubt_by_promise(draft: Draft, task: Task) -> bool:
    """True for a ``manual`` step: nothing tells whether a failed attempt took effect, so a person must."""
    return task.kind == "step" and draft.chart.run_of(task.state).promise == "manual"


def pivot_in_doubt(draft: Draft) -> bool:
    """True from a pivot's first lease until its success is recorded: nothing leaves the state meanwhile."""
    activity = draft.chart.activity(draft.run.state)
    if not isinstance(activity, Run) or activity.safety != "pivot":
        return False
    task = next((t for t in draft.run.tasks if t.kind == "step" and t.state == draft.run.state and not t.ending), None)
    entry = draft.run.entry(task.name) if task else None
    return task is not None and task.attempt > 0 and entry is not None and entry.status == "started"


def _gives_up(draft: Draft, task: Task, error: str) -> None:
    """The retries are used up: a step takes its failed way, all else waits for a person."""
    if task.kind != "step" or not moving.take(draft, "failed", None, task):
        draft.emit(c.Park(task.name, Parked(_code(task), error), task.failures + 1))


def _code(task: Task) -> ParkCode:
    return "W17" if task.kind == "undo" else "W22"


def _harmless(draft: Draft, task: Task) -> bool:
    """May the run go on while this attempt might still be running? The ledger fences an effect; a reader harms nothing;

    a retry with the same key is what an idempotent step, an undo and a notice must bear.
    """
    if task.kind == "step":
        run = draft.chart.run_of(task.state)
        if run.promise == "effect" or run.safety == "reads_only":
            return True
        return task.ending == "retry" and run.promise == "idempotent"
    return task.ending == "retry"


def _delay(draft: Draft, task: Task) -> timedelta:
    """Back-off with a jitter that is a fact of task and failure, so that a replay decides the same."""
    failures = task.failures + 1
    base = retry_of(draft.chart, task.kind, task.state, NOTICE_RETRY).delay(failures)
    return base + base * JITTER * (crc32(f"{task.name}:{failures}".encode()) / 2**32)


def _deadline(draft: Draft, timer: Task) -> None:
    """A state or group ran out of time, retries included: timed_out, else failed, else a person."""
    if not draft.run.open:
        draft.emit(c.SetDue(timer.name, None))
        return
    if pivot_in_doubt(draft):
        draft.emit(c.CloseTask(timer.name))
        return
    for trigger in ("timed_out", "failed"):
        if moving.take(draft, trigger, None, timer, at=timer.state):
            return
    draft.park(timer, "W22", f"the deadline of {timer.state} passed and no way leads on")


def _forget(draft: Draft, timer: Task) -> None:
    """A waiting event outlived its time; a parked guard of it goes too."""
    parked = [task for task in draft.run.tasks if task.kind == "event" and task.about == timer.about]
    draft.emit(*[c.CloseTask(task.name) for task in (timer, *parked)], c.TakeEvent(timer.about, "expired"))
