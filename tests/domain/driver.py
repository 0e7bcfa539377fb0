"""Plays all that is around ``decide`` for one run: the store that keeps it, the clock, the workers that report."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.draft import Decision
from saga_engine.domain.evolve import evolve, settled
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.values import ParkCode
from saga_engine.errors import SagaError
from tests.domain.sagas import Lines, charted

START: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WORKER: Final = "w1"


class Drive:
    """One run. Each method is one thing that happens to it; ``run`` is the run as it stands."""

    def __init__(self, chart: Chart, budget: Budget | None = None, input: str = "{}") -> None:  # noqa: A002  as in Saga
        self.chart = chart
        self.budget = budget or Budget()
        self.now = START
        self.first = Snapshot("r", chart.name, chart.version, chart.digest, input, starter="ann")
        self.run = self.first
        self.journal: list[tuple[e.Event, tuple[c.Command, ...]]] = []
        self.tell(e.RunStarted("ann"))

    # --- what the store does

    def tell(self, event: e.Event) -> Decision:
        """Decide, check that the commands explain the difference, keep."""
        decision = decide(self.chart, self.run, event, self.now, self.budget)
        replayed = self.run
        for command in decision.commands:
            replayed = evolve(replayed, command)
        assert (settled(replayed) if decision.commands else replayed) == decision.after
        if decision.commands:
            self.journal.append((event, decision.commands))
        self.run = decision.after
        return decision

    def refused(self, event: e.Event) -> SagaError:
        """The error that *event* is refused with; the run is the same before and after."""
        before = deepcopy(self.run)
        with pytest.raises(SagaError) as caught:
            decide(self.chart, self.run, event, self.now, self.budget)
        assert self.run == before
        return caught.value

    def unmoved(self, event: e.Event) -> str:
        """The note of a decision that changes nothing."""
        before = deepcopy(self.run)
        decision = decide(self.chart, self.run, event, self.now, self.budget)
        assert decision == Decision((), before, decision.note)
        return decision.note

    def freed(self, name: str = "", *, known_dead: bool = False) -> None:
        """The incarnation that holds the task ended without handing it back."""
        self._change(self._leased(name), leased_by=None, lost_by="db-2 pid 7", lost_dead=known_dead)

    def _change(self, task: Task, **fields: object) -> Task:
        changed = replace(task, **fields)  # type: ignore[arg-type]  # the callers name fields of Task
        self.run = replace(self.run, tasks=tuple(changed if t.name == task.name else t for t in self.run.tasks))
        return changed

    # --- what workers do

    def due(self) -> list[Task]:
        """What a claim would find."""
        return [t for t in self.run.tasks if t.due_at is not None and t.due_at <= self.now and t.leased_by is None]

    def claim(self, kind: str = "", by: str = WORKER) -> Task:
        """Lease the oldest due task, or the oldest of that kind."""
        found = [task for task in self.due() if kind in ("", task.kind, task.outcome)]
        assert found, f"nothing is due: {shown(self.run)}"
        task = min(found, key=lambda task: task.due_at or self.now)
        return self._change(task, leased_by=by, attempt=task.attempt + 1)

    def succeeds(self, value: str = "null") -> Decision:
        task = self._at_hand()
        return self.tell(e.ActionSucceeded(task.name, task.attempt, task.leased_by or "", value))

    def fails(self, error: str = "E: bad", *, final: bool = False, park: ParkCode | None = None) -> Decision:
        task = self._at_hand()
        return self.tell(e.ActionFailed(task.name, task.attempt, task.leased_by or "", error, final, park))

    def times_out(self, error: str = "over its timeout") -> Decision:
        task = self._at_hand()
        return self.tell(e.AttemptTimedOut(task.name, task.attempt, task.leased_by or "", error))

    def lost(self, crashes: int = 1, *, known_dead: bool = False) -> Decision:
        """Another worker has taken over and asks whether it may go on."""
        task = self._at_hand()
        report = e.AttemptLost(task.name, task.attempt, task.leased_by or "", crashes, known_dead, "db-2 pid 7")
        return self.tell(report)

    def fires(self, outcome: str, *, late: timedelta = timedelta()) -> Decision:
        """The clock goes to when the timer is due (and *late* beyond), a worker leases it and says so."""
        timers = [t for t in self.run.tasks if t.kind == "timer" and outcome in (t.outcome, f"{t.outcome} {t.state}")]
        assert len(timers) == 1, f"{outcome}: {shown(self.run)}"
        task = timers[0]
        assert task.due_at is not None, "it is held"
        self.now = max(self.now, task.due_at + late)
        task = task if task.leased_by else self._change(task, leased_by=WORKER, attempt=task.attempt + 1)
        return self.tell(e.TimerFired(task.name, task.attempt, task.leased_by or ""))

    def _at_hand(self) -> Task:
        """The leased head of the line, leased now where nobody holds it."""
        head = self.run.head()
        assert head is not None, "nothing is in line"
        return head if head.leased_by else self.claim(head.kind)

    def _leased(self, name: str) -> Task:
        return next(t for t in self.run.tasks if t.leased_by and name in ("", t.name))

    # --- what people and programs ask

    def send(self, name: str, payload: str = '{"text":""}') -> Decision:
        return self.tell(event(name, payload))

    def approve(self, actor: str = "bob", reason: str = "") -> Decision:
        return self.tell(self.verdict(actor, approved=True, reason=reason))

    def reject(self, actor: str = "bob", reason: str = "") -> Decision:
        return self.tell(self.verdict(actor, approved=False, reason=reason))

    def verdict(
        self, actor: str = "bob", *, approved: bool = True, role: str = "dba", digest: str = "", reason: str = ""
    ) -> e.VerdictGiven:
        shown_digest = self.run.gate.digest if self.run.gate else ""
        return e.VerdictGiven(approved, digest or shown_digest, actor, (role,), reason)

    def passes(self, length: timedelta) -> None:
        """Time goes by."""
        self.now += length

    # --- what a test looks at

    @property
    def line(self) -> list[str]:
        return [shown_task(task) for task in self.run.line()]

    @property
    def beside(self) -> list[str]:
        return sorted(shown_task(task) for task in self.run.tasks if task.position == 0)

    @property
    def stack(self) -> list[str]:
        return [f"{entry.state}#{entry.visit} {entry.status}" for entry in self.run.undo]

    @property
    def results(self) -> list[str]:
        """What counts of what came of the states."""
        return [f"{r.source} {r.value}" for r in self.run.results if not r.undone]

    @property
    def where(self) -> tuple[str, str]:
        return self.run.state, self.run.status


CANCEL: Final = e.CancelRequested("bob")
ROLLBACK: Final = e.RollbackRequested("bob")
RETRY: Final = e.RetryRequested("bob")
SKIP: Final = e.SkipRequested("bob", "not needed")
PAUSE: Final = e.PauseRequested("bob")
RESUME: Final = e.ResumeRequested("bob")


def event(name: str, payload: str = '{"text":""}') -> e.EventReceived:
    return e.EventReceived(name, payload, "bob")


def drive(write: Callable[[Lines], None], budget: Budget | None = None) -> Drive:
    """A run of a saga written in place."""
    return Drive(charted(write), budget)


def shown(run: Snapshot) -> list[str]:
    return [shown_task(task) for task in run.tasks]


def shown_task(task: Task) -> str:
    """``kind STATE: what it waits for``, times counted from the start of the test."""
    what = f"{task.outcome} {task.state}" if task.kind == "timer" else f"{task.kind} {task.state}"
    return f"{what}: {_condition(task)}"


def _condition(task: Task) -> str:
    if task.parked:
        return f"parked {task.parked.code} {task.parked.outcome}".strip()
    if task.ending:
        return f"ending, then {task.ending}"
    if task.leased_by:
        return f"attempt {task.attempt}"
    if task.due_at is not None:
        return f"due {task.due_at - START}"
    return f"resumes {task.resumes_at - START}" if task.resumes_at is not None else "held"
