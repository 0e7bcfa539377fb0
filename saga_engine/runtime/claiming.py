"""When a worker looks for due work, and what of it it takes."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from saga_engine import errors
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime.incarnation import Incarnation
from saga_engine.runtime.keeper import FREED_AT_ONCE, Keeper
from saga_engine.runtime.solitude import Solitude
from saga_engine.settings import Limits
from saga_engine.store import claims, runs
from saga_engine.store.claims import Due, Kind, Menu
from saga_engine.store.connect import Store, retrying
from saga_engine.store.tasks import Lease

if TYPE_CHECKING:
    import sqlalchemy as sa

TIMERS_MAX: Final = 200
"""Timers that are claimed at once: they need no slot."""
GAP_SECONDS: Final = 0.02
"""Between two claims while more is due than there are slots: claims are batches."""
DOUBT_RENEWALS: Final = 3
"""After so many renewals a claim of which nobody heard has been handed back."""
DEATH_SECONDS: Final = 0.1
"""How often the death locks of this host are tried: more often than the database is asked."""
FINDINGS_SECONDS: Final = 10.0
HINT_SECONDS: Final = 0.05
"""Between two looks for which there was a guess only: on SQLite a worker hears its own commits, too."""
LIVE_TURNS: Final = 4
"""While there are many of a dead worker's tasks to take, one claim of so many begins with those of the living."""


class Taken(NamedTuple):
    """A task that was leased, and its run, as they stood at *now*; how many workers have died with it."""

    run: Snapshot
    task: Task
    crashes: int
    now: datetime


