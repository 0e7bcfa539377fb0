"""One run as people see it: read from the store, or as its start has recorded it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from saga_engine import errors
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import Run
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.whys.surroundings import Holder
from saga_engine.runtime import ids
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.reasons import holders_of, waits_for
from saga_engine.runtime.views import RunView, TaskView, UndoView
from saga_engine.store import inspect, runs
from saga_engine.store.connect import glancing, reading

if TYPE_CHECKING:
    import sqlalchemy as sa


class Begun(NamedTuple):
    """A run that has been started *at* a moment, the tags beside its own, and who holds its first task, by id."""

    run: Snapshot
    at: datetime
    neighbours: tuple[str, ...]
    holders: Mapping[str, Holder]


def run(door: Door, run_id: str) -> RunView:
    """The run as it stands."""
    found = glancing(door.store, lambda db: _at_a_glance(door, db, run_id)) if door.store.has_round_trips else None
    return found or reading(door.store, lambda db: run_in(door, db, run_id))


def run_in(door: Door, db: sa.Connection, run_id: str) -> RunView:
    """The same, within a transaction of the caller's."""
    read = _row(db, run_id)
    return _view(door, db, read, inspect.tasks_of(db, run_id) if read.run.tasks else ())


def _at_a_glance(door: Door, db: sa.Connection, run_id: str) -> RunView | None:
    """The run by a single statement, which is enough where it has no task; else None."""
    read = _row(db, run_id)
    return None if read.run.tasks else _view(door, db, read, ())


def _row(db: sa.Connection, run_id: str) -> runs.Stored:
    read = runs.load_row(db, run_id)
    if read is None:
        raise errors.RunNotFound(run=run_id)
    return read


def _view(door: Door, db: sa.Connection, read: runs.Stored, tasks: Sequence[Any]) -> RunView:
    snapshot, row, _, neighbours, _ = read
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
        tasks=tuple(map(_task, tasks)),
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
