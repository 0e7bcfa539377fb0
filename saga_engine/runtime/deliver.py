"""One event of one run through the door: read, decide, record; decide again when the run has moved meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

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
from saga_engine.runtime.telling import told
from saga_engine.runtime.together import Together
from saga_engine.settings import Limits
from saga_engine.store import definitions, journal, runs
from saga_engine.store.connect import Store, certain, glancing
from saga_engine.store.entry import Entry, Head, Heads, Pinned
from saga_engine.store.guard import STALE_SECONDS
from saga_engine.store.runs import EventKey

TRIES_MAX: Final = 100
"""How often one event is decided again because the run moved under it."""
PAUSE_SECONDS_MAX: Final = 0.05


class Found(NamedTuple):
    """A run as it stood at *now*, by the database's clock; its definition, the head of its rows, its short name."""

    run: Snapshot
    chart: Chart
    now: datetime
    head: Head
    name: str
    arrived: bool
    """The event that was asked for has arrived already."""


class Door:
    """Where every event of every run passes. Threads may share one."""

    def __init__(self, store: Store, registry: Registry, limits: Limits) -> None:
        self.store = store
        self.registry = registry
        self.limits = limits
        self.names = Names(store)
        self.still = Still()
        self.together = Together(store, limits.batch_rows)
        self.places: dict[str, Places] = {}
        """Of the workers that run in this process, by incarnation."""
        self._pins: dict[str, int] = {}
        self.budget = Budget(
            transitions=limits.transitions_max,
            visits=limits.visits_max,
            inbox=limits.inbox_max,
            deferred=timedelta(days=limits.deferred_days),
            told=told,
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

    def find(self, typed: str, event: EventKey | None = None) -> Found:
        """The run that a person names, and whether that *event* has arrived at it."""
        found = self._look(typed, event) if ids.is_run_id(typed) else None
        return found or self.read(self.names.resolve(typed), event)

    def read(self, run_id: str, event: EventKey | None = None) -> Found:
        """The run of that id."""
        found = self._look(run_id, event)
        if found is None:
            raise errors.RunNotFound(run=run_id)
        return found

    def _look(self, run_id: str, event: EventKey | None) -> Found | None:
        read, now = glancing(self.store, lambda db: (runs.load_row(db, run_id, event), self.store.clock(db)))
        if read is None:
            return None
        run, row, head, neighbours, arrived = read
        name = ids.short(row.saga, row.tag, neighbours)
        return Found(run, self.chart(run), now, head, name, arrived)

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
        place = self.place(found.head.pinned) if head is not None else None
        recorded, heads = False, {found.run.run_id: found.head}
        try:
            if head is not None and place is not None:
                decision = place.leased(decision, head)
            recorded = self._written(Entry(found.run, event, decision), heads)
        finally:
            if place is not None:
                place.settle(found.run.run_id if recorded else None, heads[found.run.run_id])
        return decision if recorded else None

    def _written(self, entry: Entry, heads: Heads) -> bool:
        """Write one decision; False when the run has moved. An unknown outcome is asked for under the lock."""
        kept, at, doubt = self.together.write(entry, heads)
        if doubt:
            # Whether it took: the lock waits until its transaction is over, then the journal line tells.
            if self.store.has_round_trips:
                # A statement that the server has not read yet holds no lock; after that it takes no more.
                time.sleep(STALE_SECONDS)
            kept = certain(self.store, lambda db: journal.holds(db, entry, at), doubt)
        if kept:
            self.still.tell(entry.decision.after)
            if entry.decision.after.due(at):
                self.store.tell_due()
        return kept

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
