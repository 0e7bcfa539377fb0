"""T2, the shortest way that the store has: by one statement where that saves round trips, else in a transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import sqlalchemy as sa

from saga_engine.store.connect import Store, alone, retrying
from saga_engine.store.entry import Entry, Heads
from saga_engine.store.record import record, record_at_once

AT_ONCE_MAX: Final = 4
"""So many decisions are written by a single statement: for more, what its round trips cost is no longer worth it."""

Clock: TypeAlias = Callable[[sa.Connection], datetime]


def write(store: Store, entries: Sequence[Entry], heads: Heads, clock: Clock) -> list[Entry]:
    """Record *entries*, at most one for each run, at the time that *clock* tells; return those whose run has moved.

    *heads* are those of the runs, as far as they are known; it is brought up to date. Errors are those of
    ``Store.write``.
    """
    if store.has_round_trips and len(entries) <= AT_ONCE_MAX:
        known = {entry.run_id: heads[entry.run_id] for entry in entries if _is_known(entry, heads)}
        if len(known) == len(entries) and _written_at_once(store, entries, known, clock):
            heads |= known
            return []
    return retrying(store, lambda db: record(db, entries, clock(db), heads))


def _written_at_once(store: Store, entries: Sequence[Entry], heads: Heads, clock: Clock) -> bool:
    sent = store.now()  # now a clock has nothing to ask within, where a lost answer would be one to what was written
    return alone(store, lambda db: record_at_once(db, entries, clock(db), heads, sent))


def _is_known(entry: Entry, heads: Heads) -> bool:
    head = heads.get(entry.run_id)
    return head is not None and head.revision == entry.before.revision
