"""Places at a worker of this process: what is asked for here begins here, recorded already leased, without a claim."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Lock

from saga_engine.domain.chart import Chart
from saga_engine.domain.draft import Decision
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.whys.surroundings import Holder
from saga_engine.runtime.incarnation import Incarnation
from saga_engine.runtime.leasing import leasable, leased
from saga_engine.runtime.life import host
from saga_engine.store.claims import Menu
from saga_engine.store.entry import Head, Heads, Pinned
from saga_engine.store.tasks import Lease


def beginning(chart: Chart, run: Snapshot, now: datetime) -> Task | None:
    """The task of a run that may begin at such a place: it is due, and was never leased.

    With one that was, workers may have died: it may have to run apart from others, and is claimed.
    """
    head = leasable(chart, run, now)
    return head if head is not None and head.attempt == 0 else None


class Places:
    """The free slots of one life of a worker, as it offers them; kept for runs by any thread of its process."""

    def __init__(self, me: Incarnation, menu: Menu, wake: Callable[[], None], heads: Heads) -> None:
        self._me, self._menu, self._wake, self._heads = me, menu, wake, heads
        self._changing = Lock()
        self._offered = 0
        self._kept: set[Place] = set()
        self._came: SimpleQueue[Place] = SimpleQueue()

    @property
    def kept(self) -> int:
        """How many are kept for runs that have not arrived yet."""
        return len(self._kept)

    def offer(self, free: int) -> None:
        """So many slots are free, those that are kept included. By the worker, again and again."""
        with self._changing:
            self._offered = free - len(self._kept)

    def keep(self, pinned: Pinned) -> Place | None:
        """A place for a run that is pinned to this, if there is one; ``settle`` it in any case."""
        menu = self._menu
        served = pinned.queue in menu.queues and pinned.definition in menu.loaded and pinned.host in {None, menu.host}
        if not served or not self._me.trusted:
            return None
        with self._changing:
            if self._offered <= 0:
                return None
            self._offered -= 1
            place = Place(self._me.id, self._came.put, self._wake, self._heads)
            self._kept.add(place)
        return place

    def holds(self, run_id: str) -> bool:
        """True while this life is known to have a task of the run in hand."""
        return run_id in self._heads

    def awaits(self, run: Snapshot, task: Task) -> bool:
        """True for what is to arrive: the worker begins it when it arrives, and not before.

        Between its COMMIT and that, the worker may read the run, for another of its tasks. Or it has recorded a task of
        this very name itself, and what was kept the place for has come too late: then that one arrives.
        """
        if not self._kept:
            return False
        with self._changing:
            place = next((place for place in self._kept if place.lease == (task.name, task.attempt)), None)
            if place is not None:
                place.seen = run, task
        return place is not None

    def arrived(self) -> Iterator[tuple[Snapshot, Task]]:
        """The runs that are committed, each once, and their tasks."""
        while True:
            try:
                place = self._came.get_nowait()
            except Empty:
                return
            with self._changing:
                self._kept.discard(place)
            if place.run is not None and place.task is not None:
                yield place.run, place.task
            elif place.seen is not None:
                yield place.seen


class Place:
    """A slot that is kept for one run."""

    def __init__(self, incarnation: str, came: Callable[[Place], None], wake: Callable[[], None], heads: Heads) -> None:
        self._incarnation, self._came, self._wake, self._heads = incarnation, came, wake, heads
        self.run: Snapshot | None = None
        """The run with its next task leased; None where it does not begin here."""
        self.task: Task | None = None
        """That task."""
        self.seen: tuple[Snapshot, Task] | None = None
        """A task of this lease that the worker knows from the store, and waits with."""

    @property
    def lease(self) -> Lease | None:
        """The task's name and the attempt."""
        return None if self.task is None else (self.task.name, self.task.attempt)

    def leased(self, decision: Decision, head: Task) -> Decision:
        """The decision with the *head* of its run leased (``beginning``)."""
        decision, self.task = leased(decision, head, self._incarnation)
        self.run = decision.after
        return decision

    def holders(self, now: datetime) -> dict[str, Holder]:
        """The worker that this place is at, as who holds the task."""
        me = self._incarnation
        return {me: Holder(me, host(), os.getpid(), renewed_at=now, lease_until=now)}

    def settle(self, recorded: str | None, head: Head | None = None) -> bool:
        """It is over, and *recorded* is the run that is there now, if any, with this *head*. True: it begins here."""
        begins = self.run is not None and self.run.run_id == recorded
        if not begins:
            self.run = None
        elif recorded is not None and head is not None:
            self._heads[recorded] = head
        self._came(self)
        self._wake()
        return begins
