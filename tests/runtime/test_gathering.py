"""Which reports wait for others, and for how long."""

from __future__ import annotations

import pytest

from saga_engine.runtime import gathering
from saga_engine.runtime.gathering import Gathering


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(gathering, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_report_alone_does_not_wait(clock: Clock) -> None:
    together = Gathering(0.005)
    assert together.seconds() == 0
    together.began(("a.1", 1))
    together.back(("a.1", 1))
    assert together.seconds() == 0


def test_those_that_began_together_wait_for_the_last_of_them(clock: Clock) -> None:
    together = Gathering(0.005)
    for name in ("a.1", "b.1", "c.1"):
        together.began((name, 1))
    together.back(("a.1", 1))
    assert together.seconds() == pytest.approx(0.005)
    clock.now += 0.003
    together.back(("b.1", 1))
    assert together.seconds() == pytest.approx(0.002)
    together.back(("c.1", 1))
    assert together.seconds() == 0


def test_nobody_waits_again_for_one_that_takes_its_time(clock: Clock) -> None:
    together = Gathering(0.005)
    together.began(("slow.1", 1))
    clock.now += 0.006
    assert together.seconds() == 0
    together.began(("quick.1", 1))
    assert together.seconds() == pytest.approx(0.005)
    together.back(("quick.1", 1))
    assert together.seconds() == 0, "the slow one is still out"
    together.back(("slow.1", 1))
