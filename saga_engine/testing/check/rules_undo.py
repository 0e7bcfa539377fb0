"""The undo stack: the exact reverse of the starts, each entry once, nothing past a passed pivot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.snapshot import ACTIONS, Snapshot, UndoEntry
from saga_engine.testing.check.history import History, Turn

BECOMES: Final[Mapping[str, frozenset[str]]] = {
    "started": frozenset({"done", "undone", "skipped", "dropped", "sealed"}),
    "done": frozenset({"undone", "skipped", "sealed"}),
    "dropped": frozenset({"dropped", "started", "sealed"}),
    "undone": frozenset(),
    "skipped": frozenset(),
    "sealed": frozenset({"sealed"}),
}
"""What an entry may become; a dropped one only where a person has looked at a pivot."""
LEFT: Final = ("started", "done")
"""What a rollback still has to undo."""


def order(history: History) -> Iterator[str]:
    """What was started last is undone first, and only when no attempt of it is open any more."""
    for turn, command, run in history.steps():
        match command:
            case c.AddTask(task=task) if task.kind == "undo":
                yield from _undoing(turn, run, task.about)
            case c.SetUndo(position=position, status=("undone" | "skipped")):
                yield from _later(turn, run, position)
            case c.PushUndo(position=position) if position != len(run.undo) + 1:
                yield f"line {turn.number} pushes {command.state} at {position} on {len(run.undo)} entries"
            case _:
                pass


def _undoing(turn: Turn, run: Snapshot, position: int) -> Iterator[str]:
    entry = _entry(run, position)
    if entry is None or entry.status not in LEFT:
        yield f"line {turn.number} undoes entry {position}, which is {entry.status if entry else 'not there'}"
        return
    yield from _later(turn, run, position)
    if run.task(entry.task) is not None:
        yield f"line {turn.number} undoes {entry.state}, whose task {entry.task} is still open"


def _later(turn: Turn, run: Snapshot, position: int) -> Iterator[str]:
    later = [entry.state for entry in run.undo if entry.position > position and entry.status in LEFT]
    if later:
        yield f"line {turn.number} undoes entry {position} before {', '.join(later)}, started later"


def stops(history: History) -> Iterator[str]:
    """A rollback to a state undoes all from that visit of it on which was in effect last when it began."""
    floor = 0
    for turn, command, run in history.steps():
        if isinstance(command, c.BeginRollback):
            at = [entry.position for entry in run.undo if entry.state == command.to and entry.status in LEFT]
            floor = max(at, default=floor)
        elif isinstance(command, c.ForgetResults):
            left = [entry.state for entry in run.undo if entry.position >= floor and entry.status in LEFT]
            if left:
                yield f"line {turn.number} goes forward from {run.rollback_to} with {', '.join(left)} still in effect"


def entries(history: History) -> Iterator[str]:
    """An entry is done, undone, skipped, dropped or sealed once, and what is sealed stays."""
    for turn, command, run in history.steps():
        if isinstance(command, c.SetUndo):
            entry = _entry(run, command.position)
            if entry is None or command.status not in BECOMES[entry.status]:
                was = entry.status if entry else "not there"
                yield f"line {turn.number} makes entry {command.position} {command.status}, which was {was}"


def pivots(history: History) -> Iterator[str]:
    """In doubt of a pivot nothing leaves its state but by its own report or a person's; once passed it seals all."""
    leased: set[str] = set()
    for turn in history.turns:
        if isinstance(turn.event, e.ActionSucceeded | e.ActionFailed | e.AttemptTimedOut | e.AttemptLost):
            leased.add(turn.event.task)
        yield from _in_doubt(history, turn, leased)
        yield from _passed(history, turn)


def _in_doubt(history: History, turn: Turn, leased: set[str]) -> Iterator[str]:
    run = turn.before
    if not run.state or not history.chart.is_pivot(run.state) or (turn.after.state, turn.after.visit) == _where(run):
        return
    task = next((t for t in run.tasks if t.kind == "step" and (t.state, t.visit) == _where(run)), None)
    entry = run.entry(task.name) if task else None
    if task is None or task.name not in leased or entry is None or entry.status != "started":
        return
    told = isinstance(turn.event, e.ActionSucceeded) and turn.event.task == task.name
    found = isinstance(turn.event, e.Resolved) or (isinstance(turn.event, e.RollbackRequested) and turn.event.unapplied)
    if not told and not found:
        yield f"line {turn.number} ({type(turn.event).__name__}) leaves {run.state}, a pivot in doubt"


def _passed(history: History, turn: Turn) -> Iterator[str]:
    event = turn.event
    task = turn.before.task(event.task) if isinstance(event, e.ActionSucceeded) else None
    if task is None or task.kind != "step" or task.ending or not history.chart.is_pivot(task.state):
        return
    entry = turn.after.entry(task.name)
    left = [x.state for x in turn.after.undo if entry and x.position <= entry.position and x.status in LEFT]
    if left:
        yield f"line {turn.number} passes the pivot {task.state} and leaves {', '.join(left)} to be undone"


def ends(history: History) -> Iterator[str]:
    """A run that says it was rolled back has nothing left to undo, and neither has one that was cancelled."""
    run = history.evidence.run
    if run.status not in ("rolled_back", "cancelled"):
        return
    for entry in run.undo:
        undo = history.chart.run_of(entry.state).undo
        if entry.status in LEFT and (undo is not None or run.status == "rolled_back"):
            yield f"the run is {run.status} and {entry.state} (visit {entry.visit}) is {entry.status}"


def results(history: History) -> Iterator[str]:
    """One result of one state, visit and source; what an undone step gave no longer counts."""
    run, seen = history.evidence.run, set()
    for result in run.results:
        key = (result.state, result.visit, result.source)
        if key in seen:
            yield f"two results of {result.source} in {result.state}, visit {result.visit}"
        seen.add(key)
    gone = {(entry.state, entry.visit) for entry in run.undo if entry.status == "undone"}
    for result in run.results:
        if (result.state, result.visit) in gone and not result.undone and not result.source.startswith("event:"):
            yield f"{result.state} (visit {result.visit}) is undone and its result {result.value} still counts"


def turns_of_line(history: History) -> Iterator[str]:
    """Only the head of the line is worked at."""
    for turn in history.turns:
        event = turn.event
        if isinstance(event, e.ActionSucceeded | e.ActionFailed | e.AttemptTimedOut | e.AttemptLost):
            head = turn.before.head()
            task = turn.before.task(event.task)
            if task is not None and task.kind in ACTIONS and (head is None or head.name != task.name):
                yield f"line {turn.number}: {type(event).__name__} of {task.kind} {task.state} out of its turn"


def _entry(run: Snapshot, position: int) -> UndoEntry | None:
    return next((entry for entry in run.undo if entry.position == position), None)


def _where(run: Snapshot) -> tuple[str, int]:
    return run.state, run.visit
