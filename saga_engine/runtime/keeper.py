"""Upkeep by every worker between claims: dead workers are ended, their tasks freed, findings kept, rows swept."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from saga_engine.runtime.life import row_is_dead
from saga_engine.store import claims, findings, incarnations
from saga_engine.store.connect import Store, retrying

if TYPE_CHECKING:
    import sqlalchemy as sa

FREED_AT_ONCE: Final = 1_000
"""Tasks freed in one transaction."""
KEPT: Final = timedelta(days=1)
"""How long the row of an ended incarnation stays, for people to look at."""


class Keeper:
    """Looks after what no event brings about."""

    def __init__(self, store: Store, incarnation: str, renew_seconds: float) -> None:
        self._store = store
        self._me = incarnation
        self._renew_seconds = renew_seconds
        self._away = False
        self._patient_until = 0.0
        self._others: list[sa.Row[Any]] = []
        """The living, as of the last round."""

    def store_was_away(self) -> None:
        """It kept everybody from renewing: once it is back the others get the time to, before their leases count."""
        self._away = True

    def sees_a_death(self) -> bool:
        """Whether another worker of this host has died since the last round. Asks no database, only death locks."""
        return any(row_is_dead(row) for row in self._others)

    def round(self) -> int:
        """End what is dead and free of what it held up to ``FREED_AT_ONCE``; how many tasks came free."""
        with self._store.read() as db:
            now = self._store.clock(db)
            self._others = [row for row in incarnations.living(db) if row.id != self._me]
            orphans = claims.orphans(db)
        if self._away:
            self._away, self._patient_until = False, monotonic() + self._renew_seconds
        dead = [row.id for row in self._others if row_is_dead(row)]
        expired = any(row.lease_until < now for row in self._others) and monotonic() >= self._patient_until
        if dead or expired:
            retrying(self._store, lambda db: self._end(db, dead, expired=expired))
            self._others = [row for row in self._others if row.id not in dead]
        if not (dead or expired or orphans):
            return 0
        return retrying(self._store, lambda db: claims.free_ended(db, self._store.clock(db), FREED_AT_ONCE))

    def find(self) -> None:
        """Replace the findings that need a look beyond a run's own rows: no worker for its queue, or its version."""
        retrying(self._store, lambda db: findings.renew(db, self._store.clock(db), self._store.ahead()))

    def sweep(self) -> None:
        """Forget incarnations that ended long ago."""
        retrying(self._store, lambda db: incarnations.sweep(db, self._store.clock(db) - KEPT))

    def _end(self, db: sa.Connection, dead: list[str], *, expired: bool) -> None:
        now = self._store.clock(db)
        for incarnation in dead:
            incarnations.end_dead(db, incarnation, now)
        if expired:
            incarnations.end_expired(db, now)
