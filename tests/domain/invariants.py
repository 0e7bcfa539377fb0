"""What must hold after every decision, and over the whole story of a run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from saga_engine.domain import codec
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import RollBack
from saga_engine.domain.draft import Decision
from saga_engine.domain.evolve import evolve, live_status, settled
from saga_engine.domain.frozen import replace
from saga_engine.domain.line import commands_of, commands_text, event_of, event_text
from saga_engine.domain.snapshot import Snapshot, Task
from tests.domain.worlds import BUDGET, World, read_back

MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
BECOMES: Final = {
    "started": {"done", "undone", "skipped", "dropped", "sealed"},
    "done": {"undone", "skipped", "sealed"},
    "dropped": {"dropped", "started", "sealed"},
    "undone": set[str](),
    "skipped": set[str](),
    "sealed": {"sealed"},
}
"""What an undo entry may become; a dropped one only where a person has looked at a pivot."""


def check_story(world: World) -> None:
    """All of it, for a run as the world has left it."""
    for event, before, decision in world.journal:
        check_decision(world.chart, event, before, decision)
        check_run(world.chart, decision.after)
    check_names(world)
    check_inbox(world)
    check_replay(world)


# --- one decision


def check_decision(chart: Chart, event: e.Event, before: Snapshot, decision: Decision) -> None:
    after = decision.after
    assert after.revision == before.revision + 1
    check_text(event, before, decision)
    run = before
    for command in decision.commands:
        check_command(chart, event, run, command)
        run = evolve(run, command)
    assert settled(run) == after
    if before.ended:
        assert (after.state, after.status) == (before.state, before.status)
        assert not [command for command in decision.commands if isinstance(command, c.Move | c.AddTask | c.AddResult)]
    check_pivot(chart, event, before, after)


def check_command(chart: Chart, event: e.Event, run: Snapshot, command: c.Command) -> None:
    match command:
        case c.Move():
            check_move(chart, event, run, command)
        case c.AddTask(task=task) if task.kind == "undo":
            later = [x for x in run.undo if x.position > task.about and x.status in ("started", "done")]
            assert later == [], "undone in another order than the reverse of the start"
            entry = next(x for x in run.undo if x.position == task.about)
            assert (entry.state, entry.visit, entry.status in ("started", "done")) == (task.state, task.visit, True)
        case c.SetUndo(position=position, status=status):
            entry = next(x for x in run.undo if x.position == position)
            assert status in BECOMES[entry.status], f"{entry} became {status}"
        case c.PushUndo(position=position):
            assert position == len(run.undo) + 1
        case c.CloseTask(task=name) | c.SetDue(task=name) | c.EndAttempt(task=name) | c.Park(task=name):
            assert run.task(name) is not None, f"{command} of a task that is not open"
        case c.TakeEvent(number=number):
            assert number in [waiting.number for waiting in run.inbox]
        case c.OpenApproval():
            assert run.gate is None
        case c.CountVote(task=name) | c.WidenGate(task=name) | c.CloseApproval(task=name):
            assert run.gate is not None
            assert run.gate.task == name
        case _:
            pass


def check_move(chart: Chart, event: e.Event, run: Snapshot, move: c.Move) -> None:
    """No state is left before it was entered, but by a person; and no budget is passed, but by a person."""
    by_person = move.because in ("cancel", "rollback", "start") or isinstance(event, e.RetryRequested)
    assert move.source == run.state
    assert move.visit == run.visits.get(move.target, 0) + 1
    assert by_person or run.open, f"{run.state} was left before it was entered"
    undoing = bool(run.state) and isinstance(chart.activity(run.state), RollBack)
    if undoing:
        below = [entry for entry in run.undo if entry.status in ("started", "done")]
        assert move.because == "rollback" or below == [], "the rest was not undone"
    if not by_person and not undoing:
        assert move.visit <= chart.rows[move.target].visits
        assert run.transitions < BUDGET.transitions


def check_pivot(chart: Chart, event: e.Event, before: Snapshot, after: Snapshot) -> None:
    """In doubt of a pivot nothing leaves its state but what the step itself, or a person who looked, has to say."""
    if not before.state or not chart.is_pivot(before.state):
        return
    here = [t for t in before.tasks if t.kind == "step" and (t.state, t.visit) == (before.state, before.visit)]
    entry = before.entry(here[0].name) if here else None
    if not here or here[0].attempt == 0 or entry is None or entry.status != "started":
        return
    told = isinstance(event, e.ActionSucceeded) and event.task == here[0].name
    found = isinstance(event, e.Resolved) or (isinstance(event, e.RollbackRequested) and event.unapplied)
    assert told or found or (after.state, after.visit) == (before.state, before.visit)


# --- the run after it


def check_text(event: e.Event, before: Snapshot, decision: Decision) -> None:
    """It reads back as what it was."""
    run, revision, at = before.run_id, decision.after.revision, MOMENT
    assert codec.load_event(codec.dump(event)) == event
    assert event_of(run, event_text(run, event)) == event
    told = commands_text(run, revision, at, event, decision.commands)
    assert commands_of(run, revision, at, event, told) == decision.commands


def check_run(chart: Chart, run: Snapshot) -> None:
    assert run.ended or run.status == live_status(run)
    assert run.ended or moves_on(run), f"nobody will ever look at {run} again"
    check_line(run)
    check_beside(chart, run)
    kept = Counter((r.state, r.visit, r.source) for r in run.results)
    assert set(kept.values()) <= {1}, "two results of one state, visit and source"
    if run.status == "rolled_back":
        assert [entry for entry in run.undo if entry.status in ("started", "done")] == []


def moves_on(run: Snapshot) -> bool:
    """Somebody has it in hand: a worker now or later, a person, a sender, or whoever resumes it."""
    head = run.head()
    in_hand = any(t.leased_by or t.due_at or t.parked or (run.paused and t.resumes_at) for t in run.tasks)
    return in_hand or (head is not None and head.kind in ("wait", "gate") and run.open)


def check_line(run: Snapshot) -> None:
    """Only the head of the line is anybody's business."""
    line = run.line()
    assert len({task.position for task in line}) == len(line)
    assert [task for task in line[1:] if not is_held(task)] == []


