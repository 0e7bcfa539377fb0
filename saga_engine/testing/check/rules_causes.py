"""Nothing without its cause: each move, and each change of the undo stack, follows from an event that may bring it.

The causes are those of ``domain.attempts``, ``inbox``, ``approvals``, ``repair`` and ``unwind``, told once more from
the journal alone: a decision that has slipped in where none was due is found here, though all else fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import RollBack, Run, Wait
from saga_engine.domain.snapshot import Snapshot, Task, UndoEntry
from saga_engine.testing.check.history import History, Turn

Steps = Sequence[tuple[c.Command, Snapshot]]
"""What was decided in the same line before, each with the run that it is said of."""


def moves(history: History) -> Iterator[str]:
    """A run leaves its state only for what the way that it takes is called after."""
    for turn in history.turns:
        for i, (move, run) in enumerate(turn.steps):
            if isinstance(move, c.Move) and not _moves(history.chart, turn, move, run, turn.steps[:i]):
                told = f"line {turn.number} ({type(turn.event).__name__}) moves {move.source or 'in'} → {move.target}"
                yield f"{told} because of {move.because}, of which it says nothing"


def _moves(chart: Chart, turn: Turn, move: c.Move, run: Snapshot, before: Steps) -> bool:
    event = turn.event
    if isinstance(event, e.RetryRequested) and move.because in _kept_outcomes(before):
        return True
    match move.because:
        case "start":
            return isinstance(event, e.RunStarted)
        case "cancel":
            return isinstance(event, e.CancelRequested)
        case "rollback":
            return isinstance(event, e.RollbackRequested) or _turned_forward(chart, move, before)
        case "then":
            return _ended_well(chart, turn, run, before)
        case "failed":
            return _ended_badly(turn, run) or _ran_out(chart, run, before)
        case "timed_out":
            return _ran_out(chart, run, before)
        case "approved" | "rejected" | "expired":
            return True  # the gate was closed as that, see ``rules_people.outcomes``
        case _:
            return _was_taken(move.because, run, before)


def _kept_outcomes(before: Steps) -> list[str]:
    """The outcomes of parked tasks that are closed here: a person wants their ways tried once more."""
    return [task.parked.outcome for task in _closed(before) if task.parked is not None]


def _turned_forward(chart: Chart, move: c.Move, before: Steps) -> bool:
    """A rollback has come to the state that it was to stop at."""
    forgets = [run for command, run in before if isinstance(command, c.ForgetResults)]
    return any(run.rollback_to == move.target and _undoes(chart, run) for run in forgets)


def _ended_well(chart: Chart, turn: Turn, run: Snapshot, before: Steps) -> bool:
    """The step has succeeded, or a person says so, or goes on without it; the event has come; all is undone."""
    match chart.activity(run.state):
        case Run():
            return _step_done(turn, run) is not None or _is_skipped(turn, run)
        case Wait(event=event):
            return _was_taken(f"event:{event.name}", run, before)
        case RollBack():
            return not any(entry.is_left for entry in run.undo)
        case _:
            return False


def _step_done(turn: Turn, run: Snapshot) -> Task | None:
    """The step of the state that *run* is in, if it is this line that says that it is done."""
    task = _step_of(turn.before, run)
    if task is None:
        return None
    match turn.event:
        case e.ActionSucceeded(task=task.name):
            return None if task.ending else task
        case e.Resolved(done=True):
            return task if task.parked else None
        case _:
            return None


def _ended_badly(turn: Turn, run: Snapshot) -> bool:
    """The last attempt has failed; or one that had run out of time, and was asked to end, has ended or is lost."""
    task = _step_of(turn.before, run)
    if task is None:
        return False
    match turn.event:
        case e.ActionFailed(task=task.name):
            return task.ending in (None, "park")
        case e.AttemptTimedOut(task=task.name):
            return task.ending is None
        case e.ActionSucceeded(task=task.name) | e.AttemptLost(task=task.name):
            return task.ending == "park"
        case _:
            return False


def _ran_out(chart: Chart, run: Snapshot, before: Steps) -> bool:
    """A deadline, the state's own or one of a group's, is over: its timer has fired, or was overdue."""
    places = (run.state, *chart.machine.groups(run.state))
    return any(task.outcome == "timed_out" and task.state in places for task in _closed(before))


def _was_taken(source: str, run: Snapshot, before: Steps) -> bool:
    """The event of that name has arrived, or has waited, and is consumed here, in this state."""
    name = source.removeprefix("event:")
    kept = any(isinstance(x, c.AddResult) and (x.state, x.source) == (run.state, source) for x, _ in before)
    arrived = any(isinstance(x, c.NoteEvent) and (x.name, x.fate) == (name, "taken") for x, _ in before)
    waited = any(
        isinstance(x, c.TakeEvent) and x.fate == "taken" and (x.number, name) in [(w.number, w.name) for w in was.inbox]
        for x, was in before
    )
    return kept and (arrived or waited)


def undos(history: History) -> Iterator[str]:
    """A step is undone by its undo or by a person's word, and nothing else on the stack changes by itself either."""
    for turn, command, run in history.steps():
        if isinstance(command, c.SetUndo):
            entry = next((entry for entry in run.undo if entry.position == command.position), None)
            if entry is not None and not _sets(history.chart, turn, entry, command.status, run):
                told = f"line {turn.number} ({type(turn.event).__name__}) makes {entry.state} (visit {entry.visit})"
                yield f"{told} {command.status}, of which it says nothing"


def _sets(chart: Chart, turn: Turn, entry: UndoEntry, status: str, run: Snapshot) -> bool:
    match status:
        case "undone":
            return _was_undone(turn, entry) or (chart.run_of(entry.state).undo is None and _undoes(chart, run))
        case "done":
            step = _step_done(turn, run)
            return step is not None and step.name == entry.task
        case "sealed":
            step = _step_done(turn, run)
            return step is not None and chart.is_pivot(step.state)
        case "skipped":
            undo = _undo_of(turn, entry)
            return isinstance(turn.event, e.SkipRequested) and undo is not None and undo.parked is not None
        case "started":
            return isinstance(turn.event, e.RetryRequested)
        case _:
            return True  # dropped: it was never leased, which is not the journal's to tell


def _was_undone(turn: Turn, entry: UndoEntry) -> bool:
    undo = _undo_of(turn, entry)
    if undo is None:
        return False
    match turn.event:
        case e.ActionSucceeded(task=undo.name):
            return undo.ending is None
        case e.Resolved(done=True):
            return undo.parked is not None
        case _:
            return False


def _undo_of(turn: Turn, entry: UndoEntry) -> Task | None:
    return next((task for task in turn.before.tasks if task.kind == "undo" and task.about == entry.position), None)


def _step_of(before: Snapshot, run: Snapshot) -> Task | None:
    """The task of the step that *run* is in the state of, as the line found it."""
    here = (run.state, run.visit)
    return next((task for task in before.tasks if task.kind == "step" and (task.state, task.visit) == here), None)


def _is_skipped(turn: Turn, run: Snapshot) -> bool:
    step = _step_of(turn.before, run)
    return isinstance(turn.event, e.SkipRequested) and step is not None and step.parked is not None


def _closed(before: Steps) -> list[Task]:
    """The tasks that were closed in the same line before, as they were then."""
    found = [run.task(command.task) for command, run in before if isinstance(command, c.CloseTask)]
    return [task for task in found if task is not None]


def _undoes(chart: Chart, run: Snapshot) -> bool:
    return isinstance(chart.activity(run.state), RollBack)
