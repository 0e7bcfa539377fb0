"""The server's clock is asked now and then, and never run ahead of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from saga_engine.store.serverclock import CARRIED_SECONDS, PROMPT_SECONDS, ServerClock

BEGAN = datetime(2026, 11, 26, tzinfo=UTC)


class World:
    """A server whose answer takes a while, and a clock that nobody can set."""

    def __init__(self, delay: float = 0.0) -> None:
        self.passed, self.delay, self.asked, self.set_by = 1_000.0, delay, 0, 0.0
        self.clock = ServerClock(lambda: self.passed)

    def server(self) -> datetime:
        return BEGAN + timedelta(seconds=self.passed + self.set_by)

    def ask(self) -> datetime:
        self.asked += 1
        self.passed += self.delay / 2
        said = self.server()
        self.passed += self.delay / 2
        return said

    def now(self) -> datetime:
        return self.clock.now(self.ask)


def test_an_answer_is_carried_on_for_a_moment() -> None:
    world = World()
    for _ in range(10):
        assert world.now() == world.server()
        world.passed += CARRIED_SECONDS / 20
    assert world.asked == 1
    world.passed += CARRIED_SECONDS
    assert (world.now(), world.asked) == (world.server(), 2)


def test_it_is_never_ahead_and_no_further_behind_than_an_answer_takes() -> None:
    world = World(delay=PROMPT_SECONDS * 0.9)
    for _ in range(30):
        behind = world.server() - world.now()
        assert timedelta(0) <= behind + timedelta(seconds=world.delay) <= timedelta(seconds=2 * world.delay)
        world.passed += CARRIED_SECONDS / 7


def test_an_answer_that_came_late_is_not_carried_on() -> None:
    world = World(delay=PROMPT_SECONDS * 1.1)
    world.now()
    world.now()
    assert world.asked == 2


def test_a_server_that_is_set_anew_is_followed_after_a_moment() -> None:
    world = World()
    world.now()
    world.set_by = -3_600.0
    world.passed += CARRIED_SECONDS
    assert world.now() == world.server()
