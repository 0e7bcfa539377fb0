"""What is left of runs that were pruned, each row chained to the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, insert, select

from saga_engine.failpoints import hit
from saga_engine.store.histories import digest, readable, text
from saga_engine.store.schema import Name, pruned, store

NO_ROW: Final = b""
"""What the first row is chained to."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A run that was pruned."""

    number: int
    run_id: str
    saga: str
    run_key: str | None
    status: str
    ended_at: datetime
    revision: int
    journal_hash: bytes
    pruned_at: datetime
    hash: bytes = b""

    def hashed(self, previous: bytes) -> bytes:
        """The hash of its row: over the row before it and every column of its own."""
        fields = [self.number, self.run_id, self.saga, self.run_key, self.status, text(self.ended_at)]
        fields += [self.revision, self.journal_hash.hex(), text(self.pruned_at)]
        return hashlib.sha256(previous + digest(fields).encode()).digest()


def page(db: sa.Connection, after: int, limit: int) -> list[Gone] | None:
    """Up to *limit* rows behind the number *after*, in order; None where they cannot be read. Primary key."""
    return readable(db, lambda: [_gone(row) for row in db.execute(_PAGE, {"after": after, "most": limit})])


_PAGE: Final = (
    select(pruned)
    .where(pruned.c.number > bindparam("after"))
    .order_by(pruned.c.number)
    .limit(bindparam("most", type_=sa.Integer))
)


def of(db: sa.Connection, runs: Sequence[str]) -> dict[str, Gone]:
    """Those of these runs that were pruned; none where their rows cannot be read. Unique index of run_id."""
    if not runs:
        return {}
    return readable(db, lambda: {row.run_id: _gone(row) for row in db.execute(_OF, {"ids": list(runs)})}) or {}


_OF: Final = select(pruned).where(pruned.c.run_id.in_(bindparam("ids", expanding=True, type_=Name)))


def by_key(db: sa.Connection, key: str) -> Gone | None:
    """The pruned run that had this run key. Unique index of run_key."""
    row = db.execute(_BY_KEY, {"key": key}).one_or_none()
    return None if row is None else _gone(row)


_BY_KEY: Final = select(pruned).where(pruned.c.run_key == bindparam("key"))


def head(db: sa.Connection) -> tuple[int, bytes]:
    """How many runs were pruned, and the hash of the last row. Primary key."""
    row = db.execute(_HEAD).one_or_none()
    return (0, NO_ROW) if row is None else (row.number, bytes(row.hash))


_HEAD: Final = select(pruned.c.number, pruned.c.hash).order_by(pruned.c.number.desc()).limit(1)


def lock(db: sa.Connection) -> None:
    """Let one prune at a time add rows, for they are numbered and chained. The row of the store: nobody else locks it.

    Nobody who claims or records waits for it.
    """
    db.execute(_LOCK)
    hit("store.prune.locked")


_LOCK: Final = select(store.c.id).with_for_update(key_share=True)


def add(db: sa.Connection, gone: Sequence[Gone]) -> None:
    """Chain these to what is there, numbered anew; the caller holds ``lock``."""
    number, previous = head(db)
    rows: list[dict[str, Any]] = []
    for one in gone:
        number += 1
        numbered = replace(one, number=number)
        previous = numbered.hashed(previous)
        rows.append(asdict(replace(numbered, hash=previous)))
    if rows:
        db.execute(insert(pruned), rows)
        hit("store.prune.remembered")


def _gone(row: sa.Row[Any]) -> Gone:
    return Gone(**{**row._asdict(), "journal_hash": bytes(row.journal_hash), "hash": bytes(row.hash)})
