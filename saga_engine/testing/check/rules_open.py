"""What is open: a live run names what it waits for, an ended one waits for nothing, a task is held by the living."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from saga_engine.domain import commands as c
from saga_engine.domain.evolve import live_status
from saga_engine.domain.snapshot import Task
from saga_engine.testing.check.history import History


def waits(history: History) -> Iterator[str]:
    """Somebody has a live run in hand: a worker now or later, a person, a sender, or whoever resumes it."""
    run = history.evidence.run
    if run.ended:
        return
    if run.status != live_status(run):
        yield f"it is {run.status}, and its tasks amount to {live_status(run)}"
    head = run.head()
    in_hand = any(t.leased_by or t.due_at or t.parked or (run.paused and t.resumes_at) for t in run.tasks)
    asks = head is not None and head.kind in ("wait", "gate") and run.open
    if not in_hand and not asks:
        yield f"it is {run.status} in {run.state}, and nobody will ever look at it again: {run.tasks}"


def line(history: History) -> Iterator[str]:
    """Only the head of the line is anybody's business; the others are held until it is over."""
    tasks = history.evidence.run.line()
    if len({task.position for task in tasks}) != len(tasks):
        yield f"two tasks stand at the same place in line: {[(t.name, t.position) for t in tasks]}"
    for task in tasks[1:]:
        if (task.due_at, task.resumes_at, task.leased_by, task.ending, task.parked) != (None,) * 5 or task.attempt:
            yield f"{task.kind} {task.state} ({task.name}) is not the head of the line and is not held: {task}"


def beside(history: History) -> Iterator[str]:
    """Timers belong to where the run is, parked events to events that wait, an open gate to the head of the line."""
    run, chart = history.evidence.run, history.chart
    around = {run.state, *chart.machine.groups(run.state)} if run.state else set()
    timers = Counter((t.state, t.outcome) for t in run.tasks if t.kind == "timer" and t.outcome != "forget")
    if any(count > 1 for count in timers.values()) or not {state for state, _ in timers} <= around:
        yield f"the timers {dict(timers)} do not belong to {run.state}"
    waiting = [event.number for event in run.inbox]
    if sorted(task.about for task in run.tasks if task.outcome == "forget") != waiting:
        yield f"the events of lines {waiting} wait, and others have a time to live"
    odd = [t.name for t in run.tasks if t.kind == "event" and (t.about not in waiting or not t.parked)]
    if odd:
        yield f"the tasks {odd} are of events that do not wait"
    if run.gate is not None and (run.head() != run.task(run.gate.task) or not run.open):
        yield f"the gate of {run.gate.state} is open, and the run is in {run.state}"
    if run.ended and (run.inbox or run.gate or timers):
        yield f"it is {run.status}, and events, a gate or timers are left: {run.inbox} {run.gate} {dict(timers)}"


def ended(history: History) -> Iterator[str]:
    """Of an ended run only a last notice is open, or an attempt that is asked to end."""
    run = history.evidence.run
    for task in run.tasks if run.ended else ():
        left = task.ending is not None or (task.parked is not None and task.parked.outcome == "leave")
        if task.kind not in ("leaving", "entering") and not left:
            yield f"it is {run.status}, and {task.kind} {task.state} is open: {task}"


def held(history: History, *, quiet: bool) -> Iterator[str]:
    """A task is held by an incarnation that is known; when all is *quiet*, by none that has ended."""
    evidence = history.evidence
    for task in evidence.run.tasks:
        if task.leased_by is None:
            continue
        if task.leased_by not in evidence.holders:
            yield f"{task.name} is held by {task.leased_by}, which nobody knows"
        elif quiet and evidence.holders[task.leased_by] is not None:
            yield f"{task.name} is held by {task.leased_by}, which has ended at {evidence.holders[task.leased_by]}"
        if task.kind not in ("leaving", "entering", "step", "undo", "timer"):
            yield f"{task.name} is a {task.kind}, and is held by {task.leased_by}"
    if evidence.run.paused:
        yield from _begun_while_paused(history)


def _begun_while_paused(history: History) -> Iterator[str]:
    since = max(turn.number for turn in history.turns if any(isinstance(x, c.Pause) for x in turn.commands))
    for task in history.evidence.run.tasks:
        if _line_of(task) > since and (task.leased_by or task.due_at):
            yield f"{task.kind} {task.state} ({task.name}) was begun after line {since}, which paused the run"


def _line_of(task: Task) -> int:
    return int(task.name.split(".")[1])
