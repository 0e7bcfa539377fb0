"""From state to state as the pinned definition has it: which way, in which order, how often."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.table import VISITS_MAX, RollBack, Run
from saga_engine.domain.snapshot import Snapshot
from saga_engine.testing.check.history import History, Turn

BY_PERSON: Final = ("start", "cancel", "rollback")
"""Why a move is made that is no way of the table's."""
ORDER: Final = ("leaving", "entering")
"""In which order the tasks of a move stand in line, before the activity."""


def ways(history: History) -> Iterator[str]:
    """Every move is a way of the definition, from where the run is, once its state has been entered."""
    for turn, move, run in _moves(history):
        told = f"line {turn.number} moves {move.source or 'in'} → {move.target} because of {move.because}"
        if move.source != run.state or move.visit != run.visits.get(move.target, 0) + 1:
            yield f"{told}, visit {move.visit}; the run is in {run.state}, visits {dict(run.visits)}"
        elif move.because in BY_PERSON:
            yield from (f"{told}, which is {wrong}" for wrong in _by_person(history, move, run))
        elif move.target not in [way.target for way in history.chart.ways(run.state, move.because)]:
            yield f"{told}, which is no way of {history.chart.name} v{history.chart.version}"
        elif not run.open and not isinstance(turn.event, e.RetryRequested):
            yield f"{told}, before {run.state} was entered"


def _by_person(history: History, move: c.Move, run: Snapshot) -> Iterator[str]:
    chart = history.chart
    if move.because == "start" and (run.state or move.target != chart.start):
        yield "not the start"
    if move.because == "cancel" and not isinstance(chart.activity(move.target), RollBack):
        yield "no way back"
    if move.because == "rollback":
        back = isinstance(chart.activity(move.target), RollBack)
        forward = isinstance(chart.activity(run.state), RollBack)
        if not back and not forward:
            yield "neither the way back nor forward again"
    if move.because != "start" and any(entry.status == "sealed" for entry in run.undo):
        yield "back past the point of no return"


def budgets(history: History) -> Iterator[str]:
    """No budget of visits or transitions is passed, but by a person, or on the way back."""
    chart, most = history.chart, history.budget
    for turn, move, run in _moves(history):
        free = move.because in BY_PERSON or isinstance(turn.event, e.RetryRequested)
        if free or isinstance(chart.activity(run.state), RollBack):
            continue
        written = chart.rows[move.target].visits
        visits = most.visits if written == VISITS_MAX else written
        if move.visit > visits or run.transitions >= most.transitions:
            yield f"line {turn.number}: visit {move.visit} of {move.target}, transition {run.transitions + 1}"


def line(history: History) -> Iterator[str]:
    """A move queues the leaving, the entering, then the activity; and the undo of a step before it can start."""
    for turn in history.turns:
        moves = [i for i, (command, _) in enumerate(turn.steps) if isinstance(command, c.Move)]
        for i, end in pairwise([*moves, len(turn.steps)]):
            move, run = turn.steps[i]
            assert isinstance(move, c.Move)
            left = history.chart.rows.get(move.source)
            leaves = left is not None and left.leaving is not None and run.open
            followed = [command for command, _ in turn.steps[i + 1 : end]]
            yield from (f"line {turn.number} {wrong}" for wrong in _queued(history, move, followed, leaves=leaves))


def _queued(history: History, move: c.Move, followed: list[c.Command], *, leaves: bool) -> Iterator[str]:
    """*leaves*: the state that the move leaves has a notice to give. *followed*: the commands up to the next move."""
    row = history.chart.rows[move.target]
    added = [command.task for command in followed if isinstance(command, c.AddTask) and command.task.position > 0]
    kinds = [task.kind for task in sorted(added, key=lambda task: task.position) if task.kind != "undo"]
    wanted = [kind for kind, there in zip(ORDER, (leaves, row.entering is not None), strict=True) if there]
    if kinds[: len(wanted)] != wanted or any(kind in ORDER for kind in kinds[len(wanted) :]):
        yield f"enters {move.target} with {kinds} in line, not first {wanted}"
    pushed = [command.task for command in followed if isinstance(command, c.PushUndo)]
    steps = [task.name for task in added if task.kind == "step"]
    if pushed != steps or (isinstance(row.activity, Run) and not steps):
        yield f"enters {move.target} with the steps {steps} and pushes the undos of {pushed}"


def over(history: History) -> Iterator[str]:
    """Nothing begins in a run that has ended."""
    for turn, command, run in history.steps():
        if run.ended and isinstance(command, c.Move | c.AddTask | c.AddResult | c.PushUndo | c.OpenApproval):
            yield f"line {turn.number}: {type(command).__name__} after the run was {run.status}"


def _moves(history: History) -> Iterator[tuple[Turn, c.Move, Snapshot]]:
    for turn, command, run in history.steps():
        if isinstance(command, c.Move):
            yield turn, command, run
