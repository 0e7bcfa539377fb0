"""The thread that wakes an idle worker; it goes on listening whatever happens to the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Flag
from threading import Thread
from typing import Final, TypeAlias

import structlog

from saga_engine import errors
from saga_engine.store.connect import Ear, Store

Tell: TypeAlias = Callable[[bool], None]

AGAIN_SECONDS: Final = 2.0
"""How long a store that does not listen is left alone."""
CLOSE_SECONDS: Final = 1.0
"""How long a drain waits for the thread, which may be waiting for a store that is away."""


@contextmanager
def listening(store: Store, tell: Tell, *, wanted: bool) -> Iterator[None]:
    """Call *tell*, from a thread of its own, whenever something may have come due, until the block ends.

    It is told whether somebody said so, or whether that is a guess (``Ear.wait``). Not *wanted* by a worker that ends
    as soon as nothing is due.
    """
    if not wanted:
        yield
        return
    waking = _Waking(store, tell)
    thread = Thread(target=waking.run, name="saga-wake", daemon=True)
    thread.start()
    try:
        yield
    finally:
        waking.stop()
        thread.join(CLOSE_SECONDS)


class _Waking:
    def __init__(self, store: Store, tell: Tell) -> None:
        self._store, self._tell = store, tell
        self._over = Flag()
        self._ear: Ear | None = None

    def stop(self) -> None:
        self._over.set()
        if ear := self._ear:
            ear.poke()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with self._store.listening() as self._ear:
                    self._listen(self._ear)
            except errors.StoreError as error:
                structlog.get_logger().debug("wake.deaf", reason=str(error))
                self._over.wait(AGAIN_SECONDS)

    def _listen(self, ear: Ear) -> None:
        said = False
        while not self._over.is_set():
            self._tell(said)  # first for what came before it listened
            said = ear.wait()
