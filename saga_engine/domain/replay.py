"""What a run must look like by its journal alone: the commands of every line, applied again in order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from saga_engine.domain import commands as c
from saga_engine.domain import line as texts
from saga_engine.domain.events import RunStarted
from saga_engine.domain.evolve import evolve, settled
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
"""What text that is no journal line does to whoever reads it as one."""

PLAIN = (
    "state",
    "status",
    "revision",
    "open",
    "transitions",
    "paused",
    "cancelling",
    "rollback_to",
    "rollback_floor",
    "visits",
)
"""Fields of the run's row that are told with their values."""


class Replay:
    """A run as the lines told so far leave it; attempts and leases are no line's to tell."""

    def __init__(self, stored: Snapshot) -> None:
        """*stored* gives what a start fixes: saga, version, input. All else comes from the lines."""
        self.run = Snapshot(
            stored.run_id, stored.saga, stored.version, stored.digest, stored.input, starter=stored.starter
        )
        self.started_at: datetime | None = None
        self.entered_at: datetime | None = None
        self.updated_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.paused: tuple[str | None, str | None] = (None, None)
        """Who holds the run, and why."""

    def line(self, at: datetime, event: str, commands: str) -> str:
        """Let one more line happen; the text says why it cannot have, and is empty where it can."""
        try:
            return self._happened(at, event, commands)
        except UNREADABLE as error:
            return f"it is no line that this program has written ({type(error).__name__})"

    def _happened(self, at: datetime, event: str, commands: str) -> str:
        what = texts.event_of(self.run.run_id, event)
        decided = texts.commands_of(self.run.run_id, self.run.revision + 1, at, what, commands)
        if isinstance(what, RunStarted) != (self.started_at is None):
            return f"a run begins with RunStarted, once; this is {type(what).__name__}"
        if isinstance(what, RunStarted) and what.actor != self.run.starter:
            return "the journal names another starter than the run's row"
        before = self.run
        for command in decided:
            self.run = evolve(self.run, command)
            if isinstance(command, c.Pause | c.Resume):
                self.paused = (command.actor, command.reason) if isinstance(command, c.Pause) else (None, None)
        self.run = settled(self.run)
        self._times(before, at)
        return ""

    def _times(self, before: Snapshot, at: datetime) -> None:
        self.updated_at = at
        if self.started_at is None:
            self.started_at = self.entered_at = at
        if before.transitions != self.run.transitions:
            self.entered_at = at
        if self.run.ended and not before.ended:
            self.ended_at = at


def differences(told: Snapshot, stored: Snapshot) -> Iterator[str]:
    """In which fields the run as *stored* is not the run that its journal has *told*. No values of the user's."""
    for name in PLAIN:
        ours, theirs = getattr(told, name), getattr(stored, name)
        if ours != theirs:
            yield f"{name} is {theirs!r}, and {ours!r} by the journal"
    for name in ("results", "undo", "inbox"):
        ours, theirs = getattr(told, name), getattr(stored, name)
        if ours != theirs:
            yield f"{_first(ours, theirs)} of {len(ours)} rows of its {name} is not what the journal says"
    if _gate(told) != _gate(stored):
        yield "its open approval, or a verdict on it, is not what the journal says"
    ours, theirs = _tasks(told, stored), _tasks(stored, stored)
    if ours != theirs:
        names = sorted({name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)})
        yield f"its open task {names[0]} is not what the journal says"


def _first(ours: tuple[object, ...], theirs: tuple[object, ...]) -> str:
    """Which row differs first, from 1."""
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"row {same + 1}"


def _gate(run: Snapshot) -> object:
    """Votes that were given in the same moment have no order."""
    if run.gate is None:
        return None
    return replace(run.gate, votes=()), sorted(run.gate.votes, key=lambda vote: vote.actor)


def _tasks(run: Snapshot, stored: Snapshot) -> dict[str, Task]:
    """The open tasks without what claims and the freeing of dead workers' tasks change.

    Of one that nobody has ever claimed that is nothing: its times are told, too.
    """
    untouched = {task.name for task in stored.tasks if task.attempt == 0}
    plain = [replace(task, attempt=0, leased_by=None, lost_by=None, lost_dead=False) for task in run.tasks]
    return {
        task.name: task if task.name in untouched else replace(task, due_at=None, resumes_at=None) for task in plain
    }
