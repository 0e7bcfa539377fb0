"""``saga prune``: ended runs go, a little at a time, beside workers that notice nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from saga_engine import errors
from saga_engine.ledger.prune import prune as prune_ledger
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.targets import Targets, plain_errors
from saga_engine.runtime.views_operate import PrunedView
from saga_engine.store import prune as store_prune
from saga_engine.store.connect import retrying
from saga_engine.store.prune import Old, Wanted

if TYPE_CHECKING:
    import sqlalchemy as sa

DAYS_MAX: Final = 36_500
PAGE: Final = 200
"""Runs looked at in one read transaction."""
RUNS_MAX: Final = 200
LINES_FIRST: Final = 250
LINES_LEAST: Final = 10
LINES_MAX: Final = 4_000
"""Journal lines removed in one transaction: at first, and between which bounds that follows the time it takes."""
SKEW: Final = timedelta(days=1)
"""How far the clock of a host that named a run may be ahead of the store's."""
COMPLETED: Final = ("completed",)
ENDED: Final = ("completed", "rolled_back", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Asked:
    """What may go: runs that ended longer ago than *older_than*.

    *keep_failed*: only those that completed. *ledgers*: their rows in targets' ledgers too, which fence the late
    writers of a run that has ended.
    """

    older_than: timedelta
    saga: str | None = None
    keep_failed: bool = False
    ledgers: bool = False


class Pace:
    """How many lines go in the next transaction, so that it holds SQLite's write lock no longer than it may."""

    def __init__(self, milliseconds: float) -> None:
        self._most = milliseconds / 1_000
        self.lines = LINES_FIRST
        self.longest = 0.0

    def took(self, seconds: float) -> None:
        """Follow how long a transaction took: half the time that is allowed is aimed at, at most."""
        self.longest = max(self.longest, seconds)
        if seconds > self._most / 2:
            self.lines = max(LINES_LEAST, self.lines // 2)
        elif seconds < self._most / 8:
            self.lines = min(LINES_MAX, self.lines * 2)


def prune(door: Door, targets: Targets, asked: Asked, *, dry_run: bool) -> PrunedView:
    """Remove what *asked* names, or with *dry_run* count it. A kill in the middle loses nothing: begin again."""
    if not timedelta(0) <= asked.older_than <= timedelta(days=DAYS_MAX):
        raise errors.BadInput(f"runs are as old as 0 to {DAYS_MAX} days")
    store = door.store_uuid()
    with door.store.read() as db:
        before = door.store.clock(db) - asked.older_than
    wanted = Wanted(before, COMPLETED if asked.keep_failed else ENDED, asked.saga)
    pace = Pace(door.limits.write_lock_milliseconds)
    runs = lines = kept = batches = 0
    for old in _pages(door, wanted):
        kept += sum(not run.at_rest for run in old)
        going = [run for run in old if run.at_rest]
        while going:
            batch = _batch(going, pace.lines)
            going = going[len(batch) :]
            if dry_run:
                runs, lines = runs + len(batch), lines + sum(run.lines for run in batch)
                continue
            if asked.ledgers:
                _ledgers(door, targets, store, batch)
            batches += _long(door, batch, pace)
            gone = _timed(door, pace, partial(store_prune.prune, ids=[run.run_id for run in batch]))
            runs, lines, batches = runs + gone, lines + sum(run.lines for run in batch), batches + 1
    return PrunedView(
        before=before,
        runs=runs,
        lines=lines,
        kept=kept,
        transactions=batches,
        longest_seconds=round(pace.longest, 3),
        dry_run=dry_run,
    )


def _pages(door: Door, wanted: Wanted) -> Iterator[list[Old]]:
    """Page by page from the oldest; an id begins with the time at which it was made, so the newest are not read."""
    end = _first_id(wanted.before + SKEW)
    after: str | None = ""
    while after is not None and after < end:
        with door.store.read() as db:
            found, after = store_prune.page(db, wanted, after, PAGE)
        yield found


def _first_id(moment: datetime) -> str:
    return f"{max(0, int(moment.timestamp() * 1_000)):012x}"


def _batch(going: list[Old], lines: int) -> list[Old]:
    """As many as have so many lines together, at least one."""
    batch: list[Old] = []
    for run in going[:RUNS_MAX]:
        if batch and sum(old.lines for old in batch) + run.lines > lines:
            break
        batch.append(run)
    return batch


def _long(door: Door, batch: list[Old], pace: Pace) -> int:
    """Shorten one run that has more lines than may go at once, until the rest may; how many transactions it took."""
    [first, *others] = batch
    done = pieces = 0
    while not others and first.lines - done > pace.lines:
        done += pace.lines
        upto = first.gone + done
        if not _timed(door, pace, partial(store_prune.prune_piece, run_id=first.run_id, upto=upto)):
            return pieces
        pieces += 1
    return pieces


def _timed(door: Door, pace: Pace, work: partial[int] | partial[bool]) -> int:
    """One transaction; the time from its beginning to its commit sets the pace."""
    began = [0.0]

    def timed(db: sa.Connection) -> int:
        began[0] = monotonic()
        return work(db, now=door.store.clock(db))

    try:
        done = retrying(door.store, timed)
    except errors.OutcomeUnknown:
        # Deleting again what may be deleted is harmless; it tells how many were still there.
        done = retrying(door.store, timed)
    pace.took(monotonic() - began[0])
    return done


def _ledgers(door: Door, targets: Targets, store: str, batch: list[Old]) -> None:
    """Remove the rows of these runs' steps from the ledgers first: afterwards nobody would know where they are."""
    with door.store.read() as db:
        touched = store_prune.touched(db, [run.run_id for run in batch])
    for name in sorted({name for name, _ in touched}):
        with plain_errors(name):
            prune_ledger(targets.engine(name), store, [task for connection, task in touched if connection == name])
