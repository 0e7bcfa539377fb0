"""Who writes next to a SQLite file: a fair queue for the threads of a process, a turnstile for the processes.

SQLite's own lock is not fair: a busy writer starved another for seconds. With two locks it cannot: whoever waits for
`lock` holds `turn`, so the writer that has just finished must queue behind it (PROTOCOL, Q1).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from saga_engine.errors import StoreBusy, StoreError
from saga_engine.failpoints import hit

# Between two looks at a lock. There is no flock with a time limit, and a limit we need: a stopped process may hold it.
LOOK_SECONDS = 0.0005
_PID_BYTES = 12
_KEPT_AT = 64


class Turnstile:
    """The two lock files of one store, each opened once: flock belongs to the open file, not to thread or process.

    Removing the files while they are in use costs fairness, not safety: BEGIN IMMEDIATE still admits one writer.
    """

    def __init__(self, url: str, turn: int, lock: int, wait_seconds: float) -> None:
        self._url = url
        self._turn = turn
        self._lock = lock
        self._wait_seconds = wait_seconds
        self._line = FairLock()
        self._closed = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """The right to write, for as long as the block lasts. StoreBusy after the store's wait, naming the holder."""
        end, mine = time.monotonic() + self._wait_seconds, threading.Lock()
        try:
            self._wait(mine)
            if self._closed:
                raise StoreError(f"The store {self._url} is closed: open it again.")
            try:
                self._pass(end)
                yield
            finally:
                # Explicitly, and where it was never taken: a close would not free it while a forked child has a copy.
                if not self._closed:
                    fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            try:
                self._line.release(mine)
            except BaseException:  # Ctrl-C at its entry, or in its midst
                self._line.release(mine)
                raise

    def keep(self, data: bytes) -> None:
        """Keep a few bytes beside the store, for all its processes. Under the lock."""
        os.pwrite(self._lock, data, _KEPT_AT)

    def kept(self, size: int) -> bytes:
        """What was kept; nothing where the files are new, or closed."""
        return b"" if self._closed else os.pread(self._lock, size, _KEPT_AT)

    def close(self) -> None:
        """Close both files, after the writer of this process that is under way; again: nothing to do."""
        mine = threading.Lock()
        try:
            self._wait(mine)
            self.left_to_parent()
        finally:
            self._line.release(mine)

    def left_to_parent(self) -> None:
        """Close both files at once; in a forked child this leaves the parent's hold as it is."""
        if not self._closed:
            self._closed = True
            os.close(self._turn)
            os.close(self._lock)

    def _wait(self, mine: threading.Lock) -> None:
        """Be next of the threads; whatever comes of it, *mine* is to be released."""
        if not self._line.acquire(mine, self._wait_seconds):
            raise self._busy(f"another thread of this process ({os.getpid()}) has written for")

    def _pass(self, end: float) -> None:
        """Take ``lock``, by way of ``turn``."""
        try:
            self._take(self._turn, end)
            hit("store.turnstile.turn")
            self._take(self._lock, end)
            hit("store.turnstile.lock")
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _take(self, file: int, end: float) -> None:
        while not _taken(file):
            if time.monotonic() >= end:
                raise self._busy(f"{self._holder()} has held the write lock for")
            time.sleep(LOOK_SECONDS)
        with suppress(OSError):  # a hint for others, and no reason to fail: a full disk is found by who writes
            os.pwrite(file, f"{os.getpid():<{_PID_BYTES}}".encode(), 0)

    def _holder(self) -> str:
        """Who is in the way: the holder of `lock`, or of `turn` where `lock` is free (stopped between the two)."""
        held = self._turn if _taken(self._lock) else self._lock
        with suppress(ValueError):
            return f"process {int(os.pread(held, _PID_BYTES, 0))}"
        return "a process that cannot be named"

    def _busy(self, who: str) -> StoreBusy:
        return StoreBusy(url=self._url, reason=f"{who} {self._wait_seconds:g} s; if it is stopped, continue or kill it")


class FairLock:
    """A lock for threads, handed over in the order of asking: a newcomer cannot overtake.

    Who asks brings a lock of their own, new, by which they are known; to be released is to be next. An interrupt may
    come between any two steps in here; whoever has asked releases in any case, and nothing stays held.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._holder: threading.Lock | None = None
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, mine: threading.Lock, seconds: float) -> bool:
        """True when it is ours; False when *seconds* have gone by."""
        with self._guard:
            if self._holder is None:
                self._holder = mine
                return True
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=seconds):
            return True
        with self._guard:
            if self._holder is mine:  # it was handed to us just now
                return True
            self._waiting.remove(mine)
            return False

    def release(self, mine: threading.Lock) -> None:
        """Hand it to who has waited longest, or leave the queue; done again it does nothing."""
        with self._guard:
            if self._holder is not mine:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                return
            # In an order in which it can be done once more from the beginning, should it be interrupted.
            while self._waiting and self._waiting[0] is mine:
                self._waiting.popleft()
            following = self._waiting[0] if self._waiting else None
            if following is not None:
                with suppress(RuntimeError):  # it was woken the first time
                    following.release()
            self._holder = following
            if following is not None:
                self._waiting.popleft()


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
