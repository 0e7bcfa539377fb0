"""The whole behaviour of the engine, without I/O: what follows from an event."""

from datetime import datetime

from saga_engine.domain import approvals, attempts, inbox, moving, progress, repair, unwind
from saga_engine.domain import events as e
from saga_engine.domain.chart import BUDGET, Budget, Chart
from saga_engine.domain.draft import Decision, Draft
from saga_engine.domain.snapshot import Snapshot


def decide(chart: Chart, run: Snapshot, event: e.Event, now: datetime, budget: Budget = BUDGET) -> Decision:
    """Return what must be done because *event* happened to *run*.

    No commands: a stale report, or nothing to do (``Decision.note`` says why). A request that the run cannot
    take raises an error of ``errors``, and nothing has moved. Guards are asked here; one that raises parks
    the run. Pure: the same arguments give the same decision.
    """
    draft = Draft(chart, run, now, budget)
    match event:
        case e.RunStarted():
            moving.move(draft, chart.start, "start")
        case e.ActionSucceeded() | e.ActionFailed() | e.AttemptTimedOut() | e.AttemptLost() | e.TimerFired():
            _reported(draft, event)
        case _:
            note = _requested(draft, event)
            if note:
                return draft.done(note)
    if draft.commands:
        progress.advance(draft)
    return draft.done()


def _reported(draft: Draft, report: e.Report) -> None:
    task = draft.run.task(report.task)
    if task is None or attempts.stale(task, report):
        return
    match report:
        case e.ActionSucceeded(value=value):
            attempts.succeeded(draft, task, value)
        case e.ActionFailed():
            attempts.failed(draft, task, report)
        case e.AttemptTimedOut(error=error):
            attempts.timed_out(draft, task, error)
        case e.TimerFired():
            attempts.fired(draft, task)
        case _:  # the types leave one kind: a new one breaks the build until it is handled
            attempts.lost(draft, task, report)


def _requested(draft: Draft, request: e.Request) -> str:
    """Do what somebody asks for; the note says why nothing had to be done."""
    match request:
        case e.EventReceived():
            inbox.receive(draft, request)
        case e.VerdictGiven():
            approvals.verdict(draft, request)
        case e.CancelRequested():
            return unwind.cancel(draft)
        case e.RollbackRequested():
            return unwind.rollback(draft, request)
        case e.RetryRequested():
            repair.retry(draft)
        case e.SkipRequested():
            repair.skip(draft)
        case e.Resolved():
            repair.resolve(draft, request)
        case e.Reconciled():
            return repair.reconcile(draft, request)
        case e.ResumeRequested():
            return repair.resume(draft)
        case _:  # as above
            return repair.pause(draft, request)
    return ""
