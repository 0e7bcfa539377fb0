"""What workers reported: of open tasks, by who held them, not before their time, within their retries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import retry_of
from saga_engine.domain.definition.table import NOTICE_RETRY
from saga_engine.domain.snapshot import ACTIONS, Task
from saga_engine.testing.check.history import History, Turn


def fenced(history: History) -> Iterator[str]:
    """A report counts for an open task only, from its newest attempt, which one incarnation holds and ends once."""
    holders: dict[tuple[str, int], str] = {}
    newest: dict[str, int] = {}
    over: dict[str, int] = {}
    for turn, report, task in _reports(history):
        told = f"line {turn.number}: {type(report).__name__} of {report.task}, attempt {report.attempt}"
        if task is None:
            yield f"{told}: no such task was open"
            continue
        if (task.kind == "timer") != isinstance(report, e.TimerFired) or task.kind not in (*ACTIONS, "timer"):
            yield f"{told}: the task is a {task.kind}"
        if report.attempt < newest.get(task.name, 1):
            yield f"{told}: attempt {newest[task.name]} had reported before"
        if report.attempt <= over.get(task.name, 0):
            yield f"{told}: this attempt was over already"
        if holders.setdefault((task.name, report.attempt), report.incarnation) != report.incarnation:
            yield f"{told}: by {report.incarnation}, and by {holders[task.name, report.attempt]} before"
        newest[task.name] = report.attempt
        if any(isinstance(x, c.SetDue | c.Park) and x.task == task.name for x in turn.commands):
            over[task.name] = report.attempt


def in_time(history: History) -> Iterator[str]:
    """Nothing is begun, and no timer fires, before it is due."""
    for turn, report, task in _reports(history):
        if task is not None and task.due_at is not None and turn.at < task.due_at:
            yield (
                f"line {turn.number}: {type(report).__name__} of {task.kind} {task.outcome} {task.state} at {turn.at}, "
                f"which is due at {task.due_at}"
            )


def retries(history: History) -> Iterator[str]:
    """A failure is counted, tried again after its pause, and given up when the retries are used up, not before."""
    times = {turn.number + 1: turn.at for turn in history.turns}
    for turn, report, task in _reports(history):
        failed = isinstance(report, e.ActionFailed | e.AttemptTimedOut)
        if task is None or not failed or task.ending or task.kind == "timer":
            continue
        retry = retry_of(history.chart, task.kind, task.state, NOTICE_RETRY)
        busy = isinstance(report, e.ActionFailed) and report.busy
        pause = retry.delay(task.failures + 1)
        for due, failures in _again(turn, task):
            if failures != task.failures + (0 if busy else 1):
                yield f"line {turn.number} counts {failures} failures of {task.state} after {task.failures}"
            # It was decided before it was recorded, but not before the line that it was decided on.
            if due is not None and due < times.get(turn.number, turn.at) + pause:
                yield f"line {turn.number} tries {task.state} again at {due}, not after a pause of {pause}"
            if not busy and task.failures + 1 >= retry.attempts:
                used = f"{task.failures + 1} of {retry.attempts} attempts"
                yield f"line {turn.number} tries {task.state} again after {used}"


def _again(turn: Turn, task: Task) -> Iterator[tuple[datetime | None, int]]:
    """When the task is tried again, and how many failures are counted then."""
    for command in turn.commands:
        match command:
            case c.SetDue(task=task.name, due_at=due, failures=failures):
                yield due, failures
            case c.EndAttempt(task=task.name, then="retry", due_at=due, failures=failures):
                yield due, failures
            case _:
                pass


def crashes(history: History) -> Iterator[str]:
    """A task that has killed enough workers is set aside."""
    for turn, report, task in _reports(history):
        if isinstance(report, e.AttemptLost) and task is not None and not task.ending:
            parks = [x for x in turn.commands if isinstance(x, c.Park) and x.task == task.name]
            if report.crashes >= history.budget.crashes and not parks:
                yield f"line {turn.number}: {report.crashes} workers died with {task.name}, and it goes on"
    for name, count in history.evidence.crashes.items():
        task = history.evidence.run.task(name)
        if task is not None and count > history.budget.crashes:
            yield f"{count} workers died with {name}, and nobody was asked"


def pauses(history: History) -> Iterator[str]:
    """A paused run takes nothing up, and forgets no time of what waits."""
    for turn in history.turns:
        event = turn.event
        if turn.before.paused and isinstance(event, e.TimerFired | e.EventReceived | e.VerdictGiven):
            acts = [type(x).__name__ for x in turn.commands if isinstance(x, c.Move | c.CloseApproval | c.AddResult)]
            if acts:
                yield f"line {turn.number}: {type(event).__name__} in a paused run led to {', '.join(acts)}"
        if isinstance(event, e.PauseRequested | e.ResumeRequested):
            yield from _kept(turn)
        if turn.before.paused and turn.after.paused:
            yield from _taken_up(turn)


def _taken_up(turn: Turn) -> Iterator[str]:
    """Only the end of an attempt is still waited for."""
    for task in turn.after.tasks:
        before = turn.before.task(task.name)
        if task.due_at is not None and task.ending is None and (before is None or before.due_at is None):
            yield f"line {turn.number}: {task.kind} {task.state} comes due in a paused run"


def _kept(turn: Turn) -> Iterator[str]:
    """The times of what waits are the same behind the pause, or the resume, itself; what follows it may change them."""
    later = [*(run for _, run in turn.steps[1:]), turn.after]
    for (command, before), after in zip(turn.steps, later, strict=True):
        if isinstance(command, c.Pause | c.Resume):
            for task in before.tasks:
                now = after.task(task.name)
                if now is None or (task.due_at or task.resumes_at) != (now.due_at or now.resumes_at):
                    yield f"line {turn.number}: {task.kind} {task.state} was due at {task.due_at or task.resumes_at}"


def _reports(history: History) -> Iterator[tuple[Turn, e.Report, Task | None]]:
    for turn in history.turns:
        event = turn.event
        if isinstance(event, e.ActionSucceeded | e.ActionFailed | e.AttemptTimedOut | e.AttemptLost | e.TimerFired):
            yield turn, event, turn.before.task(event.task)
