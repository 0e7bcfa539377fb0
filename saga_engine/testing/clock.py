"""The store's clock in a test: the database's own, and on top of it what the test has skipped."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from saga_engine.errors import BadInput
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.opening import opened
from saga_engine.runtime.registry import Registry
from saga_engine.settings import Settings
from saga_engine.store import incarnations
from saga_engine.store.connect import Store, retrying

if TYPE_CHECKING:
    import sqlalchemy as sa

MICROSECOND: Final = timedelta(microseconds=1)
WIDTH: Final = 8
"""Bytes of what was skipped, in microseconds: one word, so that no reader finds it half written."""


class Skipped:
    """How far the clock is ahead. Processes that are forked from here read the same one, and see it move."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, WIDTH)

    @property
    def ahead(self) -> timedelta:
        """What has been skipped so far."""
        return int.from_bytes(self._shared[:WIDTH], "little") * MICROSECOND

    @ahead.setter
    def ahead(self, ahead: timedelta) -> None:
        self._shared[:WIDTH] = (ahead // MICROSECOND).to_bytes(WIDTH, "little")


class SkippingStore(Store):
    """A store whose clock is ahead by what was skipped; in everything else the one that *opened* gives.

    Production never makes one: only a ``Harness`` does. No row is changed to make time pass, so what the engine
    decides, and when, is what it would decide after a wait.
    """

    def __init__(self, opened: Callable[[], Store], skipped: Skipped) -> None:
        # Not the base's: connections, locks and what a fork does to them are the inner store's affair.
        self._opened = opened
        self._skipped = skipped
        self._inner = opened()
        self.url, self.dialect = self._inner.url, self._inner.dialect

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """See ``Store``."""
        with self._inner.read() as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """See ``Store``."""
        with self._inner.write() as db:
            yield db

    def clock(self, db: sa.Connection) -> datetime:
        """The database's time, and what was skipped."""
        return self._inner.clock(db) + self._skipped.ahead

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing of it is open inside the block, in no thread: a child that is forked there inherits no connection."""
        self._inner.close()
        try:
            yield
        finally:
            self._inner = self._opened()

    def close(self) -> None:
        """See ``Store``."""
        self._inner.close()

    def _check_still_open(self, db: sa.Connection) -> None:
        self._inner._check_still_open(db)  # noqa: SLF001  the same method of the store within

    def left_to_parent(self) -> None:
        """Nothing: the inner store is told itself."""


class Clock:
    """What time it is for the engine of a test, and the way to let time pass."""

    def __init__(self, store: Store, skipped: Skipped) -> None:
        self._store = store
        self._skipped = skipped

    def now(self) -> datetime:
        """The database's time, and what was skipped."""
        with self._store.read() as db:
            return self._store.clock(db)

    def skip(self, by: timedelta, *, leases: bool = True) -> None:
        """Let *by* pass at once: timers, deadlines, back-offs, expiries that are due by then are due now.

        What sleeps in a step, and the timeout of an attempt that runs, go by real time. A worker that runs
        meanwhile keeps its lease; with *leases* False it does not, and is taken for dead if the lease is over.
        """
        if by < timedelta():
            raise BadInput(f"a clock skips forward only, not by {by}")
        ahead = self._skipped.ahead + by
        if not leases:
            self._skipped.ahead = ahead
            return

        def pass_with_leases(db: sa.Connection) -> None:
            incarnations.lengthen(db, by)
            # Before the COMMIT: a renewal that waits for these rows reads the clock as it is by then.
            self._skipped.ahead = ahead

        retrying(self._store, pass_with_leases)


class ClockedEngine(Engine):
    """An engine on a store that skips time. Those that share *skipped* live at the same time, in any process."""

    def __init__(self, settings: Settings, registry: Registry, skipped: Skipped, *, create: bool = True) -> None:
        self.skipped = skipped
        super().__init__(settings=settings, registry=registry, create=create)
        self.clock = Clock(self.store, skipped)

    def _opened(self, *, create: bool) -> Store:
        self.clocked = SkippingStore(lambda: opened(self.settings, create=create), self.skipped)
        return self.clocked
