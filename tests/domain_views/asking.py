"""How the tests of ``why`` ask, and runs that have come somewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.snapshot import Snapshot
from saga_engine.domain.why import Attempt, Holder, Loaded, Surroundings, Worker, why
from tests.domain_views.moments import NOON
from tests.domain_views.walks import BUDGET, CHARTS, begin, done, tell

MIGRATE, POLL, BY_HAND, UNSHOWN = CHARTS
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ALIVE = Holder("9f2c", "db-2", 7, renewed_at=NOON - 3 * SECOND, lease_until=NOON + 12 * SECOND)
IDLE = Worker("db-2", 7, slots=8, busy=0, loaded=tuple(Loaded("migrate", 1, chart.digest) for chart in CHARTS))
ROLES = {"dba": ["bob", "cleo", "ann"], "lead": ["dora"]}


def around(**more: Any) -> Surroundings:
    facts: dict[str, Any] = {"now": NOON, "run": "migrate-7f3k2", "workers": (IDLE,), "roles": ROLES, "budget": BUDGET}
    return Surroundings(**{**facts, **more})


def told(chart: Chart | None, run: Snapshot, **more: Any) -> str:
    """All reasons as text: the sentence, the evidence further in, the commands with what they do."""
    lines: list[str] = []
    for reason in why(chart, run, around(**more)):
        lines.append(f"{reason.code} {reason.sentence}")
        lines += [f"  {line}" for line in reason.evidence]
        lines += [f"  > {step.command}: {step.effect}" for step in reason.next]
    return "\n".join(lines) + "\n"


def first(chart: Chart | None, run: Snapshot, **more: Any) -> str:
    """The first line of the first reason."""
    return told(chart, run, **more).partition("\n")[0]


def waits(run: Snapshot, *, urgent: bool = False) -> Snapshot:
    """An abort arrives."""
    reason = "urgent" if urgent else "later"
    return tell(POLL, run, e.EventReceived("abort", f'{{"reason":"{reason}"}}', "bob"))


def polled() -> Snapshot:
    """POLL, waiting for its file."""
    return done(POLL, begin(POLL), "null")


def loading() -> Snapshot:
    """POLL, its file has come and LOADING is due."""
    arrived = tell(POLL, polled(), e.EventReceived("file", '{"path":"orders.csv"}', "bob"))
    return done(POLL, arrived, "null")


def asking() -> Snapshot:
    """MIGRATE, its gate is open."""
    return done(MIGRATE, begin(MIGRATE), '{"rows":10}', "null", '{"missing":0}', "null")


def voted(run: Snapshot, actor: str, *, approved: bool = True, reason: str = "") -> Snapshot:
    assert run.gate is not None
    return tell(MIGRATE, run, e.VerdictGiven(approved, run.gate.digest, actor, ("dba",), reason))


def attempt_of(run: Snapshot, **facts: Any) -> dict[str, Attempt]:
    head = run.head()
    assert head is not None
    return {head.name: Attempt(**facts)}
