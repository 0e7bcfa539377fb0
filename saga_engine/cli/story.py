"""Journal lines in words: what happened, and what followed from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, Self

from pydantic import BaseModel

from saga_engine.cli.trouble import one_line
from saga_engine.domain import codec
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.lengths import clock
from saga_engine.domain.snapshot import Task
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import HistoryLine

PLAIN: Final = ("then", "start", "approved", "rejected", "expired", "cancel", "rollback")
"""Reasons to move that what happened says already."""
WHAT_WIDTH: Final = 40
"""Where what followed begins, if what happened leaves room."""
DOING: Final = {
    "leaving": "the notice on leaving {0}",
    "entering": "the notice on entering {0}",
    "step": "{0}",
    "undo": "the undo of {0}",
    "wait": "the wait in {0}",
    "gate": "the approval in {0}",
    "timer": "the timer of {0}",
    "event": "an event in {0}",
}
TIMERS: Final = {
    "timed_out": "the deadline of {0} passed",
    "expired": "the approval in {0} expired",
    "escalate": "nobody answered in {0} in time",
    "forget": "a deferred event was kept long enough",
}
FATES: Final = {
    "ignored": "ignored here",
    "expired": "an event that waited was dropped",
    "skipped": "an event that waited was skipped",
    "ended": "an event that waited was dropped",
}


class Told(BaseModel):
    """A journal line as people read it."""

    revision: int
    what: str
    then: str


def as_line(told: Told, at: datetime, now: datetime) -> str:
    """``07:22:41 UTC  LOADING failed: …  → ROLLING_BACK``; with the date where that is not today.

    One line, whatever a reason or an error holds: who writes a line break into one could write a line of history.
    """
    return f"{clock(at, now)}  {one_line(told.what):<{WHAT_WIDTH}}  {one_line(told.then)}".rstrip()


class Teller:
    """Tells the lines of one run. *fetch* gives its journal line of a revision: a task is told of where it was made."""

    def __init__(self, fetch: Callable[[int], HistoryLine | None]) -> None:
        self._fetch = fetch
        self._tasks: dict[str, Task] = {}

    @classmethod
    def of(cls, engine: Engine, run_id: str) -> Self:
        """Who tells the lines of this run."""
        return cls(lambda revision: next(iter(engine.history(run_id, after=revision - 1, limit=1)), None))

    def tell(self, line: HistoryLine) -> Told:
        """The line in words."""
        event = codec.load_event(json.dumps({**line.event, "kind": line.kind}))
        commands = self._commands(line)
        parts = [part for command in commands if (part := self._followed(command, line))]
        return Told(revision=line.revision, what=self._happened(event), then="; ".join(dict.fromkeys(parts)))

    def _commands(self, line: HistoryLine) -> tuple[c.Command, ...]:
        commands = codec.load_commands(json.dumps(line.commands))
        self._tasks.update({command.task.name: command.task for command in commands if isinstance(command, c.AddTask)})
        return commands

    def _task(self, name: str) -> Task | None:
        """The task as it was made, by the decision that its name tells."""
        if name not in self._tasks:
            made = self._fetch(int(name.split(".")[1]))
            if made is not None:
                self._commands(made)
        return self._tasks.get(name)

    def _doing(self, name: str) -> str:
        task = self._task(name)
        return DOING[task.kind].format(task.state) if task else "a step"

    def _happened(self, event: e.Event) -> str:
        match event:
            case e.RunStarted(actor=actor):
                return f"started by {actor}"
            case e.ActionSucceeded(task=task, attempt=attempt):
                return f"{self._doing(task)} succeeded{_try(attempt)}"
            case e.ActionFailed(task=task, attempt=attempt, error=error):
                return f"{self._doing(task)} failed{_try(attempt)}: {error}"
            case e.AttemptTimedOut(task=task, attempt=attempt, error=error):
                return f"{self._doing(task)} ran out of time{_try(attempt)}: {error}"
            case e.AttemptLost(task=task, attempt=attempt, runner=runner):
                return f"{self._doing(task)} did not come back from {runner}{_try(attempt)}"
            case e.TimerFired(task=task):
                return self._fired(task)
            case e.EventReceived(name=name, actor=actor):
                return f"event {name} from {actor}"
            case e.VerdictGiven(approved=approved, actor=actor, reason=reason):
                return f"{'approved' if approved else 'rejected'} by {actor}{_reason(reason)}"
            case e.Resolved(actor=actor, evidence=evidence, done=done):
                return f"{actor} found it {'done' if done else 'not done'}{_reason(evidence)}"
            case e.Reconciled(actor=actor, evidence=evidence):
                return f"reconciled with the target by {actor}{_reason(evidence)}"
            case _:
                return _asked(event)

    def _fired(self, name: str) -> str:
        task = self._task(name)
        return TIMERS[task.outcome].format(task.state) if task else "a timer fired"

    def _followed(self, command: c.Command, line: HistoryLine) -> str:
        """What people want to know of a command; empty where its event says it already."""
        match command:
            case c.Move(target=target, because=because):
                return f"→ {target}{_because(because)}"
            case c.SetDue(task=task, due_at=due_at, failures=failures) if failures and due_at is not None:
                return f"{self._doing(task)} is tried again at {clock(due_at, line.at)}, after {_times(failures)}"
            case c.EndAttempt(task=task):
                return f"{self._doing(task)} is asked to stop"
            case c.Park(task=task, parked=parked):
                return f"{self._doing(task)} is parked, {parked.code}: {parked.text}"
            case c.SetUndo():
                return _undo(command)
            case c.Finish(status=status):
                return f"ended {status}"
            case _:
                return "; ".join(_minor(command, line))


def _minor(command: c.Command, line: HistoryLine) -> Iterator[str]:
    match command:
        case c.KeepEvent(name=name):
            yield f"{name} is kept for a state that takes it"
        case c.NoteEvent(fate=fate) | c.TakeEvent(fate=fate) if fate in FATES:
            yield FATES[fate]
        case c.OpenApproval(gate=gate):
            yield f"asks {gate.need} of {' or '.join(gate.roles)} until {clock(gate.expires_at, line.at)}"
        case c.WidenGate(role=role):
            yield f"{role} may answer too"
        case c.CloseApproval(outcome="void"):
            yield "the approval is void"
        case c.BeginRollback(to=to) if to:
            yield f"back to {to}"
        case _:
            pass


def _because(trigger: str) -> str:
    """Why this way was taken, where that is not plain."""
    event = trigger.removeprefix("event:")
    if event != trigger:
        return f" (on {event})"
    return "" if trigger in PLAIN else f" ({trigger.replace('_', ' ')})"


def _undo(command: c.SetUndo) -> str:
    """Dropped: the step had not begun. That it was done, or is being undone, the event says."""
    return "it is left as it is" if command.status == "skipped" else ""


def _asked(event: e.Event) -> str:
    """What a person asked for, and why."""
    words = {
        e.CancelRequested: "cancelled",
        e.RollbackRequested: "rolled back",
        e.RetryRequested: "tried again",
        e.SkipRequested: "skipped",
        e.PauseRequested: "paused",
        e.ResumeRequested: "resumed",
    }
    return f"{words[type(event)]} by {event.actor}{_reason(event.reason)}"  # type: ignore[union-attr]  # the others are told above


def _try(attempt: int) -> str:
    """The first is not worth a word."""
    return f", attempt {attempt}" if attempt > 1 else ""


def _reason(reason: str) -> str:
    return f': "{reason}"' if reason else ""


def _times(failures: int) -> str:
    return "1 failure" if failures == 1 else f"{failures} failures"
