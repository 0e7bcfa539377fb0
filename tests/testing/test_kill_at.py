"""A worker process dies where the test says, of a real SIGKILL, and the run goes on as after any crash."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import Connection, Saga, hours
from saga_engine.errors import BadInput
from saga_engine.runtime.worker import Worker
from tests.runtime import plays
from tests.runtime.plays import Input, S, Value, playing
from tests.testing.conftest import Harnesses, rows

SHOP = Connection("shop")


def load(step: Any, *_: Any) -> Value:
    """One row, in one effect."""

    def work(db: sa.Connection) -> Value:
        db.execute(sa.text("INSERT INTO loaded VALUES ('all')"))
        return Value(n=1)

    done: Value = step.effect(SHOP, work)
    return done


def unload(step: Any, *_: Any) -> None:
    step.effect(SHOP, lambda db: db.execute(sa.text("DELETE FROM loaded")) and None)


def loading() -> Saga[S, Input]:
    """ONE, an effect."""
    return plays.saga(promise="effect")


def test_a_worker_dies_when_a_step_has_done_its_work_and_nobody_has_recorded_it(
    saga_harness: Harnesses, shop: str
) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    with playing(one=load):
        run = harness.start("play", Input(name="play"))
        left = harness.kill_at(run, S.ONE)
        assert (left.state, left.results, rows(shop, "SELECT part FROM loaded")) == ("ONE", {}, [("all",)])
        assert harness.run_until(run, "completed").results["ONE"] == {"n": 1, "text": ""}
    assert rows(shop, "SELECT part FROM loaded") == [("all",)]
    done = [line.event["attempt"] for line in harness.history(run.id) if line.kind == "ActionSucceeded"]
    assert done == [2, 1]
    harness.assert_journal(run)


def test_the_worker_is_a_process_of_its_own(saga_harness: Harnesses, tmp_path: Path) -> None:
    harness = saga_harness(plays.saga())

    def who(step: Any) -> Value:
        with (tmp_path / "pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return Value()

    with playing(one=who):
        run = harness.start("play", Input(name="play"))
        harness.kill_at(run, S.ONE)
        harness.kill_at(run, S.ONE)
        harness.run_until(run, "completed")
    first, second, last = map(int, (tmp_path / "pids").read_text().split())
    assert len({first, second, last}) == 3
    assert last == os.getpid()
    for gone in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(gone, 0)


def test_a_worker_dies_at_a_failpoint_by_name(saga_harness: Harnesses, shop: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    with playing(one=load):
        run = harness.start("play", Input(name="play"))
        harness.kill_at(run, "ledger.part.after_work")
        assert rows(shop, "SELECT part FROM loaded") == []
        harness.run_until(run, "completed")
    assert rows(shop, "SELECT part FROM loaded") == [("all",)]


def test_a_worker_dies_in_the_undo_and_the_run_is_compensated_all_the_same(saga_harness: Harnesses, shop: str) -> None:
    harness = saga_harness(loading(), connections={"shop": shop})
    acts: dict[str, Any] = {"one": load, "undo one": unload, "two": plays.raising(ValueError("no"))}
    with playing(**acts):
        run = harness.start("play", Input(name="play"))
        harness.kill_at(run, "ledger.undo.part.after_work")
        assert rows(shop, "SELECT part FROM loaded") == [("all",)]
        harness.run_until(run, "rolled_back")
    harness.assert_compensated(run)
    assert rows(shop, "SELECT part FROM loaded") == []


def test_the_second_time_is_that_of_the_next_attempt(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing():
        run = harness.start("play", Input(name="play"))
        harness.kill_at(run, "runtime.action.before", hit=2)
        assert harness.path(run) == ["ONE", "TWO"]
        with pytest.raises(BadInput, match="hit counts from 1, not from 0"):
            harness.kill_at(run, S.TWO, hit=0)


def test_time_is_skipped_for_the_process_too(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.waiting(deadline=hours(30)))
    run = harness.start("waiting", Input())
    harness.kill_at(run, "runtime.recorder.recorded")
    assert harness.path(run)[:2] == ["WAIT", "BACK"]
    assert harness.clock.now() - run.created_at >= hours(30)


def test_a_worker_that_never_comes_there_is_told_with_where_the_run_is(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing():
        run = harness.start("play", Input(name="play"))
        with pytest.raises(
            AssertionError, match=r"^the run does not come to the failpoint no\.such: play-\w+ is in DONE"
        ):
            harness.kill_at(run, "no.such")
    assert (harness.get(run.id).status, harness.workers()) == ("completed", [])


def test_a_step_that_kills_its_own_process_is_no_worker_that_came_there(saga_harness: Harnesses) -> None:
    harness = saga_harness(plays.saga())
    with playing(one=lambda _: os._exit(3)):
        run = harness.start("play", Input(name="play"))
        with pytest.raises(AssertionError, match=r"^the worker ended before it came to the end of the step of TWO"):
            harness.kill_at(run, S.TWO)


def test_a_worker_that_breaks_says_what_broke_it(
    saga_harness: Harnesses, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    harness = saga_harness(plays.saga())
    run = harness.start("play", Input(name="play"))
    monkeypatch.setattr(Worker, "_round", broken)
    with pytest.raises(AssertionError, match="its standard error says more"):
        harness.kill_at(run, S.ONE)
    assert "the worker broke: KeyError: 'a bug'" in capfd.readouterr().err


def broken(*_: object, **__: object) -> None:
    raise KeyError("a bug")