class Claiming:
    """The claims of one incarnation. Used by one thread.

    *mine* answers what this process holds; *parts*, whether suspects of a definition get processes of their own;
    *room*, how many more.
    """

    def __init__(  # noqa: PLR0917  what a life is made of
        self,
        store: Store,
        limits: Limits,
        me: Incarnation,
        menu: Menu,
        mine: Callable[[], Collection[Lease]],
        parts: Callable[[int], bool],
        room: Callable[[], int],
        slots: int,
    ) -> None:
        self.due = Due()
        """What the last look found, less what was taken."""
        self.backlog = False
        """More is due than this worker could take at its last look."""
        self.recovers = False
        """What a dead worker held comes first."""
        self._store, self._limits, self._me, self._mine = store, limits, me, mine
        self._menu = self._served = menu
        self._parts, self._room, self._slots = parts, room, slots
        self._keeper = Keeper(store, me.id, limits.renew_seconds)
        self._next_look = self._next_death = self._next_round = self._next_findings = 0.0
        self._last_look = 0.0
        self._more_to_free = False
        self._guessed, self._said = Flag(), Flag()
        self._last_claim = 0.0
        self._timer_taken = True
        self._sure = True
        self._sure_from = 0
        """The renewal by which whatever a claim without an answer has leased is handed back."""
        self._looked_at = datetime.min.replace(tzinfo=UTC)
        self._timers: Sequence[int] = ()
        self._actions: Sequence[int] = ()
        """Definitions of which something was due at the last look."""
        self._turn = 0
        self._solitude = Solitude(limits.lease_seconds, mine)

    @property
    def holds_back(self) -> bool:
        """True while this worker runs empty for a suspect, or runs one: nothing else begins here."""
        return self._solitude.holds_back

    @property
    def is_busy(self) -> bool:
        """More is due than this worker could take, or nothing else may begin here."""
        return self.backlog or self.holds_back

    def _starves(self, free: int) -> bool:
        """More is due than was taken, and may begin here: not before what keeps this worker to itself has ended."""
        return self.backlog and free > 0 and not (self.holds_back and self._mine())

    @property
    def idle(self) -> bool:
        """The last look found nothing to run, now or after a back-off; timers may be due later."""
        return self.due.action is None and not self._timer_taken and self._sure

    def is_alone(self, lease: Lease) -> bool:
        """True for a suspect that was claimed to run alone."""
        return self._solitude.is_of(lease)

    def store_was_away(self) -> None:
        """What could not be renewed meanwhile is not taken for dead at once."""
        self._keeper.store_was_away()

    def hint(self, *, said: bool) -> None:
        """Something may have come due, because somebody *said* so, or as a guess. From any thread."""
        (self._said if said else self._guessed).set()

    def soon(self, seconds: float = 0.0) -> None:
        """Something will be due in *seconds*."""
        self._next_look = min(self._next_look, monotonic() + seconds)

    def follow(self, run: Snapshot, now: datetime | None) -> None:
        """Look again when what comes next of a run is due."""
        for task in run.tasks:
            if task.leased_by is None and task.due_at is not None and now is not None:
                self.soon((task.due_at - now).total_seconds())

    def seconds(self, free: int) -> float:
        """How long there is nothing to look for, with so many *free* slots."""
        self._follow_hints(free)
        wanted = self._next_look
        if self._starves(free):
            wanted = min(wanted, self._last_claim + GAP_SECONDS)
        if self._more_to_free and not self.backlog:
            return 0.0
        return max(0.0, min(wanted, self._next_round) - monotonic())

    def claim(self, free: int) -> list[Taken]:
        """Look, if it is time to, and lease what is due. Keeps house from time to time."""
        self._keep_house()
        self._follow_hints(free)
        starved = self._starves(free) and (free * 4 >= self._slots or monotonic() >= self._last_claim + GAP_SECONDS)
        if monotonic() < self._next_look and not starved:
            return []
        said = self._said.is_set()
        self._last_look = monotonic()
        self._guessed.clear()
        self._said.clear()
        self._sure = self._me.renewals >= self._sure_from
        taken: list[Taken] = []
        if said or self._sees_something():
            try:
                taken = retrying(self._store, partial(self._take, free, look=said))
            except errors.OutcomeUnknown:  # nothing was claimed, for all we know: the renewals hand it back
                self._sure_from = self._me.renewals + DOUBT_RENEWALS
        self._schedule()
        return taken

    def _sees_something(self) -> bool:
        """Whether something is due now: mostly nothing is, and a look locks nothing."""
        with self._store.glance() as db:
            self._look(db)
        return bool(self._timers or self._actions)

    def _look(self, db: sa.Connection) -> None:
        self._looked_at = now = self._store.clock(db)
        self.due = claims.look(db, self._menu)
        self._served = replace(self._menu, apart=frozenset(filter(self._parts, self.due.crashes)))
        self.recovers = self.due.recovers(self._served)
        self._timers, self._actions = _due(self.due.timers, now), _due(self.due.actions, now)
        self._timer_taken = bool(self._timers)
        if not self._actions:
            self.backlog = False  # else it would look again at once, and again, until something is due

    def _take(self, free: int, db: sa.Connection, *, look: bool) -> list[Taken]:
        """T1, of all that a look has found. What was said to be due is looked for here: that saves a transaction."""
        if look:
            self._look(db)
        taken = self._claim(db, "timer", TIMERS_MAX, self._timers) if self._timers else []
        return taken + (self._take_actions(db, free) if self._actions else [])

    def _follow_hints(self, free: int) -> None:
        """Look at once for what is said to be due, while a worker is busy in batches; not too often for a guess."""
        if self._said.is_set():
            gap = 0.0 if free == self._slots else GAP_SECONDS
        elif self._guessed.is_set():
            gap = HINT_SECONDS
        else:
            return
        self._next_look = min(self._next_look, self._last_look + gap)

    def _take_actions(self, db: sa.Connection, free: int) -> list[Taken]:
        """Actions for the free slots; one that may take its neighbours along runs alone."""
        self._last_claim = monotonic()
        self.backlog = True
        if self._solitude.runs_one:
            return []
        if self.due.alone(self._served):
            if free > 0 and not self._mine():
                return self._suspect(db)
            if self._solitude.waits():
                return []
        elif not self.due.crashes:  # else what has one of its own now may have to run alone in a moment, again
            self._solitude.ends()
        taken = self._shared(db, free) if free > 0 else []
        self.backlog = len(taken) >= free
        return taken

    def _shared(self, db: sa.Connection, free: int) -> list[Taken]:
        """The oldest, which are what a dead worker held; some claims begin with what no worker has died with."""
        if not self.recovers:
            return self._claim(db, "action", free, self._actions)
        living = partial(self._claim, db, "action", due=self._actions, apart=False)
        taken = living(free) if self._turn % LIVE_TURNS == 0 else []
        room = min(self._room(), free - len(taken))
        taken += self._claim(db, "action", room, self._actions) if room > 0 else []
        return taken + (living(free - len(taken)) if len(taken) < free else [])

    def _suspect(self, db: sa.Connection) -> list[Taken]:
        taken = self._claim(db, "suspect", 1, self._actions)
        self._solitude.begins((taken[0].task.name, taken[0].task.attempt) if taken else None)
        return taken

    def _claim(
        self, db: sa.Connection, kind: Kind, limit: int, due: Sequence[int], *, apart: bool = True
    ) -> list[Taken]:
        """Each time with another of the *due* definitions first: where one slot is free, they take it in turn.

        The runs are read while their tasks are locked: nobody has moved them since.
        """
        self._turn += 1
        first = self._turn % len(due)
        served = self._served if apart else self._menu
        menu = replace(served, loaded=(*due[first:], *due[:first]))
        claimed = claims.claim(db, self._me.id, menu, kind, limit, self._looked_at)
        found = runs.load(db, {one.run_id for one in claimed})
        each = ((one, found[one.run_id], found[one.run_id].task(one.name)) for one in claimed)
        return [Taken(run, task, one.crashes, self._looked_at) for one, run, task in each if task is not None]

    def _schedule(self) -> None:
        """The next look: when the poll's time has come, or the next thing is due."""
        self._next_look, now = monotonic() + self._poll(), self._looked_at
        for moment in (self.due.action, self.due.timer):
            if moment is not None and moment > now:
                self.soon((moment - now).total_seconds())

    def _poll(self) -> float:
        jitter = random.uniform(-self._limits.poll_jitter, self._limits.poll_jitter)  # noqa: S311  no secret
        return self._limits.poll_seconds * (1 + jitter)

    def _keep_house(self) -> None:
        now = monotonic()
        more = self._more_to_free and not self.backlog
        if now < min(self._next_death, self._next_round) and not more:
            return
        self._next_death = now + DEATH_SECONDS
        if now < self._next_round and not more and not self._keeper.sees_a_death():
            return
        self._next_round = now + self._poll()
        if (freed := self._keeper.round()) > 0:
            self.soon()
        # The rest when these have been taken, or at the next poll: others wait for no more than that.
        self._more_to_free = freed >= FREED_AT_ONCE
        if now >= self._next_findings:
            self._next_findings = now + FINDINGS_SECONDS
            self._keeper.find()
            self._keeper.sweep()


def _due(firsts: Mapping[int, datetime], now: datetime) -> list[int]:
    """The definitions whose first task is due."""
    return sorted(definition for definition, moment in firsts.items() if moment <= now)
