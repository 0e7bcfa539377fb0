"""What workers report: an attempt succeeded, failed, ran out of time, was lost; a timer fired."""

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final
from zlib import crc32

from saga_engine.domain import approvals, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import may_overlap, retry_of, source_of
from saga_engine.domain.definition.table import NOTICE_RETRY
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import Parked, Task
from saga_engine.domain.values import Ending

JITTER: Final = 0.2
"""The largest share of a back-off that is added to it, so that runs that failed together do not come back together."""


def stale(task: Task, report: e.Report) -> bool:
    """True when the run no longer waits for this attempt. A first filter: the fence that counts is the database's."""
    return (task.attempt, task.leased_by) != (report.attempt, report.incarnation)


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
        before = [x for x in draft.run.undo if x is entry or x.status in ("started", "done")]
        draft.emit(*[c.SetUndo(x.position, "sealed") for x in before])
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
    elif failure.park:
        draft.park(task, failure.park, failure.error)
    elif in_doubt_by_promise(draft, task) or exhausted(draft, task) or failure.final:
        _gives_up(draft, task, task.failures + 1, failure.error)
    else:
        draft.emit(c.SetDue(task.name, draft.now + _delay(draft, task), task.failures + 1, failure.error))


def timed_out(draft: Draft, task: Task, error: str) -> None:
    """An attempt ran out of time and may still be running: nothing follows before it has ended."""
    if task.ending:
        return
    in_doubt = in_doubt_by_promise(draft, task)
    if not in_doubt and not exhausted(draft, task):
        again_at = draft.now + _delay(draft, task)
        draft.emit(c.EndAttempt(task.name, "retry", again_at, task.failures + 1, error))
    elif in_doubt or not _takes_failed(draft, task, over=False):
        draft.emit(c.EndAttempt(task.name, "park", None, task.failures + 1, error))


def lost(draft: Draft, task: Task, loss: e.AttemptLost) -> None:
    """An earlier attempt of a task never came back. Whoever holds the task now asks whether it may go on.

    Nothing decided means: run it. A worker asks in a paused run, too, where no attempt need be missing.
    """
    missing = loss.crashes > 0 or task.lost_by is not None
    if task.ending:
        if _may_follow(draft, task, loss, task.ending):
            ended(draft, task)
        else:
            draft.park(task, "W23", moving.still_running(loss.runner), task.ending)
    elif loss.crashes >= draft.budget.crashes:
        text = f"{loss.crashes} processes died with this task; last: {loss.runner}"
        draft.park(task, "W24", text, "" if _may_follow(draft, task, loss, "leave") else "retry")
    elif missing and not _may_follow(draft, task, loss, "retry"):
        draft.park(task, "W23", moving.still_running(loss.runner), "retry")
    elif missing and in_doubt_by_promise(draft, task):
        draft.park(task, "W23", f"{loss.runner} died in the middle of it; nobody knows what it did")
    elif draft.run.paused:
        draft.emit(c.SetDue(task.name, draft.now, task.failures, task.error))


def fired(draft: Draft, timer: Task) -> None:
    """A timer came due; one that a worker had in hand when the run was paused waits for the resume."""
    if draft.run.paused:
        draft.emit(c.SetDue(timer.name, timer.due_at))
        return
    match timer.outcome:
        case "forget":
            _forget(draft, timer)
        case "escalate":
            approvals.escalate(draft, timer)
        case "expired":
            approvals.expire(draft)
        case _:
            _deadline(draft, timer)


def overdue(draft: Draft, moment: datetime) -> bool:
    """Let a deadline pass that was due before *moment*; False where none was.

    What a pause held back acts at the resume in the order in which it happened; so a deadline, as of its due time,
    comes before what arrived after it.
    """
    timers = [(task.due_at, task) for task in draft.run.tasks if task.outcome == "timed_out"]
    late = [(due_at, timer) for due_at, timer in timers if due_at is not None and due_at < moment]
    if late:
        _deadline(draft, min(late, key=itemgetter(0))[1])
    return bool(late)


def ended(draft: Draft, task: Task) -> None:
    """An attempt that nobody wanted any more is over: what was held back for it follows."""
    match task.ending:
        case "retry":
            draft.emit(c.SetDue(task.name, max(draft.now, task.resumes_at or draft.now), task.failures, task.error))
        case "park":
            _gives_up(draft, task, task.failures, task.error)
        case _:
            draft.emit(c.CloseTask(task.name))


def exhausted(draft: Draft, task: Task) -> bool:
    """True when this failure uses up the task's retries."""
    return task.failures + 1 >= retry_of(draft.chart, task.kind, task.state, NOTICE_RETRY).attempts


def in_doubt_by_promise(draft: Draft, task: Task) -> bool:
    """True for a ``manual`` step: nothing tells whether a failed attempt took effect, so a person must."""
    if task.kind != "step":
        return False
    run = draft.chart.run_of(task.state)
    return run.promise == "manual" and run.safety != "reads_only"


def pivot_in_doubt(draft: Draft) -> bool:
    """True from a pivot's first lease until its success is recorded: nothing leaves the state meanwhile."""
    task = pivot_at_hand(draft)
    entry = draft.run.entry(task.name) if task else None
    return task is not None and task.attempt > 0 and entry is not None and entry.status == "started"


def pivot_at_hand(draft: Draft) -> Task | None:
    """The pivot's task, where the run is in the state of one."""
    if not draft.chart.is_pivot(draft.run.state):
        return None
    here = (draft.run.state, draft.run.visit)
    return next((task for task in draft.run.tasks if task.kind == "step" and (task.state, task.visit) == here), None)


def _gives_up(draft: Draft, task: Task, failures: int, error: str) -> None:
    """The engine tries no more: a step takes its failed way, all else waits for a person."""
    if in_doubt_by_promise(draft, task):
        draft.emit(c.Park(task.name, Parked("W23", error), failures))
    elif not _takes_failed(draft, task, over=True):
        draft.emit(c.Park(task.name, Parked("W17" if task.kind == "undo" else "W22", error), failures))


def _takes_failed(draft: Draft, task: Task, *, over: bool) -> bool:
    """Only a step has a failed way, and a pivot has none, whatever its group says: it may have taken effect."""
    if task.kind != "step" or draft.chart.is_pivot(task.state):
        return False
    return moving.take(draft, "failed", None, task, over=over)


def _may_follow(draft: Draft, task: Task, loss: e.AttemptLost, then: Ending) -> bool:
    return loss.known_dead or may_overlap(draft.chart, task.kind, task.state, then)


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
