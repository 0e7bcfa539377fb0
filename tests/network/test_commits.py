"""Every COMMIT of a whole run is lost, before and after it took, in the store and in the target: all is there once.

A clean run counts the COMMITs on each side, of its way forward and of its rollback; then each trial is a run of its
own, with one of them lost. Renewals depend on the clock: in these runs there is hardly one, and in some others hardly
anything else. Everybody goes on by himself: no call raises, no run waits for a person.
"""

from __future__ import annotations

from typing import Final

import pytest

from saga_engine.runtime.engine import Engine
from saga_engine.store import journal
from tests.network.conftest import Opened, shown
from tests.network.shop import GOING, Said, booked
from tests.support.proxy import Loss, Proxy

BEYOND: Final = 3
"""So many COMMITs more than in the clean run are tried: polls depend on the clock."""
SELDOM: Final = 0.5
"""Seconds from one renewal to the next, which hands back what was claimed by a COMMIT that was lost."""
OFTEN: Final = 0.01
RENEWALS: Final = (4, 7, 11)
"""Which COMMITs are lost where most are those of renewals."""


def whole_run(engine: Engine, key: str, *, fails: bool = False) -> str:
    """One run from its start to its end, with an event and a verdict on its way; its id."""
    run = engine.start("order", {"fails": fails}, key=key).id
    engine.work(until_idle=True)
    engine.send(run, "go", Said(n=1), dedup_key="the one")
    [approval] = engine.approvals(run)
    engine.approve(run, shown=approval.digest, actor="ann")
    engine.work(until_idle=True)
    return run


def check(engine: Engine, run: str, key: str, *, fails: bool = False) -> None:
    """The run is there once, as is each thing that happened to it; so is each effect, or none after a rollback."""
    found = engine.get(run)
    assert (found.state, found.status) == (("AT_HOME", "rolled_back") if fails else ("PAID", "completed"))
    assert booked(engine.targets.engine("dw"), run) == ([] if fails else GOING)
    kinds = [line.kind for line in engine.history(run)]
    assert [kinds.count(kind) for kind in ("RunStarted", "EventReceived", "VerdictGiven")] == [1, 1, 1]
    with engine.store.read() as db:
        assert journal.verify(db, run) is None
    assert [line.id for line in engine.find(limit=1_000).items if line.key == key] == [run]


@pytest.fixture(params=["store", "target"])
def lossy(request: pytest.FixtureRequest) -> Proxy:
    """The proxy whose COMMITs are lost."""
    proxy: Proxy = request.getfixturevalue(f"{request.param}_proxy")
    return proxy


@pytest.mark.timeout(400)
@pytest.mark.parametrize("loss", [Loss.REQUEST, Loss.REPLY], ids=lambda loss: loss.name)
def test_a_run_has_everything_once_whichever_commit_is_lost(
    store_proxy: Proxy, target_proxy: Proxy, lossy: Proxy, opened: Opened, loss: Loss
) -> None:
    def trial(key: str, renew_seconds: float = SELDOM) -> int:
        engine = opened(shown(store_proxy.url), shown(target_proxy.url), renew_seconds=renew_seconds)
        check(engine, whole_run(engine, key, fails=True), key, fails=True)
        engine.close()
        return lossy.commits

    for key in ("warm", "clean"):
        lossy.lose_at(loss, 10**9)
        commits = trial(key)
    for at in range(1, commits + BEYOND):
        lossy.lose_at(loss, at)
        trial(f"lost {at}")
    print(f"{commits} COMMITs, {lossy.lost} lost")  # noqa: T201  the measurement
    assert lossy.lost >= commits - BEYOND
    for at in RENEWALS:
        lossy.lose_at(loss, at)
        trial(f"renewed {at}", OFTEN)
