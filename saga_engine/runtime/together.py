"""Decisions of several threads in one transaction, on SQLite, where one writes at a time and each commit has its price.

A thread that comes alone writes its own. What others bring meanwhile is written by a thread of ours, which hears no
signal: all that waits, once. What it could not write goes back to its own thread, to be written alone: so nobody
answers for another's trouble (PROTOCOL, T2). PostgreSQL gathers the commits of its sessions itself.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from saga_engine import errors
from saga_engine.store.connect import Store
from saga_engine.store.entry import Entry, Heads
from saga_engine.store.record import record
from saga_engine.store.recording import write

if TYPE_CHECKING:
    import sqlalchemy as sa

NEVER: Final = datetime.min.replace(tzinfo=UTC)
IDLE_SECONDS: Final = 10.0
"""How long the helper waits for more before it ends."""
PATIENCE_SECONDS: Final = 1.0
"""How long one waits for the helper to take its decision, before it writes it itself."""


class Written(NamedTuple):
    """What became of a decision that was to be recorded *at* a time of the database's clock."""

    kept: bool
    """False: its run had moved."""
    at: datetime
    doubt: errors.OutcomeUnknown | None = None
    """Nobody knows: ask for it under the run's lock."""


class _Asked:
    """One decision that waits for the helper.

    No ``threading.Event``: that is code in Python around a lock, and a signal in the midst of it breaks both sides.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.answer: SimpleQueue[Written | None] = SimpleQueue()
        """None: it was not written."""
        self._taken = Lock()

    def take(self) -> bool:
        """True for one: the helper that will write it, or its own thread, which does not want that any more."""
        return self._taken.acquire(blocking=False)


class Together:
    """Any number of threads may share one; a transaction takes *most* decisions."""

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most
        self._waiting: SimpleQueue[_Asked | None] = SimpleQueue()
        """None asks the helper to end."""
        self._helper: Thread | None = None
        self._helping = False
        self._beginning = Lock()
        """Held by whoever begins a helper. Where an interrupt leaves it held, everybody writes alone."""
        self._alone = Lock()
        """Held by a thread that writes its own. Where an interrupt leaves it held, the helper writes everything."""

    def write(self, entry: Entry, heads: Heads) -> Written:
        """Record one decision, with those of other threads or alone; raises what recording it alone raises.

        *heads* has that of its run; it is brought up to date where it is written alone.
        """
        if not self._store.one_writes:
            return self._write_alone(entry, heads)
        if not self._helping and self._alone.acquire(blocking=False):
            try:
                return self._write_alone(entry, heads)
            finally:
                self._alone.release()
        return (self._write_with_others(entry) if self._has_help() else None) or self._write_alone(entry, heads)

    def close(self) -> None:
        """Let the helper end. One who comes later hears what the closed store says."""
        if self._helper is not None:
            self._waiting.put(None)
            self._helper.join(PATIENCE_SECONDS)

    def _write_alone(self, entry: Entry, heads: Heads) -> Written:
        stamp = [NEVER]

        def clock(db: sa.Connection) -> datetime:
            stamp[:] = [self._store.clock(db)]
            return stamp[0]

        try:
            return Written(not write(self._store, [entry], heads, clock), stamp[0])
        except errors.OutcomeUnknown as doubt:
            return Written(kept=False, at=stamp[0], doubt=doubt)

    def _write_with_others(self, entry: Entry) -> Written | None:
        """What became of it; None where it was not written, and will not be."""
        asked = _Asked(entry)
        try:
            self._waiting.put(asked)
            with suppress(Empty):
                return asked.answer.get(timeout=PATIENCE_SECONDS)
            return None if asked.take() else asked.answer.get()
        except BaseException:
            asked.take()  # or it is being written by now: whoever interrupts a commit does not know
            raise

    def _has_help(self) -> bool:
        """Whether there is a helper, begun now if need be."""
        if self._helper is not None and self._helper.is_alive():
            return True
        if not self._beginning.acquire(blocking=False):
            return False
        helper = Thread(target=self._help, name="saga-together", daemon=True)
        try:
            helper.start()
            self._helper = helper
        except RuntimeError:  # no more threads here
            if helper.ident is not None:
                raise
            return False
        finally:
            self._beginning.release()
        return True

    def _help(self) -> None:
        with suppress(Empty):
            while (first := self._waiting.get(timeout=IDLE_SECONDS)) is not None:
                self._helping = True
                self._write_waiting(first)
                self._helping = not self._waiting.empty()

    def _write_waiting(self, first: _Asked) -> None:
        batch: list[_Asked] = []
        back: set[str] | None = None
        begun, at, doubt = False, NEVER, ""
        try:
            with self._store.write() as db:
                begun = True
                self._gather(first, batch)
                at = self._store.clock(db)
                back = {entry.run_id for entry in record(db, [asked.entry for asked in batch], at)}
        except errors.OutcomeUnknown as error:
            doubt = str(error.facts.get("reason", error))
        except errors.StoreError:
            back = None
        except BaseException as error:  # noqa: BLE001  whatever it is, those that wait have to hear of it
            doubt = f"{type(error).__name__} at its commit" if back is not None else ""
        finally:
            if not begun:  # each tries for itself: nobody is to wait for a transaction in a line
                self._gather(first, batch)
            for asked in batch:
                asked.answer.put(self._answer(asked.entry, back, at, doubt))

    def _answer(self, entry: Entry, back: set[str] | None, at: datetime, doubt: str) -> Written | None:
        if back is None or entry.run_id in back:
            return None
        return Written(not doubt, at, errors.OutcomeUnknown(url=self._store.url, reason=doubt) if doubt else None)

    def _gather(self, first: _Asked, batch: list[_Asked]) -> None:
        """Take those that wait, one of each run; another of the same run would be decided on the past."""
        runs: set[str] = set()
        asked: _Asked | None = first
        while asked is not None:
            if asked.entry.run_id in runs:
                if asked.take():
                    asked.answer.put(None)
            elif asked.take():
                batch.append(asked)
                runs.add(asked.entry.run_id)
            asked = self._next() if len(batch) < self._most else None

    def _next(self) -> _Asked | None:
        try:
            found = self._waiting.get_nowait()
        except Empty:
            return None
        if found is None:
            self._waiting.put(None)
        return found
