"""Work on the store, begun anew after a conflict or a lost connection, and asked after when its outcome is unknown."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy import Connection

from saga_engine.errors import OutcomeUnknown, StoreBusy, StoreError, StoreUnreachable
from saga_engine.store.transactions import Store

T = TypeVar("T")

TRIES_MAX = 8
FIRST_DELAY_SECONDS = 0.02
DELAY_SECONDS_MAX = 2.0
RETRY_SECONDS_MAX = 30.0
ASKED_MAX = 4
"""How often one change is asked after whose outcome is unknown."""


def retrying(store: Store, work: Callable[[Connection], T]) -> T:
    """What *work* returns, from a write transaction that is begun anew after a conflict or a lost connection.

    *work* may be called up to TRIES_MAX times within RETRY_SECONDS_MAX: it changes nothing but the store. The last
    error is raised when they are used up. An unknown outcome at COMMIT is never retried (PROTOCOL, T3).
    """
    return _again(store.write, work)


def alone(store: Store, work: Callable[[Connection], T]) -> T:
    """The same for *work* of a single statement, which is a transaction by itself."""
    return _again(store.write_at_once, work)


def reading(store: Store, look: Callable[[Connection], T]) -> T:
    """What *look* returns, from a read-only transaction that is begun anew like a write's."""
    return _again(store.read, look)


def glancing(store: Store, look: Callable[[Connection], T]) -> T:
    """The same for a *look* of a single statement."""
    return _again(store.glance, look)


def _again(transaction: Callable[[], AbstractContextManager[Connection]], work: Callable[[Connection], T]) -> T:
    end = time.monotonic() + RETRY_SECONDS_MAX
    for tries in range(TRIES_MAX):
        try:
            with transaction() as db:
                return work(db)
        except (StoreBusy, StoreUnreachable):
            if tries == TRIES_MAX - 1 or time.monotonic() >= end:
                raise
        # Full jitter: those that collided once must not meet again at the same moment.
        time.sleep(random.uniform(0, min(FIRST_DELAY_SECONDS * 2**tries, DELAY_SECONDS_MAX)))  # noqa: S311  no secret
    raise AssertionError("the last try returns or raises")


def certain(store: Store, work: Callable[[Connection], T], doubt: OutcomeUnknown | None = None) -> T:
    """What *work* returns, committed for certain: after an unknown outcome the same is done again, under its locks.

    *work* changes nothing the second time, and answers as it did the first time. *doubt* is an unknown outcome that
    *work* asks after. While one is open nobody may be told that nothing happened: OutcomeUnknown is raised when the
    store does not answer any more.
    """
    for _ in range(ASKED_MAX):
        try:
            return retrying(store, work)
        except OutcomeUnknown as error:
            doubt = error
        except StoreError as error:
            if doubt is None:
                raise
            raise doubt from error
    assert doubt is not None, "every try ended in doubt"
    raise doubt
