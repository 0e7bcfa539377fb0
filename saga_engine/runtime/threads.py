"""The threads that attempts run on. Daemons, so that one that hangs never keeps its process from ending."""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Final, TypeAlias

Call: TypeAlias = Callable[[], None]

PREFIX: Final = "saga-action"


class Threads:
    """Threads, begun when they are needed, each taking one call after the other.

    ``concurrent.futures`` would wait for its threads at the end of the process, and a thread that hangs is what
    a worker must survive.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[Thread] = []

    def submit(self, call: Call, under_way: int) -> None:
        """Run *call*, which raises nothing, as one of so many that are *under way*: there is a thread for each.

        One that has just reported is not under way any more, though its thread needs a moment to take the next.
        """
        if len(self._threads) < under_way:
            thread = Thread(target=self._work, name=f"{PREFIX}-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._calls.put(call)

    def close(self, seconds: float) -> None:
        """Let every thread end after its call; wait up to *seconds* for those that have one."""
        until = monotonic() + seconds
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
