"""``engine.wait``: a run is given back as soon as it stands still, whoever has recorded that."""

from __future__ import annotations

import threading
import time

import pytest

from saga_engine import errors
from saga_engine.domain.definition.saga import Saga
from saga_engine.runtime import waiting
from saga_engine.runtime.engine import Engine
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import Input, playing

LONG_SECONDS = 20.0
"""So long that whoever waits for it has not been told."""


@pytest.fixture
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not told hears nothing."""
    monkeypatch.setattr(waiting, "FIRST_LOOK_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", LONG_SECONDS)


@pytest.mark.usefixtures("rare_looks")
def test_a_worker_of_this_process_tells_at_once_that_the_run_has_ended(opened: Opened) -> None:
    engine = opened(plays.saga(), poll_seconds=60)
    with working(engine):
        began = time.monotonic()
        for _ in range(5):
            run = engine.wait(engine.start("play", Input()).id)
            assert (run.state, run.status, run.ended, run.stands_still) == ("DONE", "completed", True, True)
    assert time.monotonic() - began < LONG_SECONDS


@pytest.mark.usefixtures("rare_looks")
@pytest.mark.parametrize(
    ("saga", "status", "acts"),
    [
        (plays.gated(), "waiting", {}),
        (plays.saga(failed=False), "parked", {"one": plays.raising(ValueError("no"))}),
    ],
)
def test_a_run_that_goes_on_only_with_a_person_stands_still(
    opened: Opened, saga: Saga[plays.S, Input], status: str, acts: dict[str, plays.Act]
) -> None:
    engine = opened(saga)
    with playing("still", **acts), working(engine):
        run = engine.wait(engine.start(saga, Input(name="still")).id)
    assert (run.status, run.ended, run.stands_still) == (status, False, True)


@pytest.mark.usefixtures("rare_looks")
def test_who_pauses_a_run_tells_who_waits_for_it(opened: Opened) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", Input())
    assert not run.stands_still
    pausing = threading.Timer(0.1, engine.pause, [run.id])
    pausing.start()
    found = engine.wait(run.id, seconds=LONG_SECONDS / 2)
    pausing.join()
    assert (found.paused, found.stands_still) == (True, True)


def test_what_another_process_records_is_found_by_looking(opened: Opened) -> None:
    engine, other = opened(plays.saga()), opened(plays.saga())
    run = engine.start("play", Input())
    with working(other):
        assert engine.wait(run.id, seconds=LONG_SECONDS).status == "completed"


def test_a_run_that_goes_on_is_given_back_when_the_time_is_over(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", Input())
    began = time.monotonic()
    found = engine.wait(run.name, seconds=0.2)
    assert time.monotonic() - began >= 0.2
    assert (found, found.stands_still) == (run, False)
    assert engine.door.still._waiting == {}


def test_a_run_that_does_not_exist_is_not_waited_for(opened: Opened) -> None:
    engine: Engine = opened(plays.saga())
    for unknown in ("0" * 32, "play-00000"):
        with pytest.raises(errors.RunNotFound):
            engine.wait(unknown)


@pytest.mark.parametrize("saga", [plays.saga(), plays.gated(), plays.waiting()])
def test_a_start_gives_what_a_look_finds(opened: Opened, saga: Saga[plays.S, Input]) -> None:
    engine = opened(saga)
    begun = engine.start(saga, Input(n=3), key="orders", actor="ann")
    assert begun == engine.get(begun.id)
    assert engine.start(saga, Input(n=3), key="orders") == begun
