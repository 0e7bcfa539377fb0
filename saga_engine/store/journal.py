"""The story of a run: its lines, and the chain of hashes over them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.domain import codec
from saga_engine.store.rows import NO_HASH, Entry, line_hash
from saga_engine.store.schema import journal, runs


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a run and what was decided, as canonical JSON."""

    revision: int
    at: datetime
    event: str
    commands: str
    hash: bytes


def lines(db: sa.Connection, run_id: str, after: int = 0, limit: int = 1_000) -> list[Line]:
    """Up to *limit* lines behind revision *after*, in order. Primary key of saga_journal."""
    rows = db.execute(_LINES, {"run_id": run_id, "after": after, "most": limit})
    return [Line(row.revision, row.at, row.event, row.commands, bytes(row.hash)) for row in rows]


_LINES = (
    select(journal)
    .where(journal.c.run_id == bindparam("run_id"), journal.c.revision > bindparam("after"))
    .order_by(journal.c.revision)
    .limit(bindparam("most", type_=sa.Integer))
)


def holds(db: sa.Connection, entry: Entry, at: datetime) -> bool:
    """Whether this very decision was committed. Waits, under the run's lock, for the transaction that nobody heard of."""
    db.execute(_LOCK, {"run_id": entry.run_id})
    after = entry.decision.after.revision
    found = lines(db, entry.run_id, after - 1, 1)
    return bool(found) and (found[0].at, found[0].event) == (at, codec.dump(entry.event))


_LOCK = select(runs.c.id).where(runs.c.id == bindparam("run_id")).with_for_update(key_share=True)


def broken_at(chain: Iterator[Line]) -> int | None:
    """The first revision that is missing, out of order or changed; None where the chain is whole."""
    previous = NO_HASH
    for expected, line in enumerate(chain, start=1):
        if line.revision != expected:
            return expected
        if line.hash != line_hash(previous, line.revision, line.at, line.event, line.commands):
            return expected
        previous = line.hash
    return None
