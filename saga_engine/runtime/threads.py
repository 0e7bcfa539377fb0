"""The threads that attempts run on. Daemons, so that one that hangs never keeps its process from ending."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Final, TypeAlias

Call: TypeAlias = Callable[[], None]

PREFIX: Final = "saga-action"


class Threads:
    """At most *size* threads, begun when they are needed, each taking one call after the other.

    ``concurrent.futures`` would wait for its threads at the end of the process, and a thread that hangs is what
    a worker must survive.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._free = 0
        self._counting = Lock()

    def submit(self, call: Call) -> None:
        """Run *call*, which raises nothing, as soon as a thread is free."""
        with self._counting:
            if self._free > 0:
                self._free -= 1
            elif len(self._threads) < self._size:
                self._begin()
        self._calls.put(call)

    def close(self, seconds: float) -> None:
        """Let every thread end after its call; wait up to *seconds* for those that have one."""
        until = monotonic() + seconds
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    def _begin(self) -> None:
        thread = Thread(target=self._work, name=f"{PREFIX}-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            with self._counting:
                self._free += 1
