"""The history of a run, replayed: each line with the run before it, as far as the journal alone can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.evolve import evolve, settled
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot
from saga_engine.store.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Turn:
    """One line: the event, what was decided, and the run before and after. Leases are not the journal's to tell."""

    number: int
    at: datetime
    event: e.Event
    commands: tuple[c.Command, ...]
    before: Snapshot
    after: Snapshot
    steps: tuple[tuple[c.Command, Snapshot], ...]
    """Each command with the run that it is said of."""


@dataclass(frozen=True, slots=True)
class History:
    """A run from its first line to its last, the definition it is pinned to, the bounds it is held to."""

    evidence: Evidence
    chart: Chart
    budget: Budget
    turns: tuple[Turn, ...]

    def steps(self) -> Iterator[tuple[Turn, c.Command, Snapshot]]:
        """Every command of every line, with the run that it is said of."""
        for turn in self.turns:
            for command, run in turn.steps:
                yield turn, command, run


class Unreadable(Exception):
    """A line cannot be read, or cannot have happened to the run before it."""


def replayed(evidence: Evidence, chart: Chart, budget: Budget) -> History:
    """Replay the journal from the start of the run. ``Unreadable`` names the line that cannot be."""
    run = first(evidence.run)
    turns = []
    for line in evidence.lines:
        try:
            event, commands = line.told()
            steps, after = [], run
            for command in commands:
                steps.append((command, after))
                after = evolve(after, command)
        except Exception as error:  # whatever it is, it is said of a stored line
            raise Unreadable(f"line {line.revision}: {type(error).__name__}: {error}") from error
        after = settled(after)
        turns.append(Turn(line.revision, line.at, event, commands, run, after, tuple(steps)))
        run = after
    return History(evidence, chart, budget, tuple(turns))


def first(run: Snapshot) -> Snapshot:
    """The run before anything happened to it."""
    return Snapshot(run.run_id, run.saga, run.version, run.digest, run.input, run.starter)


def unleased(run: Snapshot) -> Snapshot:
    """The run without what claims, releases and the freeing of dead workers' tasks write."""
    tasks = (replace(t, attempt=0, leased_by=None, lost_by=None, lost_dead=False) for t in run.tasks)
    return replace(run, tasks=tuple(replace(t, due_at=None, resumes_at=t.due_at or t.resumes_at) for t in tasks))
