"""An engine for tests: its clock skips time, its workers stop where the test says or are killed there, runs are proven.

It is an ``Engine``: whatever a program can do with one, a test can do with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.snapshot import Snapshot
from saga_engine.errors import BadInput
from saga_engine.ledger.traces import standing_of
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.views import RunView
from saga_engine.settings import Limits, Settings
from saga_engine.store import journal
from saga_engine.testing import driving, points, proofs
from saga_engine.testing.aside import Aside, one_worker
from saga_engine.testing.clock import ClockedEngine, Skipped
from saga_engine.testing.driving import LINES_MAX, drive
from saga_engine.testing.victim import Victim

WITHIN_SECONDS: Final = 30.0
"""Real seconds that a run may take to get where a test wants it."""
QUICK: Final = Limits(poll_seconds=0.02, grace_seconds=1.0)
"""What a test's worker differs in: it sees at once that time was skipped, and a step that hangs holds up nobody."""

Run: TypeAlias = RunView | str
Target: TypeAlias = Enum | str | Callable[[RunView], bool]
"""Where a run is wanted: a state, the name of a state or of a status, or whatever a function says of it."""


class Harness(ClockedEngine):
    """An engine for one test. ``clock.skip`` lets time pass; ``run_until`` and ``kill_at`` work; ``assert_…`` prove.

    *sagas* are those that its workers know, *connections* and *roles* as in ``saga.toml``; a ledger is made in each
    connection, or in those that *ledgers* names: a source that is only read needs none. Nothing works in the
    background: between two calls every run stands still. For one thread.
    """

    def __init__(
        self,
        url: str,
        *sagas: Saga[Any, Any],
        connections: Mapping[str, str] | None = None,
        ledgers: Collection[str] | None = None,
        roles: Mapping[str, Sequence[str]] | None = None,
        limits: Limits = QUICK,
    ) -> None:
        settings = Settings(
            store=url,
            connections=dict(connections or {}),
            roles={name: tuple(who) for name, who in (roles or {}).items()},
            limits=limits,
        )
        super().__init__(settings, Registry(sagas), Skipped())
        for name in settings.connections if ledgers is None else ledgers:
            self.targets.make_ledger(name)

    def run_until(self, run: Run, target: Target, *, skip: bool = True, within: float = WITHIN_SECONDS) -> RunView:
        """Work in this process until *run* is where it is wanted, and stop there: its next step has not begun.

        Where nothing but time is missing, that time is skipped; with *skip* False it is waited for. AssertionError,
        with the reason that ``saga why`` gives, where the run comes to rest elsewhere, or after *within* real seconds.
        """
        run_id = self._id(run)
        if not _is_at(self.get(run_id), target):
            with Aside(one_worker(self), lambda: _is_at(self.get(run_id), target)) as aside:

                def is_done(now: RunView) -> bool:
                    return aside.stopped() or _is_at(now, target)

                drive(self, run_id, is_done, _shown(target), skip=skip, within=within)
        return self.get(run_id)

    def kill_at(
        self, run: Run, at: Enum | str, *, hit: int = 1, skip: bool = True, within: float = WITHIN_SECONDS
    ) -> RunView:
        """Let a worker process work on *run* and die of SIGKILL; return the run as the dead worker left it.

        *at* a state: when its step has done its work and the engine has not recorded it: the worst moment. *at* a
        text: at a failpoint of that name (``*`` fits anything). *hit* 2 is the second time, and so on.

        The process is forked from this one, and killed for real. What steps keep in memory dies with it: look at
        databases and files. Have no connection of your own open to a SQLite file that a step writes to.
        """
        run_id = self._id(run)
        if hit < 1:
            raise BadInput(f"hit counts from 1, not from {hit}")
        place = f"the end of the step of {at.name}" if isinstance(at, Enum) else f"the failpoint {at}"
        with self.closed():
            victim = Victim(lambda: points.work(self, run_id, at, hit))
        try:
            drive(self, run_id, lambda _: victim.ended(), place, skip=skip, within=within)
        except AssertionError:
            if not victim.end():  # unless it died there at the last moment
                raise
        finally:
            victim.end()
        if not victim.was_killed:
            raise AssertionError(f"the worker ended before it came to {place}; its standard error says more")
        return self.get(run_id)

    def path(self, run: Run) -> list[str]:
        """The states that the run has been in, in order, the present one last."""
        return driving.path(self, self._id(run))

    def shown(self, run: Run) -> str:
        """The digest of what the open gate of *run* shows: what ``approve`` and ``reject`` want to be told."""
        gates = self.approvals(self._id(run))
        if not gates:
            raise AssertionError(f"no gate of the run is open; it is in {self.get(self._id(run)).state}")
        return gates[0].digest

    def assert_compensated(self, run: Run) -> None:
        """Prove that *run* has ended and took back all that it did, each step before those that had started earlier.

        Every step that was started is undone, and no part of one is in effect in the ledger of any connection. That
        your undo restores what your step changed is for your test to compare.
        """
        snapshot, lines = self._stored(run)
        wrong = proofs.not_compensated(snapshot, [line.told()[1] for line in lines])
        store = self.door.store_uuid()
        for name in filter(self.targets.ledger, self.targets.names):
            wrong += proofs.left_in(name, snapshot, standing_of(self.targets.engine(name), store, snapshot.run_id))
        _prove(wrong, "the run is not compensated", self.path(run))

    def assert_journal(self, run: Run) -> None:
        """Prove that the history of *run* has no gap, that its hashes are whole, and that it tells what is stored."""
        snapshot, lines = self._stored(run)
        wrong = proofs.gaps(snapshot, [line.revision for line in lines])
        with self.store.read() as db:
            broken = journal.verify(db, snapshot.run_id)
        if broken is not None:
            wrong.append(f"the chain of hashes breaks at line {broken}")
        else:  # what was changed may be no line any more
            wrong += proofs.differs(snapshot, [line.told()[1] for line in lines])
        _prove(wrong, "the journal does not tell what is stored", self.path(run))

    def _id(self, run: Run) -> str:
        return run.id if isinstance(run, RunView) else self.resolve_name(run)

    def _stored(self, run: Run) -> tuple[Snapshot, list[journal.Line]]:
        run_id = self._id(run)
        snapshot = self.door.read(run_id).run
        with self.store.read() as db:
            return snapshot, journal.lines(db, run_id, limit=LINES_MAX)


def _is_at(run: RunView, target: Target) -> bool:
    if isinstance(target, Enum):
        return run.state == target.name
    return target in {run.state, run.status} if isinstance(target, str) else target(run)


def _shown(target: Target) -> str:
    if isinstance(target, Enum):
        return target.name
    return target if isinstance(target, str) else getattr(target, "__name__", "what was asked for")


def _prove(wrong: list[str], what: str, path: list[str]) -> None:
    if wrong:
        raise AssertionError("\n".join([f"{what}:", *(f"  {line}" for line in wrong), f"  path: {' → '.join(path)}"]))
