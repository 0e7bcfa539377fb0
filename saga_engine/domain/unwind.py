"""The way back: where a cancel or a rollback leads, and the undos in reverse order of start (SEMANTICS, "Undo")."""

from saga_engine import errors
from saga_engine.domain import attempts, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import RollBack
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import Snapshot, UndoEntry

ALREADY = "the run is rolling back already; nothing to do"


def next_undo(draft: Draft) -> None:
    """Queue the undo of the step that was started last; with none left, leave the rolling-back state."""
    entry = last_started(draft.run)
    if entry is None:
        _turn(draft)
    elif draft.chart.run_of(entry.state).undo is None:
        draft.emit(c.SetUndo(entry.position, "undone"))
    else:
        draft.queue("undo", entry.state, entry.visit, about=entry.position)


def last_started(run: Snapshot) -> UndoEntry | None:
    """The entry that a rollback undoes next."""
    left = [entry for entry in run.undo if entry.is_left and entry.position >= run.rollback_floor]
    return max(left, key=lambda entry: entry.position, default=None)


def cancel(draft: Draft) -> str:
    """Begin the rollback whose end is ``cancelled``; a note where there is nothing to do."""
    _refuse_ended(draft.run)
    if is_rolling_back(draft):
        return _whole_way(draft, cancelling=True)
    _refuse_past_pivot(draft, unapplied=False)
    target = rolling_back_state(draft.chart, draft.run.state)
    if target is not None:
        draft.emit(c.BeginRollback(cancelling=True))
        moving.move(draft, target, "cancel")
    elif undoable(draft):
        raise errors.Conflict(
            f"{draft.run.state} has no rolling-back state to go to, and {', '.join(undoable(draft))} must be undone"
        )
    else:
        moving.leave(draft, draft.run.state, None)
        moving.finish(draft, "cancelled")
    return ""


def rollback(draft: Draft, asked: e.RollbackRequested) -> str:
    """Begin the rollback, whole or back to a state; a note where there is nothing to do."""
    _refuse_ended(draft.run)
    if is_rolling_back(draft):
        if asked.to:
            raise errors.Conflict("the run is rolling back; where to cannot be changed any more")
        return _whole_way(draft, cancelling=False)
    _refuse_past_pivot(draft, unapplied=asked.unapplied)
    if asked.to:
        _refuse_target(draft.run, asked.to)
    target = rolling_back_state(draft.chart, draft.run.state)
    if target is None:
        raise errors.Conflict(f"the saga has no rolling-back state for {draft.run.state}; cancel ends the run instead")
    draft.emit(c.BeginRollback(to=asked.to or ""))
    moving.move(draft, target, "rollback")
    return ""


def is_rolling_back(draft: Draft) -> bool:
    """True while the current state is one that undoes."""
    return isinstance(draft.chart.activity(draft.run.state), RollBack)


def rolling_back_state(chart: Chart, state: str) -> str | None:
    """Where a cancel leads: by the state's own failed way, its groups', else to the saga's only such state."""
    failed = [way.target for way in chart.ways(state, "failed") if isinstance(chart.activity(way.target), RollBack)]
    every = [name for name, row in chart.rows.items() if isinstance(row.activity, RollBack)]
    if failed:
        return failed[0]
    return every[0] if len(every) == 1 else None


def undoable(draft: Draft) -> list[str]:
    """The states whose steps were started and have an undo."""
    return [
        entry.state
        for entry in draft.run.undo
        if entry.is_left and draft.chart.run_of(entry.state).undo and _begun(draft, entry)
    ]


def _begun(draft: Draft, entry: UndoEntry) -> bool:
    """False for a step that no worker has leased yet."""
    task = draft.run.task(entry.task)
    return task is None or task.attempt > 0


def _turn(draft: Draft) -> None:
    """Everything is undone: go forward again from the chosen state, or leave for the end."""
    to = draft.run.rollback_to
    if not to:
        way = draft.chart.ways(draft.run.state, "then")[0]
        moving.move(draft, way.target, "then")
        return
    floor = next(entry for entry in draft.run.undo if entry.position == draft.run.rollback_floor)
    draft.emit(c.ForgetResults(floor.revision), c.BeginRollback())
    moving.move(draft, to, "rollback")


def _whole_way(draft: Draft, *, cancelling: bool) -> str:
    """A rollback that was to stop somewhere now goes on to the bottom; one that does already is left alone."""
    if not draft.run.rollback_to:
        return ALREADY
    draft.emit(c.BeginRollback(cancelling=cancelling))
    return ""


def _refuse_ended(run: Snapshot) -> None:
    if run.ended:
        raise errors.RunEnded(run=run.run_id, status=run.status, state=run.state)


def _refuse_past_pivot(draft: Draft, *, unapplied: bool) -> None:
    """Past the pivot there is no way back; in doubt of it, only with the proof that it took no effect."""
    sealed = next((entry for entry in reversed(draft.run.undo) if entry.status == "sealed"), None)
    if sealed is not None:
        raise errors.Conflict(f"{sealed.state} is past the point of no return; the run can only go forward")
    task = attempts.pivot_at_hand(draft)
    if task is None or not attempts.pivot_in_doubt(draft):
        return
    if not (unapplied and task.parked):
        raise errors.Conflict(
            f"{draft.run.state} is the point of no return and may have taken effect; "
            "find out, then say so with `saga resolve --done` or `--not-done --evidence`"
        )
    entry = draft.run.entry(task.name)
    assert entry is not None, "a step is on the undo stack"
    draft.emit(c.SetUndo(entry.position, "dropped"))


def _refuse_target(run: Snapshot, to: str) -> None:
    stops = [entry.state for entry in run.undo if entry.is_left]
    if to not in stops:
        reachable = ", ".join(dict.fromkeys(stops)) or "none"
        raise errors.Conflict(f"the run cannot go back to {to}; it can to: {reachable}")
