"""A SQLite store's time never goes back, goes on whatever is done to the host's clock, and follows it in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from saga_engine.store.connect import Store, open_store
from saga_engine.store.hostclock import BELIEVED_SECONDS, SIZE, TOLERANCE_SECONDS, HostClock, Pair, follow, unpacked

BOOT: Final = b"b" * 16
OTHER_BOOT: Final = b"c" * 16
HOUR: Final = 3600.0
DAYS: Final = 3 * 86400.0
LAST: Final = Pair(BOOT, told=1_000_000.0, steady=500.0)


@pytest.mark.parametrize("jump", [HOUR, DAYS, -HOUR, -DAYS])
def test_after_a_jump_time_goes_on_as_if_there_had_been_none(jump: float) -> None:
    pair = LAST
    for steady in (510.0, 520.0, 590.0):
        pair = follow(pair, BOOT, 1_000_000.0 + (steady - 500) + jump, steady)
        assert (pair.told, pair.steady) == (1_000_000.0 + steady - 500, steady)
        assert pair.ahead_since == (510.0 if jump > 0 else 0.0)


def test_a_clock_that_was_set_forward_is_believed_after_a_while() -> None:
    pair = follow(LAST, BOOT, 1_000_010.0 + DAYS, 510.0)
    late = 510.0 + BELIEVED_SECONDS
    assert follow(pair, BOOT, 1_000_000.0 + late - 501 + DAYS, late - 1).told == 1_000_000.0 + late - 501
    wall = 1_000_000.0 + late - 500 + DAYS
    assert follow(pair, BOOT, wall, late) == Pair(BOOT, wall, late)


def test_a_clock_that_is_set_right_again_is_followed_at_once() -> None:
    pair = follow(LAST, BOOT, 1_000_010.0 + DAYS, 510.0)
    assert follow(pair, BOOT, 1_000_020.5, 520.0) == Pair(BOOT, 1_000_020.5, 520.0)


def test_a_clock_that_is_slewed_is_followed() -> None:
    assert follow(LAST, BOOT, 1_000_000.0 + 86_400 + 43.2, 500.0 + 86_400).told == 1_000_000.0 + 86_400 + 43.2


def test_time_does_not_go_back_by_a_small_step() -> None:
    assert follow(LAST, BOOT, 1_000_000.1 - TOLERANCE_SECONDS, 500.1).told == 1_000_000.0


@pytest.mark.parametrize(("wall", "told"), [(2_000_000.0, 2_000_000.0), (10.0, 1_000_000.0)])
def test_after_a_reboot_time_goes_on_from_the_later_of_both(wall: float, told: float) -> None:
    assert follow(LAST, OTHER_BOOT, wall, 3.0) == Pair(OTHER_BOOT, told, 3.0)
    assert follow(Pair(BOOT, 1_000_000.0, 500.0), BOOT, wall, 3.0).told == told


def test_without_a_pair_the_host_is_believed() -> None:
    assert follow(None, BOOT, 7.0, 3.0) == Pair(BOOT, 7.0, 3.0)


def test_a_pair_is_kept_whole_or_not_at_all() -> None:
    packed = LAST.packed()
    assert unpacked(packed) == LAST
    torn = [packed[:at] + b"\x00" * (SIZE - at) for at in range(SIZE - 1)]
    assert [unpacked(kept) for kept in (b"", packed[:-1], *torn)] == [None] * (SIZE + 1)


class Hand:
    """The hands of a host's clock, which a test may set."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def wall(self) -> float:
        return time.time() + self.set_by


@pytest.fixture
def turned(tmp_path: Path) -> Callable[[], tuple[Store, Hand]]:
    """Open a store as one process after the other does, each with a clock that can be set."""

    def opened() -> tuple[Store, Hand]:
        store, hand = open_store(f"sqlite:///{tmp_path}/saga.db"), Hand()
        turn(store, hand)
        return store, hand

    return opened


def turn(store: Store, hand: Hand) -> None:
    clock = store._clock  # type: ignore[attr-defined]
    store._clock = HostClock(clock._kept, clock._keep, hand.wall, clock._steady)  # type: ignore[attr-defined]


def off(store: Store) -> float:
    """The store's time against the host's real one, in seconds."""
    with store.write() as db:
        return (store.clock(db) - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("jump", [HOUR, DAYS, -HOUR, -DAYS])
def test_the_store_of_two_processes_keeps_its_time_when_the_clock_jumps(
    turned: Callable[[], tuple[Store, Hand]], jump: float
) -> None:
    (one, hand), (two, other) = turned(), turned()
    assert abs(off(one)) < TOLERANCE_SECONDS
    hand.set_by = other.set_by = jump
    assert [abs(off(store)) < TOLERANCE_SECONDS for store in (one, two, one)] == [True] * 3
    ahead = one.ahead().total_seconds()
    assert (abs(ahead - jump) < TOLERANCE_SECONDS) if jump > 0 else (ahead == 0)
    three, late = turned()
    late.set_by = jump
    assert abs(off(three)) < TOLERANCE_SECONDS, "a process that begins after the jump"
    for store in (one, two, three):
        store.close()


def test_no_two_writes_have_the_same_moment_though_the_clock_stands(
    turned: Callable[[], tuple[Store, Hand]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, hand), (two, other) = turned(), turned()
    stands = time.time() + 1
    for store, hands in ((one, hand), (two, other)):
        monkeypatch.setattr(hands, "wall", lambda: stands)
        turn(store, hands)
    seen = []
    for store in (one, two, two, one, one):
        with store.write() as db:
            seen.append(store.clock(db))
    assert seen == sorted(set(seen))
    assert (seen[-1] - seen[0]).total_seconds() < 0.001
    one.close()
    two.close()
