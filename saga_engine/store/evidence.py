"""Everything that the store holds of one run, read in one go: what a checker of the protocol looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.domain.snapshot import Snapshot
from saga_engine.store import journal, runs
from saga_engine.store.journal import Line
from saga_engine.store.schema import approvals, inbox, incarnations, tasks, votes
from saga_engine.store.schema import runs as runs_table


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """A row of saga_inbox: an event that waits or waited, or that was taken at once and has an event key."""

    number: int
    name: str
    source: str
    dedup_key: str | None
    fate: str


@dataclass(frozen=True, slots=True)
class KeptGate:
    """A row of saga_approvals. *voters* are those of saga_votes, with what each said."""

    task: str
    need: int
    digest: str
    outcome: str | None
    voters: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run as its rows tell it."""

    run: Snapshot
    hash: bytes
    """Of the journal's last line, as the run's row keeps it."""
    lines: tuple[Line, ...]
    inbox: tuple[KeptEvent, ...]
    gates: tuple[KeptGate, ...]
    touched: Mapping[str, Mapping[str, str]]
    """``{step task: {connection: ledger uuid}}``"""
    crashes: Mapping[str, int]
    """Of each open task."""
    holders: Mapping[str, datetime | None]
    """The incarnations that hold a task of the run, and when each of them ended."""


def of(db: sa.Connection, run_id: str) -> Evidence | None:
    """The evidence of one run; None where there is no such run. Locks nothing."""
    run = runs.load_one(db, run_id)
    if run is None:
        return None
    key = {"run_id": run_id}
    return Evidence(
        run=run,
        hash=bytes(db.execute(_HASH, key).scalar_one()),
        lines=tuple(journal.every(db, run_id)),
        inbox=tuple(KeptEvent(*row) for row in db.execute(_INBOX, key)),
        gates=_gates(db, key),
        touched=runs.ledgers(db, run_id),
        crashes={row.name: row.crashes for row in db.execute(_CRASHES, key)},
        holders={row.id: row.ended_at for row in db.execute(_HOLDERS, key)},
    )


def _gates(db: sa.Connection, key: Mapping[str, Any]) -> tuple[KeptGate, ...]:
    given = [tuple(row) for row in db.execute(_VOTES, key)]
    return tuple(
        KeptGate(*row, voters=tuple((actor, approved) for task, actor, approved in given if task == row.task))
        for row in db.execute(_GATES, key)
    )


# Primary keys of saga_runs and saga_inbox; ix_saga_approvals_run_id and ix_saga_tasks_run_id for the rest.
_HASH: Final = select(runs_table.c.journal_hash).where(runs_table.c.id == bindparam("run_id"))
_INBOX: Final = (
    select(inbox.c.number, inbox.c.name, inbox.c.source, inbox.c.dedup_key, inbox.c.fate)
    .where(inbox.c.run_id == bindparam("run_id"))
    .order_by(inbox.c.number)
)
_GATES: Final = (
    select(approvals.c.task, approvals.c.need, approvals.c.digest, approvals.c.outcome)
    .where(approvals.c.run_id == bindparam("run_id"))
    .order_by(approvals.c.task)
)
_VOTES: Final = (
    select(votes.c.task, votes.c.actor, votes.c.approved)
    .join(approvals, approvals.c.task == votes.c.task)
    .where(approvals.c.run_id == bindparam("run_id"))
    .order_by(votes.c.task, votes.c.at, votes.c.actor)
)
_OPEN: Final = tasks.c.run_id == bindparam("run_id")
_CRASHES: Final = select(tasks.c.name, tasks.c.crashes).where(_OPEN)
_HOLDERS: Final = (
    select(incarnations.c.id, incarnations.c.ended_at)
    .join(tasks, tasks.c.leased_by == incarnations.c.id)
    .where(_OPEN)
    .distinct()
)
