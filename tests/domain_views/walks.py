"""Random walks of a run over ``decide``: what workers, people and time may do to it, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.values import ParkCode
from saga_engine.errors import SagaError
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import BY_HAND, MIGRATE, POLL, UNSHOWN, Mood, saga_of

CHARTS = tuple(Chart(saga_of(lines)) for lines in (MIGRATE, POLL, BY_HAND, UNSHOWN))
BUDGET = Budget(transitions=9, inbox=3)
ME = "worker-1"
PAYLOADS = {
    "abort": ('{"reason":"urgent"}', '{"reason":"later"}'),
    "file": ('{"path":"orders.csv"}', '{"path":"orders.txt"}'),
    "stop": ('{"reason":"now"}',),
}
VALUES = {"Exported": ('{"rows":10}',), "Report": ('{"missing":0}', '{"missing":7}')}


def begin(chart: Chart) -> Snapshot:
    """A run that was just started."""
    new = Snapshot("run", chart.name, chart.version, chart.digest, '{"table":"orders","may_miss":0}', "ann")
    return decide(chart, new, e.RunStarted("ann"), NOON, BUDGET).after


def lease(run: Snapshot, name: str = "") -> Snapshot:
    """The run after a claim of the head, or of the task called *name*."""
    wanted = run.task(name) if name else run.head()
    assert wanted is not None, "nothing to lease"
    leased = replace(wanted, attempt=wanted.attempt + 1, leased_by=ME)
    return replace(run, tasks=tuple(leased if task.name == leased.name else task for task in run.tasks))


def tell(chart: Chart, run: Snapshot, *asked: e.Event, now: datetime = NOON) -> Snapshot:
    """The run after these events."""
    for event in asked:
        run = decide(chart, run, event, now, BUDGET).after
    return run


def done(chart: Chart, run: Snapshot, *values: str, now: datetime = NOON) -> Snapshot:
    """The run after its head was leased and came back, once for each of *values*."""
    for value in values:
        leased = lease(run)
        head = leased.head()
        assert head is not None, "nothing to lease"
        run = tell(chart, leased, e.ActionSucceeded(head.name, head.attempt, ME, value=value), now=now)
    return run


def broken(
    chart: Chart, run: Snapshot, error: str, *, final: bool = False, park: ParkCode | None = None, now: datetime = NOON
) -> Snapshot:
    """The run after its head was leased and failed."""
    leased = lease(run)
    head = leased.head()
    assert head is not None, "nothing to lease"
    return tell(chart, leased, e.ActionFailed(head.name, head.attempt, ME, error, final=final, park=park), now=now)


@dataclass
class Walk:
    """One run being walked; each number picks what happens next."""

    chart: Chart
    run: Snapshot
    now: datetime = NOON

    def step(self, number: int) -> None:
        """Let the *number*-th of the things that can happen now happen."""
        moves = list(self._moves())
        moves[number % len(moves)](number // len(moves))

    def _moves(self) -> Iterator[Callable[[int], None]]:
        for task in self.run.tasks:
            if task.leased_by is not None:
                yield from [self._reports(task)] * 6
            elif task.due_at is not None and task.due_at <= self.now:
                yield from [self._claims(task)] * 6
        yield from (self._waits, self._sends, self._sends, self._votes, self._votes, self._asks, self._mood)

    def _ask(self, event: e.Event) -> None:
        """What is refused moves nothing."""
        try:
            self.run = decide(self.chart, self.run, event, self.now, BUDGET).after
        except SagaError:
            return

    def _claims(self, task: Task) -> Callable[[int], None]:
        def claim(_: int) -> None:
            leased = replace(task, attempt=task.attempt + 1, leased_by=ME)
            self.run = replace(self.run, tasks=tuple(leased if t.name == task.name else t for t in self.run.tasks))
            if task.kind == "timer":
                self._ask(e.TimerFired(task.name, leased.attempt, ME))

        return claim

    def _reports(self, task: Task) -> Callable[[int], None]:
        who = (task.name, task.attempt, ME)

        def report(number: int) -> None:
            value = self._value(task, number // 20)
            crashes, dead = 1 + number // 20 % 3, bool(number // 60 % 2)
            troubles: tuple[e.Event, ...] = (
                e.ActionFailed(*who, error="OSError: disk full"),
                e.ActionFailed(*who, error="OSError: disk\nfull"),
                e.ActionFailed(*who, error="PermissionError: no", final=True),
                e.ActionFailed(*who, error="the target is ahead", park="W21"),
                e.AttemptTimedOut(*who, error="longer than 1 h"),
                *[e.AttemptLost(*who, crashes=crashes, known_dead=dead, runner="db-2 pid 7")] * 3,
            )
            self._ask((*troubles, *[e.ActionSucceeded(*who, value=value)] * 12)[number % 20])

        return report

    def _value(self, task: Task, number: int) -> str:
        model = self.chart.run_of(task.state).result if task.kind == "step" else None
        values = VALUES[model.__name__] if model else ("null",)
        return values[number % len(values)]

    def _waits(self, number: int) -> None:
        self.now += (timedelta(seconds=30), timedelta(minutes=10), timedelta(hours=9), timedelta(days=2))[number % 4]

    def _sends(self, number: int) -> None:
        if self.chart.events:
            name = sorted(self.chart.events)[number % len(self.chart.events)]
            payloads = PAYLOADS[name]
            self._ask(e.EventReceived(name, payloads[number // 4 % len(payloads)], "bob"))

    def _votes(self, number: int) -> None:
        if self.run.gate is not None:
            actor = ("ann", "bob", "cleo")[number % 3]
            self._ask(e.VerdictGiven(number // 3 % 4 != 0, self.run.gate.digest, actor, ("dba",)))

    def _asks(self, number: int) -> None:
        stops: list[str | None] = [None, *(entry.state for entry in self.run.undo)]
        asked: tuple[e.Event, ...] = (
            e.CancelRequested("bob"),
            e.RollbackRequested("bob", to=stops[number // 20 % len(stops)]),
            e.SkipRequested("bob", "seen to"),
            e.Resolved("bob", "looked", done=False),
            e.Resolved("bob", "looked", done=True),
            e.PauseRequested("bob"),
            *[e.ResumeRequested("bob")] * 4,
            *[e.RetryRequested("bob")] * 10,
        )
        self._ask(asked[number % len(asked)])

    def _mood(self, number: int) -> None:
        Mood.raises, Mood.says = bool(number % 2), bool(number // 2 % 2)
