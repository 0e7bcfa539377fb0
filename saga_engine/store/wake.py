"""How a worker hears at once that something may have come due: a hint, from any thread or process.

Polling stays the truth. A hint may be lost, come late, or mean nothing; without any the next poll finds the same.
"""

from __future__ import annotations

import os
import select
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import time_ns
from typing import Any, Final, TypeAlias

from saga_engine.errors import StoreUnreachable

CHANNEL: Final = "saga_due"
"""What PostgreSQL's NOTIFY and LISTEN name, in the database of the store. It carries no payload."""
LOOK_SECONDS: Final = 0.02
"""How often the file of a SQLite store is looked at: two calls of stat, no lock, nothing read."""
RACY_NANOSECONDS: Final = 20_000_000
"""A file that was changed so short a time ago may change again within the same tick of its clock, unseen."""

Look: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Ear(ABC):
    """Listens for one worker: one thread waits, any other may poke or close."""

    def __init__(self) -> None:
        self._here, self._there = os.pipe()
        os.set_blocking(self._here, False)
        os.set_blocking(self._there, False)
        self._closing = Lock()
        self._closed = False

    def poke(self) -> None:
        """Wake whoever waits."""
        with self._closing:
            if not self._closed:
                with suppress(BlockingIOError):  # full of pokes that nobody has felt yet
                    os.write(self._there, b"!")

    @abstractmethod
    def wait(self) -> bool:
        """Return when something may have come due since the last call, or after a poke. StoreUnreachable when deaf.

        True when somebody said so; False when it is guessed from a change of the store.
        """

    def close(self) -> None:
        """Let go of what it listens with; nobody waits any more."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._here)
                os.close(self._there)

    def _poked(self, file: int | None, seconds: float | None) -> bool:
        """Wait for a poke or for *file* to be readable; True after a poke."""
        waits = select.poll()  # not select(), which knows no file with a number above 1,023
        for one in (self._here,) if file is None else (self._here, file):
            waits.register(one, select.POLLIN)
        ready = waits.poll(None if seconds is None else seconds * 1_000)
        if self._here not in {number for number, _ in ready}:
            return False
        with suppress(BlockingIOError):
            os.read(self._here, select.PIPE_BUF)
        return True


class Notifications(Ear):
    """LISTEN on a connection of its own, which is the driver's (psycopg's) and is closed with it."""

    def __init__(self, url: str, connection: Any) -> None:  # noqa: ANN401  an extra
        super().__init__()
        self._url, self._connection = url, connection
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        except connection.Error as error:
            self.close()
            raise self._deaf(error) from error

    def wait(self) -> bool:
        """As long as it takes; the connection costs nothing meanwhile."""
        try:
            while not self._poked(self._connection.fileno(), None):
                if any(True for _ in self._connection.notifies(timeout=0)):
                    break
        except self._connection.Error as error:
            raise self._deaf(error) from error
        return True

    def close(self) -> None:
        """End the session."""
        self._connection.close()
        super().close()

    def _deaf(self, error: Exception) -> StoreUnreachable:
        return StoreUnreachable(url=self._url, reason=str(error).partition("\n")[0])


class Changes(Ear):
    """Looks at the times and sizes of a database's files: every commit changes them."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._files = (database, database.with_name(f"{database.name}-wal"))
        self._seen, self._sure = self._look()

    def wait(self) -> bool:
        """Until the files are not what they were. Its own worker's commits are heard, too."""
        while not self._poked(None, LOOK_SECONDS):
            seen, sure = self._look()
            changed = seen != self._seen or not self._sure
            self._seen, self._sure = seen, sure
            if changed:
                return False
        return True

    def _look(self) -> tuple[Look, bool]:
        """What the files are like; False where they were changed a moment ago, and it is to be looked at again."""
        seen = tuple(_facts(file) for file in self._files)
        newest = max((facts[0] for facts in seen if facts), default=0)
        return seen, abs(time_ns() - newest) > RACY_NANOSECONDS


def _facts(file: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116  ten times as fast as Path's, and this is done all the time
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
