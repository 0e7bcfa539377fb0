"""A worker that has nothing to do rests: it does not ask the store again and again, nor burn the processor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.worker import TICK_SECONDS, Worker
from saga_engine.store.tasks import Lease
from tests.runtime import plays
from tests.runtime.conftest import Opened

SECONDS_MAX = 30.0


@contextmanager
def begun(engine: Engine) -> Iterator[Worker]:
    """A worker with one slot, whose rounds the test makes."""
    worker = engine.worker(concurrency=1)
    worker._begin()
    try:
        yield worker
    finally:
        worker._drain()


def listened(worker: Worker) -> float:
    """The seconds that it waits for a report."""
    start = time.monotonic()
    worker._listen()
    return time.monotonic() - start


def test_a_worker_that_took_all_that_was_due_does_not_look_again_at_once(opened: Opened) -> None:
    engine = opened(plays.gated(), poll_seconds=60)
    run = engine.start("gated", {}).id
    with begun(engine) as worker:
        end = time.monotonic() + SECONDS_MAX
        while engine.get(run).status != "waiting":
            worker._round(until_idle=False)
            assert time.monotonic() < end
        worker._claiming.soon()
        worker._round(until_idle=False)
        assert (worker._claiming.backlog, worker._claiming.seconds(1) > 0) == (False, True)


def test_a_worker_whose_lease_may_have_run_out_waits_for_its_renewal(opened: Opened) -> None:
    with begun(opened(plays.gated(), renew_seconds=1)) as worker:
        worker._me._trusted_until = 0.0
        assert worker._claiming.seconds(1) == 0
        assert listened(worker) > TICK_SECONDS / 2


def test_a_worker_that_drains_waits_for_what_still_runs(opened: Opened) -> None:
    with begun(opened(plays.gated())) as worker:
        worker._stopping = True
        assert worker._claiming.seconds(1) == 0
        assert listened(worker) > TICK_SECONDS / 2


def test_a_worker_does_not_look_for_more_while_a_suspect_runs_alone(opened: Opened) -> None:
    """It may run for hours, and nothing else begins here meanwhile."""
    engine = opened(plays.saga(), poll_seconds=60)
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with engine.store.write() as db:
            db.execute(sa.text("UPDATE saga_tasks SET crashes = 1"))
        other = engine.start("play", {"name": "other"}).id
        worker = engine.worker(concurrency=4)
        worker._begin()
        try:
            worker._round(until_idle=False)
            plays.until(play.began.is_set)
            worker._round(until_idle=False)
            assert worker._claiming.holds_back
            assert worker._claiming.seconds(worker._slots.free) > 1
            play.gate.set()

            def done() -> bool:
                worker._round(until_idle=False)
                return {engine.get(each).state for each in (run, other)} == {"DONE"}

            plays.until(done)
        finally:
            worker._drain()


@pytest.mark.parametrize("behind", ["claim", "record"])
def test_what_two_renewals_have_handed_back_before_it_began_is_not_begun(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, behind: str
) -> None:
    """The worker's thread stood still behind the COMMIT that leased it; the thread that renews did not."""
    engine = opened(plays.saga(), renew_seconds=1)
    with plays.playing("p") as play, begun(engine) as worker:
        run = engine.start("play", {"name": "p"}).id
        whose = {"claim": worker._claiming, "record": worker._recorder}[behind]
        act, start = getattr(whose, behind), worker._slots.start
        handed_back: list[Lease] = []
        began: list[Lease] = []

        def stands_still(given: Any) -> Any:
            answer = act(given)
            held = [(task.name, task.attempt) for task in engine.get(run).tasks if task.leased_by]
            if held and not handed_back and (behind == "claim" or answer.done):
                handed_back.extend(held)
                worker._me.renew()
                worker._me.renew()
            return answer

        def starts(attempt: Attempt, **how: bool) -> None:
            began.append(attempt.lease)
            start(attempt, **how)

        monkeypatch.setattr(whose, behind, stands_still)
        monkeypatch.setattr(worker._slots, "start", starts)
        plays.until(lambda: [engine.get(run).ended, worker._round(until_idle=True)][0])  # type: ignore[func-returns-value]
        assert (len(handed_back), set(handed_back) & set(began)) == (1, set())
        assert (engine.get(run).status, play.told) == ("completed", ["one", "two"])
    assert engine.verify([run]).found == ()