def is_held(task: Task) -> bool:
    nobody = (task.due_at, task.resumes_at, task.leased_by, task.ending, task.parked) == (None,) * 5
    return nobody and task.attempt == 0


def check_beside(chart: Chart, run: Snapshot) -> None:
    """Timers belong to where the run is, parked events to events that wait, an open gate to its task."""
    around = {run.state, *chart.machine.groups(run.state)}
    timers = Counter(
        (task.state, task.outcome) for task in run.tasks if task.kind == "timer" and task.outcome != "forget"
    )
    assert set(timers.values()) <= {1}
    assert {state for state, _ in timers} <= around
    waiting = [event.number for event in run.inbox]
    assert sorted(task.about for task in run.tasks if task.outcome == "forget") == waiting
    assert {task.about for task in run.tasks if task.kind == "event"} <= set(waiting)
    assert all(task.parked for task in run.tasks if task.kind == "event")
    gates = {(task.outcome) for task in run.tasks if task.outcome in ("expired", "escalate")}
    if run.gate is None:
        assert gates == set()
    else:
        assert run.head() == run.task(run.gate.task)
        assert (run.open, run.gate.state, "expired" in gates) == (True, run.state, True)
    if run.ended:
        assert (run.inbox, run.gate, timers) == ((), None, Counter())


# --- the whole story


def check_names(world: World) -> None:
    """A task's name is never used again, and tells the revision of the decision that made it."""
    made = [
        (command.task.name, decision.after.revision)
        for _, _, decision in world.journal
        for command in decision.commands
        if isinstance(command, c.AddTask)
    ]
    assert len({name for name, _ in made}) == len(made)
    assert all(name.split(".")[1] == str(revision) for name, revision in made)


def check_inbox(world: World) -> None:
    """Every accepted event is taken, dropped, or waits: exactly one of them, once."""
    kept = [command.number for command in world.commands() if isinstance(command, c.KeepEvent)]
    gone = [command.number for command in world.commands() if isinstance(command, c.TakeEvent)]
    waiting = [event.number for event in world.run.inbox]
    assert sorted(kept) == sorted(gone + waiting)
    accepted = [decision.after.revision for event, _, decision in world.journal if isinstance(event, e.EventReceived)]
    noted = [command.number for command in world.commands() if isinstance(command, c.NoteEvent)]
    assert sorted(kept + noted) == accepted


def check_replay(world: World) -> None:
    """The commands of the journal, from the first line on, give the run; leases are not theirs to tell."""
    _, first, _ = world.journal[0]
    run = first
    for _, _, decision in world.journal:
        for command in decision.commands:
            run = evolve(run, command)
        run = settled(run)
    assert unleased(read_back(run)) == unleased(world.run)


def unleased(run: Snapshot) -> Snapshot:
    """The run without what claims, releases and the freeing of dead workers' tasks write."""
    tasks = (replace(t, attempt=0, leased_by=None, lost_by=None, lost_dead=False) for t in run.tasks)
    return replace(run, tasks=tuple(replace(t, due_at=None, resumes_at=t.due_at or t.resumes_at) for t in tasks))
