"""Who waits for a free slot: sagas take turns, and a run that goes on keeps its slot for a while."""

from __future__ import annotations

from typing import Final

import pytest

from saga_engine.domain.definition.saga import Saga
from saga_engine.runtime import chaining
from saga_engine.runtime import claiming as claiming_module
from saga_engine.runtime.chaining import Chaining
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import Input, S
from tests.runtime.test_worker_rest import begun

BUSY: Final = 60


def quiet() -> Saga[S, Input]:
    """One step."""
    made = Saga("quiet", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(plays.last).reads_only().then(S.DONE)
    return plays.finished(made)


def test_a_quiet_saga_does_not_wait_for_what_is_due_of_a_busy_one(opened: Opened) -> None:
    engine = opened(plays.saga(), quiet())
    for _ in range(BUSY):
        engine.start("play", Input())
    late = engine.start("quiet", Input())
    with working(engine, concurrency=1):
        assert engine.wait(late.id, seconds=20).status == "completed"
        left = sum(line.runs for line in engine.status())
    assert left > BUSY / 2


@pytest.mark.parametrize(
    ("backlog", "late", "goes_on"), [(True, False, True), (True, True, False), (False, True, True)]
)
def test_a_run_goes_on_for_a_while_and_longer_where_nobody_waits(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, *, backlog: bool, late: bool, goes_on: bool
) -> None:
    engine = opened(plays.saga())
    run = engine.door.read(engine.start("play", Input()).id).run
    now = [100.0]
    monkeypatch.setattr(chaining, "monotonic", lambda: now[0])
    with begun(engine) as worker:
        chain = Chaining(worker._me)
        chain.begin(2)
        assert chain.goes_on(run, backlog=backlog)
        now[0] += chaining.SECONDS_MAX * (1.1 if late else 0.9)
        assert chain.goes_on(run, backlog=backlog) == goes_on
        chain.forget(run.run_id)
        chain.begin(0)
        assert not chain.goes_on(run, backlog=False)


def test_what_is_said_to_be_due_is_looked_for_at_once_and_a_guess_after_a_while(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming_module, "monotonic", lambda: 100.0)
    with begun(opened(plays.saga(), poll_seconds=60)) as worker:
        claiming = worker._claiming
        claiming._next_round = 1_000.0  # no upkeep
        assert claiming.claim(1) == []
        assert claiming.seconds(1) > claiming_module.HINT_SECONDS
        claiming.hint(said=False)
        assert claiming.seconds(1) == pytest.approx(claiming_module.HINT_SECONDS)
        claiming.hint(said=True)
        assert claiming.seconds(0) == pytest.approx(claiming_module.GAP_SECONDS)
        assert claiming.seconds(1) == 0
        assert claiming.claim(1) == []
        assert claiming.seconds(1) > claiming_module.HINT_SECONDS
