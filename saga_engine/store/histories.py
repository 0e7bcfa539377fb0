"""What a check of histories reads: runs in the order of their ids, and journal lines as the database holds them.

Read only, in short pages, each a transaction of its own: a check of a large store holds up nobody. Values of a line
come as they are stored, whatever they have become: what was tampered with must not break who looks for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import DBAPIError

from saga_engine.domain.snapshot import Snapshot
from saga_engine.store import runs as snapshots
from saga_engine.store.entry import bytes_hash
from saga_engine.store.schema import definitions, journal, runs

T = TypeVar("T")

UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What a value that is no value of its column does to whoever reads it as one."""


@dataclass(frozen=True, slots=True)
class Head:
    """A run's row, with the number of its newest journal line, as of one moment."""

    run_id: str
    number: int
    revision: Any
    hash: Any
    newest: Any
    stored: Snapshot | None
    """None where its rows cannot be read as a run."""
    times: tuple[datetime | None, datetime | None, datetime | None, datetime | None] = (None, None, None, None)
    """Created, entered, updated, ended."""
    beside: tuple[str | None, str | None, str | None] = (None, None, None)
    """Where it rests, who paused it, and why."""
    fixed: str = ""
    """sha256 of what a start fixes for ever, hexadecimal: the journal does not hold it, an anchor does."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A journal line as it is stored; *at* is None where it is no time as this program writes them."""

    run_id: str
    revision: Any
    at: datetime | None
    event: bytes
    commands: bytes
    hash: Any

    def follows(self, previous: bytes) -> bool:
        """Whether its hash is that of its own bytes and of the line before."""
        if self.at is None or not isinstance(self.revision, int):
            return False
        made = bytes_hash(previous, self.revision, self.at, self.event, self.commands)
        return isinstance(self.hash, bytes) and self.hash == made


# Primary keys of saga_runs and saga_journal: the newest line of a run is the last entry of its range.
_NEWEST: Final = (
    select(sa.func.max(sa.type_coerce(journal.c.revision, sa.types.NullType())))
    .where(journal.c.run == runs.c.number)
    .scalar_subquery()
)
_PAGE: Final = select(runs.c.id).where(runs.c.id > bindparam("after")).order_by(runs.c.id).limit(bindparam("most"))
_HEADS: Final = select(
    runs.c.id,
    runs.c.number,
    sa.type_coerce(runs.c.revision, sa.types.NullType()).label("revision"),
    sa.type_coerce(runs.c.journal_hash, sa.types.NullType()).label("hash"),
    _NEWEST.label("newest"),
).where(runs.c.id.in_(bindparam("ids", expanding=True)))
_WHOLE: Final = (
    select(runs, definitions.c.digest)
    .join(definitions, definitions.c.id == runs.c.definition)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
)


def ids(db: sa.Connection, after: str, limit: int) -> list[str]:
    """The ids of up to *limit* runs behind *after*, in order. Primary key."""
    return list(db.execute(_PAGE, {"after": after, "most": limit}).scalars())


def heads(db: sa.Connection, wanted: Sequence[str]) -> dict[str, Head]:
    """The heads of these runs, all as of one moment; a run that is not there is left out."""
    rows = db.execute(_HEADS, {"ids": list(wanted)}).all()
    there = [row.id for row in rows]
    loaded = _all_or_each(db, there, lambda some: snapshots.load(db, some))
    whole = _all_or_each(db, there, lambda some: {row.id: row for row in db.execute(_WHOLE, {"ids": some})})
    return {row.id: _head(row, loaded.get(row.id), whole.get(row.id)) for row in rows}


def _head(row: Any, stored: Snapshot | None, whole: Any) -> Head:  # noqa: ANN401  rows of _HEADS and _WHOLE
    if stored is None or whole is None:
        return Head(row.id, row.number, row.revision, row.hash, row.newest, None)
    times = (whole.created_at, whole.entered_at, whole.updated_at, whole.ended_at)
    fixed = [whole.saga, whole.version, whole.digest, whole.run_key, whole.input, whole.starter, text(times[0])]
    beside = (whole.rests_in, whole.paused_by, whole.paused_reason)
    return Head(row.id, row.number, row.revision, row.hash, row.newest, stored, times, beside, digest(fixed))


