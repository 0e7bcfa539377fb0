"""The store's clock in a test: the database's own, and on top of it what the test has skipped."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from saga_engine.errors import BadInput
from saga_engine.runtime.engine import Engine
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
        """Skip so much in all, in every process that reads this one."""
        self._shared[:WIDTH] = (ahead // MICROSECOND).to_bytes(WIDTH, "little")


def skipping(store: Store, skipped: Skipped) -> Store:
    """Return *store*, whose clock is ahead from now on by what is skipped: that of this one object, and nothing else.

    Production never does this: only a ``ClockedEngine`` does. No row is changed to make time pass, so what the engine
    decides, and when, is what it would decide after a wait.
    """
    clock = store.clock
    vars(store)["clock"] = lambda db: clock(db) + skipped.ahead
    return store


class Clock:
    """What time it is for the engine of a test, and the way to let time pass."""

    def __init__(self, engine: ClockedEngine) -> None:
        self._engine = engine

    def now(self) -> datetime:
        """The database's time, and what was skipped."""
        store = self._engine.store
        with store.read() as db:
            return store.clock(db)

    def skip(self, by: timedelta, *, leases: bool = True) -> None:
        """Let *by* pass at once: timers, deadlines, back-offs, expiries that are due by then are due now.

        What sleeps in a step, and the timeout of an attempt that runs, go by real time. A worker that runs
        meanwhile keeps its lease; with *leases* False it does not, and is taken for dead if the lease is over.
        """
        if by < timedelta():
            raise BadInput(f"a clock skips forward only, not by {by}")
        skipped = self._engine.skipped
        ahead = skipped.ahead + by
        if not leases:
            skipped.ahead = ahead
            return

        def pass_with_leases(db: sa.Connection) -> None:
            incarnations.lengthen(db, by)
            # Before the COMMIT: a renewal that waits for these rows reads the clock as it is by then.
            skipped.ahead = ahead

        retrying(self._engine.store, pass_with_leases)


class ClockedEngine(Engine):
    """An engine whose clock skips time. Those that share *skipped* live at the same time, in any process."""

    def __init__(self, settings: Settings, registry: Registry, skipped: Skipped, *, create: bool = True) -> None:
        self.skipped = skipped
        self.clock = Clock(self)
        super().__init__(settings=settings, registry=registry, create=create)

    def _opened(self, *, create: bool) -> Store:
        return skipping(super()._opened(create=create), self.skipped)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing of it is open inside the block, in no thread: a child that is forked there inherits no connection."""
        self.close()
        try:
            yield
        finally:
            Engine.__init__(self, settings=self.settings, registry=self.registry, create=False)
