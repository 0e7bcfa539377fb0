"""One life of a worker in this process: its row, its death lock, its lease, renewed from a thread of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from saga_engine import errors
from saga_engine.failpoints import hit
from saga_engine.runtime.life import Life, host
from saga_engine.settings import Limits
from saga_engine.store import incarnations, tasks
from saga_engine.store.connect import Store, certain
from saga_engine.store.incarnations import Birth
from saga_engine.store.tasks import Lease

if TYPE_CHECKING:
    import sqlalchemy as sa

ID_BYTES: Final = 6
AGAIN_SECONDS: Final = 1.0
"""How soon a renewal that failed is tried again: the lease runs on meanwhile."""


@dataclass(frozen=True, slots=True)
class Serves:
    """What a worker says it can do."""

    queues: tuple[str, ...]
    loaded: Mapping[str, int]
    """``saga vN`` -> the row of its definition."""
    broken: Mapping[str, str]
    slots: int


class Incarnation:
    """Holds tasks while its lease lasts. *mine* answers what this process knows that it holds."""

    def __init__(  # noqa: PLR0917  what a life is made of
        self,
        store: Store,
        limits: Limits,
        runtime_dir: Path,
        serves: Serves,
        pid: int,
        mine: Callable[[], Collection[Lease]],
    ) -> None:
        self.id = secrets.token_hex(ID_BYTES)
        self.lost = Flag()
        """Set when this life has been ended from outside: nothing that it holds counts any more."""
        self.asked_to_end: Collection[Lease] = ()
        """Attempts that somebody wants to end, as of the last renewal."""
        self.gone: Collection[Lease] = ()
        """What this process holds and the store does not know, as of the last renewal."""
        self.renewals = 0
        """How many have been acknowledged."""
        self._store, self._limits, self._mine, self._pid = store, limits, mine, pid
        self._lease = timedelta(seconds=limits.lease_seconds)
        self._stop = Flag()
        self._forgotten: set[Lease] = set()
        self._handed_back: set[Lease] = set()
        self._life = Life.begin(runtime_dir)
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
        self._trusted_until = monotonic() + limits.lease_seconds
        try:
            self._begin(birth)
        except BaseException:
            self._life.end()
            raise
        self._thread = Thread(target=self._renewals, name=f"saga-lease-{self.id}", daemon=True)
        self._thread.start()

    @property
    def trusted(self) -> bool:
        """True while the lease cannot have run out: nothing new is begun without it.

        Without it what runs goes on: the next renewal tells whether somebody has ended this life meanwhile.
        """
        return not self.lost.is_set() and monotonic() < self._trusted_until

    def keeps(self, lease: Lease) -> bool:
        """Whether a lease may be begun with: not one that a renewal has handed back, or is about to.

        To be asked when *mine* tells of it already: then either this sees the renewal, or the renewal sees it.
        """
        return self.trusted and lease not in self._handed_back

    @property
    def life_file(self) -> Path:
        """Where this life is locked: processes that belong to it lock it, too (``life.hold``)."""
        return self._life.path

    def end(self, hanging: Collection[Lease] = ()) -> None:
        """End in order, handing everything back; *hanging* are attempts that may go on all the same.

        The last write. When the store cannot be reached, others find out by the death lock, or by the lease.
        """
        if self.lost.is_set():
            self.abandon()
            return
        if not self._stops():
            return
        try:
            certain(self._store, lambda db: self._hand_back(db, sorted(hanging)))
        except errors.StoreError as error:
            # The death lock stays with the process: when that ends, others know at once.
            structlog.get_logger().warning("worker.end_unrecorded", reason=str(error))
        else:
            self._life.end()
            self._store.tell_due()

    def abandon(self) -> None:
        """Leave a life that others have ended, or will: its tasks are theirs to free."""
        if self._stops():
            self._life.end()

    def renew(self) -> None:
        """Extend the lease of all its tasks by one row; learn what is to end and what is gone; free what it forgot.

        A task that this process does not know, at two renewals running, was leased by a claim whose COMMIT
        nobody heard of (PROTOCOL, T1): it is handed back.
        """
        asked_at, mine = monotonic(), set(self._mine())
        with self._store.write() as db:
            now = self._store.clock(db)
            alive = incarnations.renew(db, self.id, len(mine), now, self._lease)
            held = tasks.held(db, self.id) if alive else {}
            forgotten = held.keys() - mine
            self._handed_back |= forgotten & self._forgotten
            # Asked again: it may have been begun with since, and before it was among those.
            tasks.release(db, self.id, sorted((forgotten & self._forgotten) - set(self._mine())), now)
        if not alive:
            self.lost.set()
            return
        self._trusted_until = asked_at + self._limits.lease_seconds
        self._forgotten = forgotten
        self.renewals += 1
        self.asked_to_end = [lease for lease, ending in held.items() if ending]
        self.gone = mine - held.keys()

    def _begin(self, birth: Birth) -> None:
        certain(self._store, lambda db: incarnations.begin(db, birth, self._store.clock(db), self._lease))

    def _hand_back(self, db: sa.Connection, hanging: list[Lease]) -> None:
        now = self._store.clock(db)
        if not incarnations.end(db, self.id, now, "released"):
            return  # others have ended it, and what it held is theirs to free: they know what may still run
        tasks.release_running(db, self.id, hanging, now, f"{host()} pid {self._pid}")
        tasks.release_rest(db, self.id, now)

    def _stops(self) -> bool:
        """Renew no more; False where this life was over already."""
        over = self._stop.is_set()
        self._stop.set()
        self._thread.join()
        return not over

    def _renewals(self) -> None:
        try:
            wait = self._limits.renew_seconds
            while not self._stop.wait(wait):
                hit("runtime.lease.renew")
                renewed = self._renew_if_the_store_answers()
                if self.lost.is_set():
                    return
                wait = self._limits.renew_seconds if renewed else min(AGAIN_SECONDS, self._limits.renew_seconds)
        except BaseException:
            # A bug of ours: without this thread nothing that is held can be trusted.
            self.lost.set()
            raise

    def _renew_if_the_store_answers(self) -> bool:
        try:
            self.renew()
        except errors.StoreError as error:
            structlog.get_logger().warning("lease.not_renewed", reason=str(error))
            return False
        return True
