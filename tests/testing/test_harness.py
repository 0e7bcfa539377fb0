"""An engine for tests: its clock skips time, and its workers stop where the test says."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from saga_engine import Retry, hours, minutes
from saga_engine.errors import BadInput
from saga_engine.runtime.views import RunView
from saga_engine.runtime.worker import Worker
from saga_engine.testing import Harness
from tests.runtime import plays
from tests.runtime.conftest import working
from tests.runtime.plays import Input, Note, S, playing, until
from tests.testing.conftest import Harnesses

DBA = {"dba": ["ann"], "lead": ["eve"]}


def told(harness: Harness, run: RunView, kind: str) -> list[dict[str, object]]:
    """The events of that kind in the history."""
    return [line.event for line in harness.history(run.id) if line.kind == kind]


def broken(*_: object, **__: object) -> None:
    raise KeyError("a bug")


# --- running until


def test_a_run_stops_where_it_is_wanted_and_its_next_step_has_not_begun(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing() as play:
        run = harness.start("play", Input(name="play"))
        assert harness.run_until(run, S.TWO).state == "TWO"
        assert play.told == ["one"]
        assert harness.run_until(run.name, "completed").state == "DONE"
        assert play.told == ["one", "two"]
    assert harness.path(run) == ["ONE", "TWO", "DONE"]


def test_nothing_goes_on_between_two_calls(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    before = set(threading.enumerate())
    with playing():
        run = harness.start("play", Input(name="play"))
        harness.run_until(run, S.TWO)
    assert (set(threading.enumerate()) - before, harness.workers()) == (set(), [])


def test_a_run_that_is_there_already_is_left_alone(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    run = harness.start("play", Input(name="play"))
    assert harness.run_until(run, S.ONE) == run
    assert harness.run_until(run, "running") == run


def test_a_function_may_say_where_a_run_is_wanted(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing():
        run = harness.start("play", Input(name="play", n=5))
        found = harness.run_until(run, lambda now: bool(now.results))
    assert (found.state, found.results) == ("TWO", {"ONE": {"n": 5, "text": ""}})


def test_a_run_that_comes_to_rest_elsewhere_says_where_how_and_why(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.gated(notice=False), roles=DBA)
    with playing():
        run = harness.start("gated", Input(name="play"))
        harness.run_until(run, S.GATE)
        harness.pause(run.id, actor="ann")
        with pytest.raises(AssertionError) as error:
            harness.run_until(run, S.LAST)
    lines = str(error.value).splitlines()
    assert lines[:2] == [
        f"the run does not come to LAST: {run.name} is in GATE (waiting)",
        "  path: ONE → GATE",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["W09:", "W03:"]


def test_a_run_that_ends_otherwise_tells_what_failed(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing(two=plays.raising(ValueError("no room"))):
        run = harness.start("play", Input(name="play"))
        with pytest.raises(AssertionError) as error:
            harness.run_until(run, "completed")
    assert str(error.value).splitlines() == [
        f"the run does not come to completed: {run.name} is in UNDONE (rolled_back)",
        "  path: ONE → TWO → BACK → UNDONE",
        "  failed: ValueError: no room",
    ]


def test_a_run_that_takes_too_long_says_so(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing() as play:
        play.acts["one"] = play.waits
        run = harness.start("play", Input(name="play"))
        with pytest.raises(AssertionError, match=r"^the run did not come to DONE in 0\.3 s: play-\w+ is in ONE"):
            harness.run_until(run, S.DONE, within=0.3)
        play.gate.set()
        assert harness.run_until(run, S.DONE).status == "completed"


def test_what_breaks_the_worker_fails_the_test(saga_harness: Harnesses, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = saga_harness(plays.saga())
    run = harness.start("play", Input(name="play"))
    monkeypatch.setattr(Worker, "_round", broken)
    with pytest.raises(KeyError, match="a bug"):
        harness.run_until(run, S.DONE)


def test_what_breaks_the_function_fails_the_test_and_nothing_else(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing():
        run = harness.start("play", Input(name="play"))
        with pytest.raises(ZeroDivisionError):
            harness.run_until(run, lambda now: 1 / len(now.tasks) > 1)
        assert harness.run_until(run, S.DONE).status == "completed"
    assert told(harness, run, "ActionFailed") == []


# --- time


def test_a_back_off_of_hours_takes_no_time(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga(retry=Retry(3, first=hours(1), cap=hours(4))))
    began = harness.clock.now()
    with playing(one=plays.raising(OSError("away"), times=2)):
        run = harness.start("play", Input(name="play"))
        assert harness.run_until(run, "completed").status == "completed"
    assert harness.clock.now() - began > hours(1)
    assert len(told(harness, run, "ActionFailed")) == 2


def test_a_deadline_passes_at_once(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.waiting(deadline=hours(30)))
    run = harness.start("waiting", Input())
    harness.run_until(run, "rolled_back")
    assert harness.path(run) == ["WAIT", "BACK", "UNDONE"]


def test_a_gate_that_nobody_answers_escalates_and_expires_at_once(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.gated(expires=hours(48), notice=False), roles=DBA)
    with playing():
        run = harness.start("gated", Input(name="play"))
        harness.run_until(run, S.GATE)
        [gate] = harness.approvals(run.id)
        assert harness.run_until(run, lambda now: harness.approvals(now.id)[0].roles == ("dba", "lead")).state == "GATE"
        assert gate.expires_at - harness.clock.now() > hours(23)
        harness.run_until(run, "rolled_back")
    assert harness.clock.now() >= gate.expires_at


def test_what_the_open_gate_shows_is_at_hand(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.gated(notice=False), roles=DBA)
    with playing():
        run = harness.start("gated", Input(name="play"))
        with pytest.raises(AssertionError, match="no gate of the run is open; it is in ONE"):
            harness.shown(run)
        harness.run_until(run, S.GATE)
        harness.approve(run.id, shown=harness.shown(run), actor="ann")
        assert harness.run_until(run, "completed").state == "DONE"


def test_a_deferred_event_is_forgotten_when_its_days_have_been_skipped(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.waiting())
    with playing():
        run = harness.start("waiting", Input(name="play"))
        harness.send(run.id, plays.go, Note(text="now"))
        harness.send(run.id, plays.go, Note(text="too early"))
        assert harness.get(run.id).state == "ONE"
        harness.clock.skip(timedelta(days=8))
        harness.run_until(run, "completed")
    commands = [command for line in harness.history(run.id) for command in line.commands]
    assert [command["fate"] for command in commands if command["kind"] == "TakeEvent"] == ["expired"]


def test_without_skipping_a_test_waits_in_real_time(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.waiting())
    run = harness.start("waiting", Input())
    before = harness.clock.now()
    with pytest.raises(AssertionError, match=r"^the run did not come to rolled_back in 0\.4 s: waiting-\w+ is in WAIT"):
        harness.run_until(run, "rolled_back", skip=False, within=0.4)
    assert harness.clock.now() - before < hours(1)
    assert harness.get(run.id) == run


def test_the_clock_goes_forward_only(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    before = harness.clock.now()
    with pytest.raises(BadInput, match=r"^a clock skips forward only, not by -1 day, 23:00:00$"):
        harness.clock.skip(-hours(1))
    assert harness.clock.now() - before < minutes(1)
    harness.clock.skip(hours(1))
    harness.clock.skip(hours(1))
    assert hours(2) <= harness.clock.now() - before < hours(2) + minutes(1)


@pytest.mark.parametrize(("leases", "attempts"), [(True, [1]), (False, [2])])
def test_a_skip_takes_no_lease_from_a_living_worker_unless_it_is_to(
    saga_harness: Harnesses, leases: bool, attempts: list[int]
) -> None:
    harness = saga_harness(plays.saga())
    with playing() as play, playing("other"):
        play.acts["one"] = play.hangs
        run = harness.start("play", Input(name="play"))
        with working(harness, concurrency=1):
            assert play.began.wait(20)
            play.acts.clear()  # whoever begins it again does not hang
            with working(harness, concurrency=1):
                harness.clock.skip(hours(1), leases=leases)
                # The second worker has kept house when it has finished a whole run after the skip.
                other = harness.start("play", Input(name="other"))
                until(lambda: harness.get(other.id).ended)
                if leases:
                    play.gate.set()
                until(lambda: harness.get(run.id).ended)
                play.gate.set()
    done = [event["attempt"] for event in told(harness, run, "ActionSucceeded") if event["task"] == f"{run.id}.1"]
    assert done == attempts
