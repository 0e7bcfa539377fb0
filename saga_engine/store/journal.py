"""The story of a run: its lines, and the chain of hashes over them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.domain import line
from saga_engine.domain.commands import Command
from saga_engine.domain.events import Event
from saga_engine.failpoints import hit
from saga_engine.store.entry import Entry, beginning, line_hash
from saga_engine.store.schema import journal, number_of, runs


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a run and what was decided, as the store keeps them (``domain.line``)."""

    run_id: str
    revision: int
    at: datetime
    event: str
    commands: str
    hash: bytes

    def told(self) -> tuple[Event, tuple[Command, ...]]:
        """The event, and the commands; ValueError and the like where the texts hold none."""
        event = line.event_of(self.run_id, self.event)
        return event, line.commands_of(self.run_id, self.revision, self.at, event, self.commands)


def lines(db: sa.Connection, run_id: str, after: int = 0, limit: int = 1_000) -> list[Line]:
    """Up to *limit* lines behind revision *after*, in order. Primary key of saga_journal."""
    rows = db.execute(_LINES, {"run_id": run_id, "after": after, "most": limit})
    return [Line(run_id, row.revision, row.at, row.event, row.commands, bytes(row.hash)) for row in rows]


_LINES = (
    select(journal)
    .where(journal.c.run == number_of(bindparam("run_id")), journal.c.revision > bindparam("after"))
    .order_by(journal.c.revision)
    .limit(bindparam("most", type_=sa.Integer))
)


def holds(db: sa.Connection, entry: Entry, at: datetime) -> bool:
    """Whether this very decision was committed: waits, under the run's lock, for the transaction in doubt."""
    db.execute(_LOCK, {"run_id": entry.run_id})
    hit("store.journal.locked")
    after = entry.decision.after.revision
    found = lines(db, entry.run_id, after - 1, 1)
    return bool(found) and (found[0].at, found[0].event) == (at, line.event_text(entry.run_id, entry.event))


_LOCK = select(runs.c.id).where(runs.c.id == bindparam("run_id")).with_for_update(key_share=True)


def verify(db: sa.Connection, run_id: str) -> int | None:
    """The first revision at which the stored history of a run cannot be true; None where the chain is whole.

    The run's row keeps head and length, so that a history cut off at its end is found too.
    """
    head = db.execute(_HEAD, {"run_id": run_id}).one()
    return broken_at(run_id, every(db, run_id), head.revision, bytes(head.journal_hash))


def broken_at(run_id: str, chain: Iterator[Line], length: int, head: bytes) -> int | None:
    """The first revision that is missing, out of order, changed or too many, for a chain that ends in *head*."""
    previous, expected = beginning(run_id), 0
    for expected, found in enumerate(chain, start=1):
        if found.revision != expected or expected > length:
            return expected
        if found.hash != line_hash(previous, found.revision, found.at, found.event, found.commands):
            return expected
        previous = found.hash
    if expected < length:
        return expected + 1
    return None if previous == head else length


def every(db: sa.Connection, run_id: str) -> Iterator[Line]:
    """Every line of a run, in order, page by page."""
    after = 0
    while page := lines(db, run_id, after):
        yield from page
        after = page[-1].revision


_HEAD = select(runs.c.revision, runs.c.journal_hash).where(runs.c.id == bindparam("run_id"))
