"""Places at a worker of this process: what is started here begins here, recorded already leased, without a claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic

from saga_engine.domain.chart import Chart
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import ACTIONS, Snapshot
from saga_engine.runtime.attempt import is_manual
from saga_engine.runtime.incarnation import Incarnation
from saga_engine.store.claims import Menu
from saga_engine.store.entry import Pinned


class Places:
    """The free slots of one life of a worker, as it offers them; kept for starts by any thread of its process."""

    def __init__(self, me: Incarnation, menu: Menu, wake: Callable[[], None]) -> None:
        self._me, self._menu, self._wake = me, menu, wake
        self._changing = Lock()
        self._offered = self._kept = 0
        self._came: SimpleQueue[Place] = SimpleQueue()

    @property
    def kept(self) -> int:
        """How many are kept for runs that have not arrived yet."""
        return self._kept

    def offer(self, free: int) -> None:
        """So many slots are free, those that are kept included. By the worker, again and again."""
        with self._changing:
            self._offered = free - self._kept

    def keep(self, pinned: Pinned) -> Place | None:
        """A place for a run of that queue and definition, if there is one; ``settle`` it in any case."""
        if pinned.queue not in self._menu.queues or pinned.definition not in self._menu.loaded or not self._me.trusted:
            return None
        with self._changing:
            if self._offered <= 0:
                return None
            self._offered -= 1
            self._kept += 1
        return Place(self._me.id, self._settled)

    def arrived(self, seconds: float) -> Iterator[Snapshot]:
        """The runs whose start is committed, each once; those whose start took longer than *seconds* are left out.

        A renewal hands back what this process has not known at two of them: it may be another's by now.
        """
        while True:
            try:
                place = self._came.get_nowait()
            except Empty:
                return
            if place.run is not None and monotonic() - place.since < seconds:
                yield place.run
            with self._changing:
                self._kept -= 1

    def _settled(self, place: Place) -> None:
        self._came.put(place)
        self._wake()


class Place:
    """A slot that is kept for one start."""

    def __init__(self, incarnation: str, settled: Callable[[Place], None]) -> None:
        self._incarnation, self._settled = incarnation, settled
        self.since = monotonic()
        self.run: Snapshot | None = None
        """The run with its first task leased; None where it does not begin here."""

    def leased(self, chart: Chart, decision: Decision, now: datetime) -> Decision:
        """The decision with its first task leased, if that is due. A manual one never: its start is committed first."""
        self.run, head = None, decision.after.head()
        if head is None or head.due_at is None or head.due_at > now or head.kind not in ACTIONS:
            return decision
        if is_manual(chart, head):
            return decision
        taken = replace(head, attempt=head.attempt + 1, leased_by=self._incarnation)
        tasks = tuple(taken if task is head else task for task in decision.after.tasks)
        self.run = replace(decision.after, tasks=tasks)
        return replace(decision, after=self.run)

    def settle(self, recorded: str | None) -> bool:
        """The start is over, and *recorded* is the run that is there now, if any. True when it begins here."""
        if self.run is not None and self.run.run_id != recorded:
            self.run = None
        begins = self.run is not None
        self._settled(self)
        return begins
