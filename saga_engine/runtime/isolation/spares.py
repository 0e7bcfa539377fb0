"""Processes in which a suspect has ended well: each takes the next suspect of its saga, instead of another fork."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from threading import Condition
from time import monotonic
from typing import Final

from saga_engine.runtime.isolation.lines import Lines

PROCESSES_MAX: Final = 100
"""So many at once: with its warden each takes some 5 MiB, and what its steps take."""
PATIENCE_SECONDS: Final = 0.1
"""How long an attempt waits for one that is there, before another is forked: a quick step takes a hundredth of it."""
LOOK_SECONDS: Final = 0.1
"""How soon an attempt that waits sees that nobody wants it any more."""
AGAIN_SECONDS: Final = 10.0
"""How long suspects run alone where a process could not be had."""
IDLE_SECONDS: Final = 5.0
"""How long one waits for the next suspect."""


class Spares:
    """Any thread may take one. *key*: what it has loaded, and which life of the worker it is part of."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._idle: defaultdict[str, list[tuple[float, Lines]]] = defaultdict(list)
        self._there: defaultdict[str, int] = defaultdict(int)
        """Idle, taken, or being forked."""
        self._forking = self._closed = False
        self._refused: dict[str, float] = {}
        """Until when none is to be had."""

    def refused(self, key: str) -> bool:
        """Whether one could not be had a moment ago."""
        return monotonic() < self._refused.get(key, 0.0)

    def refuse(self, key: str) -> None:
        """None can be had; it is tried again in a while."""
        self._refused[key] = monotonic() + AGAIN_SECONDS

    def take(self, key: str, fork: Callable[[], Lines], wanted: Callable[[], bool]) -> Lines | None:
        """A process that nobody else uses until it is given back or lost; None where it is not *wanted* any more.

        What *fork* raises is raised here.
        """
        until = monotonic() + PATIENCE_SECONDS
        with self._changed:
            while (lines := self._idle_one(key)) is None and not self._may_fork(key, until):
                self._changed.wait(LOOK_SECONDS)
                if not wanted():
                    return None
            if lines is not None:
                return lines
            self._forking = True
            self._there[key] += 1
        try:
            return fork()
        except BaseException:
            self.lost(key)
            raise
        finally:
            with self._changed:
                self._forking = False
                self._changed.notify_all()

    def give(self, key: str, lines: Lines) -> None:
        """It is whole, and free for the next."""
        with self._changed:
            if not self._closed:
                self._idle[key].append((monotonic(), lines))
                self._changed.notify()
                return
        lines.close()

    def lost(self, key: str) -> None:
        """One that was taken is no more."""
        with self._changed:
            self._there[key] -= 1
            self._changed.notify()

    def tidy(self, *, everything: bool = False) -> None:
        """Let those end that nobody has needed for a while; or *everything* that is idle."""
        since = monotonic() - (0.0 if everything else IDLE_SECONDS)
        with self._changed:
            old = [(key, one) for key, idle in self._idle.items() for one in idle if one[0] <= since]
            for key, one in old:
                self._idle[key].remove(one)
                self._there[key] -= 1
        for _, (_, lines) in old:
            lines.close()

    def close(self) -> None:
        """Let all end; one that comes back later ends then."""
        self._closed = True
        self.tidy(everything=True)

    def _idle_one(self, key: str) -> Lines | None:
        """The one that was needed last, so that those that are not needed end; not one that has died meanwhile."""
        while self._idle[key]:
            _, lines = self._idle[key].pop()
            if lines.waits():
                return lines
            lines.close()
            self._there[key] -= 1
        return None

    def _may_fork(self, key: str, until: float) -> bool:
        """One at a time: while it is forked another may come back."""
        waited = not self._there[key] or monotonic() >= until
        return waited and not self._forking and sum(self._there.values()) < PROCESSES_MAX
