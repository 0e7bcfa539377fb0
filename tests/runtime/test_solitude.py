"""How a worker makes room for a suspect that has to run alone: windows that grow, and that never stall it for hours."""

from __future__ import annotations

import pytest

from saga_engine.runtime import solitude
from saga_engine.runtime.solitude import WINDOW_LEASES_MAX, WINDOWS, Solitude
from saga_engine.store.tasks import Lease

LEASE = 10.0


class World:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.held: set[Lease] = {("long", 1)}
        patch.setattr(solitude, "monotonic", lambda: self.now)
        self.solitude = Solitude(LEASE, lambda: self.held)

    def waited(self, seconds: int) -> list[int]:
        """For how many seconds in a row it held back, window by window, in so many seconds with a suspect due."""
        windows, holds = [], False
        for _ in range(seconds):
            held, holds = holds, self.solitude.waits()
            if holds and not held:
                windows.append(0)
            if holds:
                windows[-1] += 1
            self.now += 1
        return windows


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_each_window_is_twice_as_long_as_the_one_before_and_none_is_longer_than_some_leases(world: World) -> None:
    windows = world.waited(20_000)
    assert windows[:5] == [10, 20, 40, 80, 80]
    assert max(windows) == WINDOW_LEASES_MAX * LEASE
    assert sum(windows) <= 20_000 / WINDOWS + max(windows)


def test_where_nobody_waits_any_more_the_next_one_begins_with_a_short_window_and_soon(world: World) -> None:
    world.waited(5_000)
    world.solitude.ends()
    assert not world.solitude.holds_back
    assert world.waited(int(WINDOWS * LEASE) + 12) == [10]


def test_while_a_suspect_runs_nothing_else_begins(world: World) -> None:
    world.held = {("suspect", 3)}
    world.solitude.begins(("suspect", 3))
    assert (world.solitude.runs_one, world.solitude.holds_back, world.solitude.is_of(("suspect", 3))) == (True,) * 3
    assert not world.solitude.is_of(("long", 1))
    world.held = set()
    assert (world.solitude.runs_one, world.solitude.holds_back) == (False, False)
