"""Step classes that no ledger protects: a manual step never runs twice, a verified one asks its probe first."""

from __future__ import annotations

from typing import Any

import pytest

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Done, InDoubt, NotDone, Retry, seconds
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from saga_engine.store import claims, incarnations
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import Value


def parked(run: RunView) -> list[tuple[str | None, str]]:
    return [(task.parked, task.error) for task in run.tasks if task.parked]


def lose_holder(engine: Engine, how: str) -> None:
    """End whoever holds a task, as another worker's keeper would, and free what it held."""
    with engine.store.write() as db:
        for row in incarnations.living(db):
            incarnations.end(db, row.id, engine.store.clock(db), how)
    with engine.store.write() as db:
        claims.free_ended(db, engine.store.clock(db), 100)


def test_a_manual_step_that_fails_waits_for_a_person(opened: Opened) -> None:
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p", one=plays.raising(ValueError("no answer"))) as play:
        run = engine.start("play", {"name": "p"}).id
        engine.work(until_idle=True)
        assert (parked(engine.get(run)), play.told) == ([("W23", "ValueError: no answer")], ["one"])
        engine.resolve(run, done=True, evidence="the bank says so", result={"n": 8})
        engine.work(until_idle=True)
    assert (engine.get(run).status, engine.get(run).results["ONE"]["n"], play.told) == ("completed", 8, ["one", "two"])


def test_a_manual_step_that_took_no_effect_may_be_tried_again_by_a_person(opened: Opened) -> None:
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p", one=plays.raising(ValueError("no answer"), 1)) as play:
        run = engine.start("play", {"name": "p"}).id
        engine.work(until_idle=True)
        engine.resolve(run, done=False, evidence="nothing arrived")
        engine.work(until_idle=True)
    assert (engine.get(run).status, play.told) == ("completed", ["one", "one", "two"])


@pytest.mark.parametrize("how", ["dead", "expired"])
def test_a_manual_step_whose_worker_is_gone_is_never_begun_again(opened: Opened, how: str) -> None:
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            lose_holder(engine, how)
            plays.until(lambda: parked(engine.get(run)))
            play.gate.set()
        engine.work(until_idle=True)
    assert (play.told, [code for code, _ in parked(engine.get(run))]) == (["one"], ["W23"])


def test_a_manual_step_lost_under_a_paused_run_is_not_begun_again_at_the_resume(opened: Opened) -> None:
    """A pause changes the task's row; that it was lost must outlive that."""
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with working(engine, queues=("default",)) as worker:
            assert play.began.wait(10)
            setattr(worker._claiming, "claim", lambda *_: [])  # noqa: B010  it looks no more
            lose_holder(engine, "dead")
            engine.pause(run)
            engine.resume(run)
            play.gate.set()
            worker.stop()
        engine.work(until_idle=True)
    assert (play.told, [code for code, _ in parked(engine.get(run))]) == (["one"], ["W23"])


def test_a_manual_step_that_is_stopped_with_its_worker_waits_for_a_person(opened: Opened) -> None:
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
        assert (play.told, parked(engine.get(run))) == (["one", "cancelled"], [("W23", "RuntimeError: cancelled")])


def test_a_manual_step_that_does_not_stop_with_its_worker_waits_for_a_person_too(opened: Opened) -> None:
    engine = opened(plays.saga(promise="manual"))
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
        ((code, error),) = parked(engine.get(run))
        assert (code, "was stopped in the middle of it" in error) == ("W23", True)
        play.gate.set()
        engine.work(until_idle=True)
    assert play.told == ["one"]


def test_a_manual_step_is_always_claimed_never_recorded_already_leased(opened: Opened) -> None:
    """Its start is committed before it begins, so that a crash in between is known as one."""
    engine = opened(manual_second())
    chained: list[str] = []
    with plays.playing("p"):
        run = engine.start("second", {"name": "p"}).id
        worker = engine.worker()
        goes_on = worker._leases

        def watch(snapshot: Any) -> bool:
            answer = goes_on(snapshot)
            chained.append(f"{snapshot.state} {answer}")
            return answer

        worker._leases = watch  # type: ignore[method-assign, assignment]  # the question is watched, the answer is its own
        worker.run(until_idle=True)
    assert engine.get(run).status == "completed"
    assert chained == ["LAST True"]


def manual_second() -> Saga[plays.S, plays.Input]:
    made = Saga("second", version=1, states=plays.S, input=plays.Input, start=plays.S.ONE)
    made.at(plays.S.ONE).run(plays.one).undo(plays.undo_one).then(plays.S.TWO, failed=plays.S.BACK)
    made.at(plays.S.TWO).run(plays.two, promise="manual").undo(plays.undo_two).then(plays.S.LAST, failed=plays.S.BACK)
    made.at(plays.S.LAST).run(plays.last, retry=plays.QUICK).pivot().then(plays.S.DONE)
    return plays.finished(made)


@pytest.mark.parametrize(
    ("found", "status", "told"),
    [
        (Done(Value(n=5)), "completed", ["one", "probe"]),
        (NotDone(), "completed", ["one", "probe", "one"]),
        (InDoubt(), "parked", ["one", "probe"]),
    ],
    ids=["done", "not done", "in doubt"],
)
def test_a_verified_step_asks_its_probe_before_it_is_tried_again(
    opened: Opened, found: object, status: str, told: list[str]
) -> None:
    engine = opened(plays.verified())
    with plays.playing("p", one=plays.raising(ValueError("lost the answer"), 1), probe=lambda _step: found) as play:
        run = engine.start("verified", {"name": "p"}).id
        engine.work(until_idle=True)
    assert (engine.get(run).status, play.told) == (status, told)
    if status == "parked":
        ((code, error),) = parked(engine.get(run))
        assert (code, error) == ("W23", "Doubt: the probe probe cannot tell whether the step took effect")


def test_a_verified_step_that_did_nothing_is_not_undone(opened: Opened) -> None:
    engine = opened(plays.verified())
    with plays.playing("p", one=plays.raising(ValueError("bad")), probe=lambda _step: NotDone()) as play:
        run = engine.start("verified", {"name": "p"}).id
        engine.work(until_idle=True)
    assert (engine.get(run).status, "undo one" in play.told) == ("rolled_back", False)


def test_a_step_that_does_not_end_is_given_up_and_an_idempotent_one_is_tried_again(opened: Opened) -> None:
    engine = opened(plays.saga(timeout=seconds(0.2), retry=Retry(3, first=seconds(0.05))))
    with plays.playing("p") as play:
        play.acts["one"] = lambda step: play.hangs(step) if step.attempt == 1 else Value(n=2)
        run = engine.start("play", {"name": "p"}).id
        with working(engine, concurrency=4):
            plays.until(lambda: engine.get(run).ended, 15)
            assert (engine.get(run).status, engine.get(run).results["ONE"]["n"]) == ("completed", 2)
            play.gate.set()
    assert play.told == ["one", "one", "two"]


def test_a_step_that_does_not_end_parks_a_run_that_would_have_to_undo_it(opened: Opened) -> None:
    """Nobody knows whether it still writes: an undo beside it would prove nothing."""
    engine = opened(plays.saga(timeout=seconds(0.2), retry=Retry(1)))
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with working(engine, concurrency=4):
            plays.until(lambda: parked(engine.get(run)), 15)
            ((code, error),) = parked(engine.get(run))
            assert (code, "may still be running" in error) == ("W23", True)
            play.gate.set()
    assert play.told == ["one"]
