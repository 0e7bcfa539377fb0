"""One event of one run through the door: read, decide, record; decide again when the run has moved meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from saga_engine import errors
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.draft import Decision
from saga_engine.domain.events import Event
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import ids
from saga_engine.runtime.names import Names
from saga_engine.runtime.payload import refuse_unstorable
from saga_engine.runtime.places import Place, Places, beginning
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.still import Still
from saga_engine.settings import Limits
from saga_engine.store import definitions, journal, runs
from saga_engine.store.connect import Store, certain, reading, retrying
from saga_engine.store.entry import Entry, Pinned
from saga_engine.store.record import record

if TYPE_CHECKING:
    import sqlalchemy as sa

TRIES_MAX: Final = 100
"""How often one event is decided again because the run moved under it."""
PAUSE_SECONDS_MAX: Final = 0.05


class Found(NamedTuple):
    """A run as it stood at *now*, by the database's clock; its definition, what it is pinned to, its short name."""

    run: Snapshot
    chart: Chart
    now: datetime
    pinned: Pinned
    name: str


class Door:
    """Where every event of every run passes. Threads may share one."""

    def __init__(self, store: Store, registry: Registry, limits: Limits) -> None:
        self.store = store
        self.registry = registry
        self.limits = limits
        self.names = Names(store)
        self.still = Still()
        self.places: dict[str, Places] = {}
        """Of the workers that run in this process, by incarnation."""
        self._pins: dict[str, int] = {}
        self.budget = Budget(
            transitions=limits.transitions_max,
            visits=limits.visits_max,
            inbox=limits.inbox_max,
            deferred=timedelta(days=limits.deferred_days),
        )

    def deliver(self, run_id: str, event: Event, found: Found | None = None) -> Decision:
        """Let *event* happen to a run. When this returns, it is recorded, and survives whatever dies.

        Raises what ``decide`` raises, and nothing has moved then. Two at once: the second decides again on
        what the first left. *found*: the run as the caller has read it.
        """
        return self.decided(run_id, event, lambda chart, run, now: decide(chart, run, event, now, self.budget), found)

    def would(self, event: Event, found: Found) -> Decision:
        """What ``deliver`` would decide; raises what it would raise. Nothing is recorded."""
        return decide(found.chart, found.run, event, found.now, self.budget)

    def decided(
        self,
        run_id: str,
        event: Event,
        ask: Callable[[Chart, Snapshot, datetime], Decision],
        found: Found | None = None,
    ) -> Decision:
        """The same, with a decision of the caller's own."""
        refuse_unstorable(event)
        for _ in range(TRIES_MAX):
            found = found or self.read(run_id)
            decision = ask(found.chart, found.run, found.now)
            kept = self._recorded(event, found, decision) if decision.commands else decision
            if kept is not None:
                return kept
            found = None
            time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # noqa: S311  no secret
        raise errors.Conflict(f"the run moved {TRIES_MAX} times while this was decided; try again")

    def find(self, typed: str) -> Found:
        """The run that a person names."""
        return reading(self.store, lambda db: self.find_in(db, typed))

    def find_in(self, db: sa.Connection, typed: str) -> Found:
        """The same, within a transaction of the caller's."""
        by_id = runs.load_row(db, typed) if ids.is_run_id(typed) else None
        return self._found(db, by_id or self._read(db, self.names.find(db, typed)))

    def read(self, run_id: str) -> Found:
        """The run of that id."""
        return reading(self.store, lambda db: self._found(db, self._read(db, run_id)))

    def _read(self, db: sa.Connection, run_id: str) -> runs.Stored:
        read = runs.load_row(db, run_id)
        if read is None:
            raise errors.RunNotFound(run=run_id)
        return read

    def _found(self, db: sa.Connection, read: runs.Stored) -> Found:
        run, row, neighbours = read
        pinned = Pinned(row.definition, row.queue, row.host)
        name = ids.short(row.saga, row.tag, neighbours)
        return Found(run, self.chart(run), self.store.clock(db), pinned, name)

    def chart(self, run: Snapshot) -> Chart:
        """The definition that a run is pinned to."""
        found = self.registry.by_digest(run.digest)
        if found is None:
            broken = "; ".join(f"{file}: {why}" for file, why in self.registry.broken.items())
            raise errors.NotLoaded(saga=run.saga, version=run.version, digest=run.digest[:12], broken=broken or "none")
        return found

    def _recorded(self, event: Event, found: Found, decision: Decision) -> Decision | None:
        """Write a decision, and give it back; None when the run has moved. What is due now begins here, if it can."""
        head = beginning(found.chart, decision.after, found.now)
        place = self.place(found.pinned) if head is not None else None
        recorded = False
        try:
            if head is not None and place is not None:
                decision = place.leased(decision, head)
            recorded = self._written(Entry(found.run, event, decision))
        finally:
            if place is not None:
                place.settle(found.run.run_id if recorded else None)
        return decision if recorded else None

    def _written(self, entry: Entry) -> bool:
        """Write one decision; False when the run has moved. An unknown outcome is asked for under the lock."""
        stamp: list[datetime] = []

        def write(db: sa.Connection) -> bool:
            stamp[:] = [self.store.clock(db)]
            return not record(db, [entry], stamp[0])

        try:
            written = retrying(self.store, write)
        except errors.OutcomeUnknown as doubt:
            # Whether it took: the lock waits until its transaction is over, then the journal line tells.
            written = certain(self.store, lambda db: journal.holds(db, entry, stamp[0]), doubt)
        if written:
            self.still.tell(entry.decision.after)
            if entry.decision.after.due(stamp[0]):
                self.store.tell_due()
        return written

    def store_uuid(self) -> str:
        """The name of this store in ledgers."""
        return certain(self.store, lambda db: definitions.identity(db, self.store.clock(db)))

    def place(self, pinned: Pinned) -> Place | None:
        """A place for a run at a worker of this process, if one has room."""
        return next((place for places in [*self.places.values()] if (place := places.keep(pinned))), None)

    def pin(self, chart: Chart) -> int:
        """The row of a loaded definition, which is stored once and for all."""
        if chart.digest not in self._pins:
            self._pins |= certain(self.store, lambda db: definitions.register(db, [chart]))
        return self._pins[chart.digest]

    def pins(self) -> dict[str, int]:
        """The rows of all loaded definitions, by digest."""
        return {chart.digest: self.pin(chart) for chart in self.registry}
