"""What people look at, read from the store and made into views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from saga_engine import errors
from saga_engine.domain.definition.saga import Saga
from saga_engine.runtime import ids
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.life import row_is_dead
from saga_engine.runtime.reasons import holders_of, waits_for
from saga_engine.runtime.views import (
    ApprovalView,
    HistoryLine,
    RunLine,
    RunPage,
    StatusLine,
    VoteView,
    WorkerView,
)
from saga_engine.store import incarnations, inspect, journal, runs
from saga_engine.store.connect import reading

if TYPE_CHECKING:
    import sqlalchemy as sa

PAGE_MAX = 1_000


def saga(door: Door, run_id: str) -> Saga[Any, Any] | None:
    """The definition of a run; None where this process has not loaded it."""
    snapshot = reading(door.store, lambda db: runs.load_one(db, run_id))
    chart = door.registry.by_digest(snapshot.digest) if snapshot else None
    return chart.saga if chart else None


def find(door: Door, wanted: inspect.Wanted) -> RunPage:
    """A page of runs."""
    if not 1 <= wanted.limit <= PAGE_MAX:
        raise errors.BadInput(f"a page has 1 to {PAGE_MAX} runs, not {wanted.limit}")
    if wanted.before is not None and not ids.is_run_id(wanted.before):
        raise errors.BadInput(f"no page is called {wanted.before!r}: take the one that a page names as next")
    return reading(door.store, lambda db: _page(door, db, wanted))


def _page(door: Door, db: sa.Connection, wanted: inspect.Wanted) -> RunPage:
    rows = inspect.find(db, wanted)
    snapshots = runs.load(db, [row.id for row in rows])
    holders = holders_of(db, snapshots.values())
    names = {row.id: ids.short(row.saga, row.tag, inspect.neighbours(db, row.tag)) for row in rows}
    now = door.store.clock(db)
    items = tuple(
        RunLine(
            id=row.id,
            name=names[row.id],
            saga=row.saga,
            version=row.version,
            key=row.run_key,
            state=row.state,
            status=row.status,
            paused=row.paused,
            revision=row.revision,
            waiting_on=waits_for(
                door.registry.by_digest(snapshots[row.id].digest), snapshots[row.id], now, door.budget, holders
            ),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    )
    return RunPage(items=items, next=rows[-1].id if len(rows) == wanted.limit else None)


def history(door: Door, run_id: str, after: int, limit: int) -> list[HistoryLine]:
    """Journal lines, oldest first."""
    return [told(line) for line in reading(door.store, lambda db: journal.lines(db, run_id, after, limit))]


def status(door: Door) -> list[StatusLine]:
    """How many live runs are in which state."""
    return [
        StatusLine(saga=saga, state=state, status=status, runs=n)
        for (saga, state, status), n in sorted(reading(door.store, inspect.counts).items())
    ]


def approvals(door: Door, run_id: str | None) -> list[ApprovalView]:
    """The gates that wait for people, the first to expire first."""

    def found(db: sa.Connection) -> list[ApprovalView]:
        rows = inspect.open_approvals(db, run_id)
        votes = inspect.votes_of(db, [row.task for row in rows])
        return [_approval(door, db, row, votes.get(row.task, ())) for row in rows]

    return reading(door.store, found)


def workers(door: Door) -> list[WorkerView]:
    """The workers that have not ended; *alive* is False where the death lock or the lease says otherwise."""
    rows, now = reading(door.store, lambda db: (incarnations.living(db), door.store.clock(db)))
    return [
        WorkerView(
            id=row.id,
            host=row.host,
            pid=row.pid,
            queues=tuple(json.loads(row.queues)),
            loaded=tuple(json.loads(row.loaded)),
            broken=json.loads(row.broken),
            slots=row.slots,
            busy=row.busy,
            started_at=row.started_at,
            renewed_at=row.renewed_at,
            lease_until=row.lease_until,
            alive=now < row.lease_until and not row_is_dead(row),
        )
        for row in rows
    ]


def told(line: journal.Line) -> HistoryLine:
    """A journal line as a view."""
    event, commands = map(to_builtins, line.told())
    return HistoryLine(
        revision=line.revision,
        at=line.at,
        kind=event.pop("kind"),
        event=event,
        commands=tuple(commands),
    )


def _approval(door: Door, db: sa.Connection, row: sa.Row[Any], given: Sequence[sa.Row[Any]]) -> ApprovalView:
    votes = tuple(VoteView(actor=vote.actor, approved=vote.approved, reason=vote.reason, at=vote.at) for vote in given)
    roles = tuple(json.loads(row.roles))
    chart = door.registry.by_digest(row.pinned)
    ways = chart.ways(row.state, "approved") if chart else ()
    return ApprovalView(
        run_id=row.run_id,
        run=ids.short(row.saga, row.tag, inspect.neighbours(db, row.tag)),
        saga=row.saga,
        state=row.state,
        role=roles[0],
        roles=roles,
        need=row.need,
        have=row.have,
        digest=row.digest,
        shows=json.loads(row.shows),
        leads_to=ways[0].target if ways else "",
        opened_at=row.opened_at,
        expires_at=row.expires_at,
        starter=row.starter,
        not_starter=row.not_starter,
        votes=votes,
    )
