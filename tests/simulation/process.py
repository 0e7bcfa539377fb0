"""What a process is to the world: what of it can run now, when it wants to be woken, whether it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from saga_engine.runtime.incarnation import Incarnation
from saga_engine.runtime.slots import _times
from saga_engine.runtime.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

Actor = tuple[str, Callable[[], None]]
"""A thread of a process, and what it does when its turn comes."""


class Crash(BaseException):
    """kill -9, as it looks from inside."""


@dataclass(eq=False)
class Process:
    """A worker, or a client. It is on the stack where one of its threads has been stopped in the middle."""

    name: str
    world: World
    dead: bool = False
    known_dead: bool = False
    """Whether others on its host can tell."""
    stopped: int = 0
    """SIGSTOP, so many times."""
    draining: bool = False
    busy: set[str] = field(default_factory=set)
    """Threads that are on the stack."""
    attempts: list[Any] = field(default_factory=list)
    """Calls of attempts that have not begun."""
    under_way: list[Any] = field(default_factory=list)
    """Calls of attempts that are on the stack."""
    worker: Worker | None = None
    life: Incarnation | None = None
    renews_at: float = 0.0
    stirred: bool = False
    """A renewal may have learned something that the worker's loop looks at."""

    def lives(self, life: Incarnation) -> None:
        """A new life of the worker has begun, and is to be renewed from now on."""
        self.life = life
        self.renews_at = self.world.monotonic() + self.world.limits.renew_seconds
        self.world.lives[life.id] = self

    def actors(self) -> Iterator[Actor]:
        """The threads that could go on now."""
        if self.dead or self.stopped or self.worker is None or self.life is None:
            return
        if "renew" not in self.busy and self.world.monotonic() >= self.renews_at:
            yield "renew", self._renew
        if "round" not in self.busy and self._wanted(self.worker):
            yield "round", self._round
        for call in self.attempts:
            yield f"attempt {id(call)}", partial(self._attempt, call)

    def wakes(self) -> Iterator[float]:
        """The moments at which something of it can go on."""
        if self.dead or self.stopped or self.worker is None or self.life is None:
            return
        yield self.renews_at
        now, slots = self.world.monotonic(), self.worker._slots
        if self.life.trusted:
            yield now + self.worker._claiming.seconds(slots.free)
        for since in slots._ending_since.values():
            yield since + self.world.limits.grace_seconds + 0.001
        for attempt in slots.attempts():
            timeout, _ = _times(attempt)
            if timeout is not None and not attempt.timed_out:
                yield attempt.started + timeout.total_seconds() + 0.001

    def runs(self, task: str) -> bool:
        """True while an attempt of the task may still do something here."""
        return not self.dead and any(call.args[0].task.name == task for call in [*self.attempts, *self.under_way])

    def begins(self) -> None:
        """The worker's first act."""
        assert self.worker is not None
        self.worker._begin()

    def drains(self) -> None:
        """SIGTERM."""
        assert self.worker is not None
        self.draining = True
        self.worker._drain()
        self.dead = self.known_dead = True

    def _wanted(self, worker: Worker) -> bool:
        slots = worker._slots
        waiting = worker._reports or worker._returned or not slots.came.empty() or self.stirred
        waiting = waiting or worker._me.lost.is_set()
        return bool(waiting) or any(wake <= self.world.monotonic() for wake in [*self.wakes()][1:])

    def _renew(self) -> None:
        assert self.life is not None
        self.renews_at = self.world.monotonic() + self.world.limits.renew_seconds
        self.stirred = True
        self.life._renew_if_the_store_answers()

    def _round(self) -> None:
        assert self.worker is not None
        self.stirred = False
        self.worker._round(until_idle=False)

    def _attempt(self, call: Any) -> None:
        self.attempts.remove(call)
        self.under_way.append(call)
        try:
            call()
        finally:
            self.under_way.remove(call)
