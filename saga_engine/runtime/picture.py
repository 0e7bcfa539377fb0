"""A run as a picture: where it is, how it got there, what lies ahead, what can be undone."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from saga_engine.domain import commands as c
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import RollBack, Run
from saga_engine.domain.diagram import Stay, path_line
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime import look, run_views
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.views import DeadlineView, PictureView, RunView, WorkerView
from saga_engine.store import journal, runs
from saga_engine.store.connect import reading

RECENT: Final = 5
"""How many journal lines a picture ends with."""
STAYS_MAX: Final = 2_000
"""How many journal lines, the newest, are read for the path."""
LIMITS: Final = ("timed_out", "expired")
"""What the timers bring that end a stay."""


def picture(door: Door, run_id: str, *, ascii_only: bool = False) -> PictureView:
    """The picture of a run, from its rows and the newest of its journal."""
    view = run_views.run(door, run_id)
    snapshot, now, lines = reading(
        door.store,
        lambda db: (
            runs.load_one(db, run_id),
            door.store.clock(db),
            journal.lines(db, run_id, max(0, view.revision - STAYS_MAX), STAYS_MAX),
        ),
    )
    assert snapshot is not None, "a run that has a view has rows"
    chart = door.registry.by_digest(snapshot.digest)
    stays = list(_stays(lines, view.ended_at or now))
    return PictureView(
        run=view,
        path=path_line(chart, snapshot, stays, ascii_only=ascii_only),
        deadline=_deadline(chart, snapshot),
        worker=_worker(door, view),
        undoable=tuple(_undoable(chart, snapshot)),
        pivot=_pivot(chart),
        past_pivot=any(entry.status == "sealed" for entry in snapshot.undo),
        rolling_back=chart is not None and isinstance(chart.activity(snapshot.state), RollBack),
        recent=tuple(look.told(line) for line in lines[-RECENT:]),
        at=now,
    )


def _stays(lines: Sequence[journal.Line], until: datetime) -> Iterator[Stay]:
    """Every visit of a state with its length, by the moves in the journal."""
    entered = [(command.target, line.at) for line in lines for command in line.told()[1] if isinstance(command, c.Move)]
    for (state, at), (_, left) in zip(entered, [*entered[1:], ("", until)], strict=True):
        yield Stay(state, left - at)


def _deadline(chart: Chart | None, run: Snapshot) -> DeadlineView | None:
    """The next time limit that moves the run, and where to."""
    timers = [
        (due_at, task)  # of a paused run it is kept as resumes_at
        for task in run.tasks
        if task.kind == "timer" and task.outcome in LIMITS and (due_at := task.due_at or task.resumes_at)
    ]
    if not timers:
        return None
    due_at, task = min(timers, key=lambda timer: timer[0])
    return DeadlineView(at=due_at, leads_to=_leads_to(chart, task))


def _leads_to(chart: Chart | None, task: Task) -> str:
    if chart is None:
        return ""
    ways = chart.ways(task.state, task.outcome) or chart.ways(task.state, "failed")
    return ways[0].target if ways else ""


def _worker(door: Door, view: RunView) -> WorkerView | None:
    """Who holds a task of the run."""
    holders = {task.leased_by for task in view.tasks} - {None}
    return next((worker for worker in look.workers(door) if worker.id in holders), None) if holders else None


def _undoable(chart: Chart | None, run: Snapshot) -> list[str]:
    """The states that a rollback would undo now, the last started first."""
    left = [entry for entry in run.undo if entry.status in ("started", "done")]
    return [entry.state for entry in reversed(left) if chart is None or chart.run_of(entry.state).undo is not None]


def _pivot(chart: Chart | None) -> str:
    """The first point of no return; empty where there is none, or where it is not known here."""
    rows = chart.rows.items() if chart else ()
    pivots = (name for name, row in rows if isinstance(row.activity, Run) and row.activity.safety == "pivot")
    return next(pivots, "")