def _all_or_each(db: sa.Connection, wanted: list[str], load: Callable[[list[str]], dict[str, T]]) -> dict[str, T]:
    """What *load* gives for all, else one by one, without those that cannot be read."""
    found = readable(db, partial(load, wanted))
    if found is not None:
        return found
    each = [readable(db, partial(load, [one])) for one in wanted]
    return {run: value for some in each if some for run, value in some.items()}


def readable(db: sa.Connection, look: Callable[[], T]) -> T | None:
    """What *look* gives; None where a value in SQLite is none of its column's: there any column takes anything."""
    try:
        return look()
    except UNREADABLE:
        return None
    except DBAPIError as error:
        if db.dialect.name == "sqlite" and "Could not decode to UTF-8" in str(error.orig):
            return None
        raise


def text(moment: datetime | None) -> str | None:
    """A moment for a digest."""
    return None if moment is None else moment.isoformat()


def digest(tree: object) -> str:
    """sha256 of a JSON value, hexadecimal."""
    return hashlib.sha256(json.dumps(tree, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


# --- journal lines

# Untyped: values come as the driver gives them.
_COLUMNS: Final[dict[str, sa.ColumnClause[Any]]] = {
    name: sa.column(name) for name in ("run", "revision", "at", "event", "commands", "hash")
}
_RAW: Final = sa.table(journal.name, *_COLUMNS.values())


def _lines(dialect: str) -> Any:  # noqa: ANN401  a select of many columns
    """Primary key of saga_journal, from one end of a range to the other."""
    texts = [_COLUMNS["event"], _COLUMNS["commands"]]
    if dialect == "sqlite":
        texts = [sa.cast(text, sa.LargeBinary).label(text.name) for text in texts]  # type: ignore[misc]  # a label
    return (
        select(_COLUMNS["revision"], _COLUMNS["at"], *texts, _COLUMNS["hash"])
        .select_from(_RAW)
        .where(_COLUMNS["run"] == bindparam("run"), _COLUMNS["revision"] > bindparam("revision"))
        .order_by(_COLUMNS["revision"])
        .limit(bindparam("most", type_=sa.Integer))
    )


_LINES: Final = {dialect: _lines(dialect) for dialect in ("sqlite", "postgresql")}
FIRST: Final = -(2**63)
"""Before the first number of all, whatever has been made of it."""


def lines(db: sa.Connection, head: Head, after: Any, limit: int) -> list[Stored]:  # noqa: ANN401  whatever is stored
    """Up to *limit* lines of a run behind the revision *after*."""
    found = db.execute(_LINES[db.dialect.name], {"run": head.number, "revision": after, "most": limit})
    return [
        Stored(head.run_id, row.revision, _moment(row.at), _bytes(row.event), _bytes(row.commands), row.hash)
        for row in found
    ]


# Primary key of saga_journal: its first entry behind a number, then a range of it.
_NEXT: Final = select(func.min(_COLUMNS["run"])).select_from(_RAW).where(_COLUMNS["run"] > bindparam("after"))
_STRAYS: Final = (
    select(_COLUMNS["run"], func.count())
    .select_from(_RAW)
    .where(
        _COLUMNS["run"].between(bindparam("first"), bindparam("last")),
        ~sa.exists().where(runs.c.number == _COLUMNS["run"]),
    )
    .group_by(_COLUMNS["run"])
)


def strays(db: sa.Connection, after: int, width: int) -> tuple[list[tuple[Any, int]], int | None]:
    """Of a range of numbers behind *after*, as wide as that: those that lines name and no run has, with how many lines.

    And where to go on; None at the end.
    """
    first = db.execute(_NEXT, {"after": after}).scalar_one()
    if not isinstance(first, int):  # in SQLite a number may have become anything; that stands behind all numbers
        return ([] if first is None else [(first, 1)]), None
    last = first + width
    rows = db.execute(_STRAYS, {"first": first, "last": last})
    return [(number, lines) for number, lines in rows], last


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _moment(stored: Any) -> datetime | None:  # noqa: ANN401  whatever is stored
    """A time as this program writes it; the same moment written in another way is none."""
    if isinstance(stored, datetime):
        return stored.astimezone(UTC)
    try:
        found = datetime.fromisoformat(stored)
    except UNREADABLE:
        return None
    written = found.tzinfo is None and found.isoformat(" ", "microseconds") == stored
    return found.replace(tzinfo=UTC) if written else None
