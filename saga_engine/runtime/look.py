"""What people look at, read from the store and made into views."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import to_builtins

from saga_engine import errors
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Run
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.whys.surroundings import Holder
from saga_engine.runtime import ids
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.life import row_is_dead
from saga_engine.runtime.reasons import holders_of, waits_for
from saga_engine.runtime.views import (
    ApprovalView,
    HistoryLine,
    RunLine,
    RunPage,
    RunView,
    StatusLine,
    TaskView,
    UndoView,
    VoteView,
    WorkerView,
)
from saga_engine.store import incarnations, inspect, journal, runs
from saga_engine.store.connect import reading

if TYPE_CHECKING:
    import sqlalchemy as sa

PAGE_MAX = 1_000


class Begun(NamedTuple):
    """A run that has been started *at* a moment, the tags beside its own, and who holds its first task, by id."""

    run: Snapshot
    at: datetime
    neighbours: tuple[str, ...]
    holders: Mapping[str, Holder]


def run(door: Door, run_id: str) -> RunView:
    """The run as it stands."""
    return reading(door.store, lambda db: run_in(door, db, run_id))


def run_in(door: Door, db: sa.Connection, run_id: str) -> RunView:
    """The same, within a transaction of the caller's."""
    read = runs.load_row(db, run_id)
    if read is None:
        raise errors.RunNotFound(run=run_id)
    snapshot, row, neighbours = read
    chart = door.registry.by_digest(snapshot.digest)
    return RunView(
        id=row.id,
        name=ids.short(row.saga, row.tag, neighbours),
        saga=row.saga,
        version=row.version,
        key=row.run_key,
        state=row.state,
        status=row.status,
        paused=row.paused,
        revision=row.revision,
        input=json.loads(row.input),
        results=_results(snapshot),
        waiting_on=waits_for(chart, snapshot, door.store.clock(db), door.budget, holders_of(db, [snapshot])),
        undo=tuple(_undo(chart, snapshot)),
        tasks=tuple(_task(task) for task in inspect.tasks_of(db, run_id)) if snapshot.tasks else (),
        starter=row.starter,
        created_at=row.created_at,
        updated_at=row.updated_at,
        entered_at=row.entered_at,
        ended_at=row.ended_at,
    )


def begun(door: Door, chart: Chart, new: Begun, key: str | None) -> RunView:
    """A run as its start has recorded it: nothing is read, for its start must not fail any more."""
    run, now = new.run, new.at
    return RunView(
        id=run.run_id,
        name=ids.short(run.saga, ids.tag_of(run.run_id), new.neighbours),
        saga=run.saga,
        version=run.version,
        key=key,
        state=run.state,
        status=run.status,
        paused=run.paused,
        revision=run.revision,
        input=json.loads(run.input),
        results=_results(run),
        waiting_on=waits_for(chart, run, now, door.budget, new.holders),
        undo=tuple(_undo(chart, run)),
        tasks=tuple(_new_task(task) for task in sorted(run.tasks, key=lambda task: task.position)),
        starter=run.starter,
        created_at=now,
        updated_at=now,
        entered_at=now,
        ended_at=now if run.ended else None,
    )


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


def _results(snapshot: Snapshot) -> dict[str, Any]:
    """The newest result of each state that is not undone."""
    newest = sorted((r for r in snapshot.results if not r.undone), key=lambda r: r.revision)
    return {result.state: json.loads(result.value) for result in newest}


def _undo(chart: Chart | None, snapshot: Snapshot) -> Sequence[UndoView]:
    return [
        UndoView(
            position=entry.position,
            state=entry.state,
            visit=entry.visit,
            status=entry.status,
            has_undo=chart is not None and _has_undo(chart, entry.state),
        )
        for entry in snapshot.undo
    ]


def _has_undo(chart: Chart, state: str) -> bool:
    activity = chart.activity(state)
    return isinstance(activity, Run) and activity.undo is not None


def _task(row: sa.Row[Any]) -> TaskView:
    return TaskView(
        name=row.name,
        kind=row.kind,
        state=row.state,
        due_at=row.due_at,
        attempt=row.attempt,
        failures=row.failures,
        crashes=row.crashes,
        leased_by=row.leased_by,
        ending=row.ending,
        parked=row.parked_code,
        error=row.parked_text or row.error,
        progress=json.loads(row.progress) if row.progress else None,
        heard_at=row.heard_at,
    )


def _new_task(task: Task) -> TaskView:
    """One that nobody has held yet."""
    return TaskView(
        name=task.name,
        kind=task.kind,
        state=task.state,
        due_at=task.due_at,
        attempt=task.attempt,
        failures=task.failures,
        crashes=0,
        leased_by=task.leased_by,
        ending=task.ending,
        parked=task.parked.code if task.parked else None,
        error=(task.parked.text if task.parked else "") or task.error,
        progress=None,
        heard_at=None,
    )


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
