"""One life of a worker in this process: its row, its death lock, its lease, renewed from a thread of its own."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic

import structlog

from saga_engine import errors
from saga_engine.runtime.life import Life, host
from saga_engine.settings import Limits
from saga_engine.store import incarnations, tasks
from saga_engine.store.connect import Store, retrying
from saga_engine.store.incarnations import Birth

ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class Serves:
    """What a worker says it can do."""

    queues: tuple[str, ...]
    loaded: Mapping[str, int]
    """``saga vN`` -> the row of its definition."""
    broken: Mapping[str, str]
    slots: int


class Incarnation:
    """Holds tasks while its lease lasts. *mine* answers which tasks this process knows that it holds."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        runtime_dir: Path,
        serves: Serves,
        pid: int,
        mine: Callable[[], Mapping[str, int]],
    ) -> None:
        self.id = secrets.token_hex(ID_BYTES)
        self.lost = Flag()
        """Set when this life is over without its own doing, or may be: nothing that it holds is trusted any more."""
        self.asked_to_end: set[str] = set()
        """Tasks whose attempts somebody wants to end, as of the last renewal."""
        self._store, self._limits, self._mine = store, limits, mine
        self._life = Life.begin(runtime_dir)
        self._lease = timedelta(seconds=limits.lease_seconds)
        self._stop = Flag()
        self._trusted_until = monotonic() + limits.lease_seconds
        self._unknown: set[tasks.Lease] = set()
        birth = Birth(
            self.id,
            host(),
            pid,
            str(self._life.path),
            self._life.device,
            self._life.inode,
            self._life.boot_id,
            serves.queues,
            serves.loaded,
            serves.broken,
            serves.slots,
        )
        retrying(store, lambda db: incarnations.begin(db, birth, store.clock(db), self._lease))
        self._thread = Thread(target=self._renewals, name=f"saga-lease-{self.id}", daemon=True)
        self._thread.start()

    def end(self, how: str = "released") -> None:
        """End in order: the last write. With *how* "expired" what still runs is not taken for dead."""
        self._stop.set()
        self._thread.join()
        try:
            retrying(self._store, lambda db: incarnations.end(db, self.id, self._store.clock(db), how))
        except errors.StoreError as error:
            structlog.get_logger().warning("worker.end_unrecorded", reason=str(error))
        self._life.end()

    def _renewals(self) -> None:
        while not self._stop.wait(self._limits.renew_seconds):
            try:
                self.renew()
            except errors.StoreError as error:
                structlog.get_logger().warning("lease.not_renewed", reason=str(error))
            if monotonic() > self._trusted_until:
                self.lost.set()
            if self.lost.is_set():
                return

    def renew(self) -> None:
        """Extend the lease of all its tasks by one row; learn which attempts are to end; hand back what it forgot."""
        asked_at, mine = monotonic(), self._mine()
        with self._store.write() as db:
            now = self._store.clock(db)
            alive = incarnations.renew(db, self.id, len(mine), now, self._lease)
            held = tasks.held(db, self.id) if alive else {}
            forgotten = {lease for lease in held if lease[0] not in mine}
            tasks.release(db, self.id, sorted(forgotten & self._unknown), now)
        if not alive:
            self.lost.set()
            return
        self._unknown = forgotten
        self._trusted_until = asked_at + self._limits.lease_seconds
        self.asked_to_end = {name for (name, _), ending in held.items() if ending}
