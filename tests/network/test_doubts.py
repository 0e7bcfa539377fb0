"""A COMMIT whose outcome nobody can tell yet: the caller hears so, not that nothing happened; asking again is safe."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from saga_engine.errors import AlreadyDecided, OutcomeUnknown, StoreUnreachable
from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from tests.network.conftest import Opened, shown, until, working
from tests.network.shop import Said, booked
from tests.network.test_commits import check, whole_run
from tests.support.proxy import Loss, Proxy

LEASE_SECONDS: Final = 1.2
SILENT_SECONDS_MAX: Final = 30.0
"""The client's patience of five seconds, and what a busy machine adds."""
HALF_OPEN = pytest.mark.parametrize("loss", [Loss.HALF_OPEN, Loss.SILENCE], ids=lambda loss: loss.name)
LOST = pytest.mark.parametrize("loss", [Loss.REQUEST, Loss.REPLY], ids=lambda loss: loss.name)


@pytest.fixture
def engine(store_proxy: Proxy, target_direct: str, opened: Opened) -> Engine:
    """Its store is behind the proxy, and has seen the sagas."""
    engine = opened(shown(store_proxy.url), target_direct)
    engine.start("errand", {}, key="first")
    return engine


def told_to_look(proxy: Proxy, loss: Loss, call: Callable[[], object]) -> None:
    """*call* loses its COMMIT, and the store does not answer until it has given up."""
    proxy.lose_at(loss, goes_down=True)
    with pytest.raises(OutcomeUnknown, match="may be there or not"):
        call()
    proxy.answers = True


def journalled(engine: Engine, run: str, kind: str) -> int:
    return [line.kind for line in engine.history(run)].count(kind)


@LOST
def test_a_start_in_doubt_says_so_and_begins_one_run_with_the_same_key(
    engine: Engine, store_proxy: Proxy, loss: Loss
) -> None:
    told_to_look(store_proxy, loss, partial(engine.start, "errand", {}, key="k"))
    there = [line.id for line in engine.find().items if line.key == "k"]
    assert len(there) == (loss is Loss.REPLY)
    run = engine.start("errand", {}, key="k").id
    assert [line.id for line in engine.find().items if line.key == "k"] == [run] == (there or [run])


@LOST
def test_an_event_in_doubt_says_so_and_counts_once_with_the_same_event_key(
    engine: Engine, store_proxy: Proxy, loss: Loss
) -> None:
    run = engine.start("order", {}, key="k").id
    send = partial(engine.send, run, "go", Said(n=1), dedup_key="e")
    told_to_look(store_proxy, loss, send)
    send()
    assert journalled(engine, run, "EventReceived") == 1


@pytest.mark.parametrize("point", ["store.journal.locked", "store.write.after_commit"])
def test_an_event_that_the_server_reads_when_it_was_given_up_counts_once(
    engine: Engine, store_proxy: Proxy, point: str
) -> None:
    """It holds no lock until it is read: it comes while its sender asks what became of it, or has just been told."""
    run = engine.start("order", {}, key="k").id
    store_proxy.lose_at(Loss.LATE)
    asked: list[str] = []

    def comes(name: str) -> None:
        asked.extend([name] if name == "store.journal.locked" else [])
        if asked and name == point and not store_proxy.late.is_set():
            store_proxy.late.set()
            time.sleep(0.5)

    with switched_on(comes):
        engine.send(run, "go", Said(n=1))
    assert store_proxy.late.is_set()
    assert journalled(engine, run, "EventReceived") == 1
    assert engine.verify([run]).found == ()


@LOST
def test_a_verdict_in_doubt_says_so_and_counts_once(engine: Engine, store_proxy: Proxy, loss: Loss) -> None:
    run = engine.start("order", {}, key="k").id
    engine.send(run, "go", Said(n=1), dedup_key="e")
    engine.work(until_idle=True)
    [approval] = engine.approvals(run)
    approve = partial(engine.approve, run, shown=approval.digest, actor="ann")
    told_to_look(store_proxy, loss, approve)
    if loss is Loss.REPLY:
        with pytest.raises(AlreadyDecided, match="already approved by ann"):
            approve()
    else:
        approve()
    assert journalled(engine, run, "VerdictGiven") == 1


def test_a_call_that_never_came_to_its_commit_says_that_the_store_is_unreachable(
    engine: Engine, store_proxy: Proxy
) -> None:
    store_proxy.answers = False
    store_proxy.cut_all()
    with pytest.raises(StoreUnreachable):
        engine.start("errand", {}, key="k")
    store_proxy.answers = True
    assert [line.id for line in engine.find().items if line.key == "k"] == []


@HALF_OPEN
def test_a_store_that_falls_silent_at_a_commit_holds_nobody_up_for_longer_than_a_few_leases(
    store_proxy: Proxy, target_direct: str, opened: Opened, loss: Loss
) -> None:
    for at in (4, 9):
        engine = opened(
            shown(store_proxy.url), target_direct, lease_seconds=LEASE_SECONDS, renew_seconds=LEASE_SECONDS / 3
        )
        before = store_proxy.lost
        store_proxy.lose_at(loss, at)
        began = time.monotonic()
        check(engine, whole_run(engine, f"lost {at}"), f"lost {at}")
        assert store_proxy.lost == before + 1
        assert time.monotonic() - began < SILENT_SECONDS_MAX
        engine.close()


@HALF_OPEN
def test_a_target_that_falls_silent_at_a_commit_costs_an_attempt_and_nothing_is_done_twice(
    store_direct: str, target_proxy: Proxy, target_direct: str, opened: Opened, loss: Loss
) -> None:
    engine = opened(
        store_direct, shown(target_proxy.url), lease_seconds=LEASE_SECONDS, renew_seconds=LEASE_SECONDS / 3,
        grace_seconds=0.5,
    )  # fmt: skip
    target = opened(store_direct, target_direct).targets.engine("dw")
    for at in (1, 2):
        before = target_proxy.lost
        target_proxy.lose_at(loss, at)
        run = engine.start("brief", {}).id
        with working(engine, concurrency=4):
            until(lambda: engine.get(run).ended)  # noqa: B023  waited for in this turn
        assert (target_proxy.lost, booked(target, run), engine.get(run).state) == (before + 1, ["out"], "FLOWN")
        target_proxy.cut_all()
