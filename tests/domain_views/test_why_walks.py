"""Wherever a run can get to, ``why`` has a reason, and the command it tells first moves what is parked."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.snapshot import Snapshot
from saga_engine.domain.why import Attempt, Hold, Holder, Kept, Loaded, Reason, Surroundings, Worker, waiting_on, why
from tests.domain_views.sagas import Mood
from tests.domain_views.walks import BUDGET, CHARTS, VALUES, Walk, begin

NAME = "migrate-7f3k2"
ROLES = {"dba": ["ann", "bob", "cleo"]}


@pytest.fixture(autouse=True)
def good_mood() -> Iterator[None]:
    Mood.raises, Mood.says = False, False
    yield
    Mood.raises, Mood.says = False, False


def surroundings(walk: Walk, number: int) -> Surroundings:
    """One of the ways in which workers may stand around the run."""
    now, digest = walk.now, walk.chart.digest
    alive = Holder("worker-1", "db-2", 7, now, now + timedelta(seconds=15))
    dead = replace(alive, renewed_at=now - timedelta(minutes=1), lease_until=now - timedelta(seconds=45))
    idle = Worker("db-2", 7, 8, 0, (Loaded("migrate", 1, digest),))
    holder, workers = (
        (alive, ()),
        (alive, (idle,)),
        (dead, (replace(idle, busy=8),)),
        (replace(dead, ended_at=now), (replace(idle, loaded=()),)),
        (None, None),
    )[number % 5]
    crashes = number // 5 % 3
    return Surroundings(
        now=now,
        run=NAME,
        entered_at=now,
        workers=workers,
        tasks={task.name: Attempt(holder, crashes=crashes) for task in walk.run.tasks},
        paused=Hold("bob", "CHG-1", now) if walk.run.paused and number % 2 else None,
        roles=ROLES if number % 3 else {},
        findings=(Kept("W01", "no live worker serves the queue default", now),) if number % 7 == 0 else (),
        budget=BUDGET,
    )


def event_of(command: str, chart: Chart, run: Snapshot) -> e.Event | None:
    """What the command line sends to the engine for *command*; None where the run is not told anything."""
    program, verb, *rest = shlex.split(command)
    assert (program, rest[:1]) == ("saga", [NAME]) or verb in ("worker", "doctor", "check", "--workflows")
    match verb:
        case "retry":
            return e.RetryRequested("ann")
        case "skip":
            return e.SkipRequested("ann", "seen to")
        case "resolve":
            return e.Resolved(
                "ann", "looked", done="--done" in rest, value=result_of(chart, run, given="--result" in rest)
            )
        case "rollback":
            return e.RollbackRequested("ann")
        case "cancel":
            return e.CancelRequested("ann")
        case "reconcile":
            [task] = [task for task in run.tasks if task.parked and task.parked.code == "W21"]
            return e.Reconciled("ann", task.name, task.attempt + 1, "dw: a newer attempt has written")
        case "pause":
            return e.PauseRequested("ann")
        case "resume":
            return e.ResumeRequested("ann")
        case _:
            return None


def result_of(chart: Chart, run: Snapshot, *, given: bool) -> str:
    states = [task.state for task in run.tasks if task.parked and task.kind == "step"]
    model = chart.run_of(states[0]).result if states else None
    assert given is (model is not None) or not given, "a result is asked for where the step has one"
    return VALUES[model.__name__][0] if model and given else "null"


def standing(run: Snapshot) -> tuple[object, ...]:
    """What a person sees of a run: a task made again under a new name is the same."""
    tasks = sorted((t.kind, t.state, t.visit, repr(t.parked), str(t.ending), str(t.due_at)) for t in run.tasks)
    return run.state, run.status, run.paused, run.rollback_to, run.undo, run.results, run.inbox, tasks


def look(walk: Walk, number: int) -> list[Reason]:
    """Ask why, and hold every answer to what it promises."""
    chart, run, around = walk.chart, walk.run, surroundings(walk, number)
    reasons = why(chart, run, around)
    parked = [task for task in run.tasks if task.parked]
    if run.ended:
        assert [reason.code for reason in reasons] == [task.parked.code for task in parked if task.parked]
    else:
        assert reasons, f"a live run has a reason: {run}"
    assert bool(waiting_on(chart, run, around)) is bool(reasons)
    for reason in reasons:
        assert "\n" not in "".join((reason.sentence, *reason.evidence))
        for command in reason.next:
            event = event_of(command.command, chart, run)
            if event is not None:
                decide(chart, run, event, walk.now, BUDGET)  # refuses with an error what the run does not take
    if parked:
        the_first_command_moves(walk, reasons[0])
    return reasons


def the_first_command_moves(walk: Walk, reason: Reason) -> None:
    event = event_of(reason.next[0].command, walk.chart, walk.run)
    assert event is not None, reason
    raises = Mood.raises
    Mood.raises = False  # what a W16 asks for first: mend the guard
    after = decide(walk.chart, walk.run, event, walk.now, BUDGET).after
    Mood.raises = raises
    assert standing(after) != standing(walk.run), reason


@settings(max_examples=80)
@given(st.sampled_from(CHARTS), st.lists(st.integers(0, 10**6), min_size=10, max_size=40))
def test_every_live_state_has_a_reason_and_what_it_proposes_the_run_takes(chart: Chart, numbers: list[int]) -> None:
    Mood.raises, Mood.says = False, False
    walk = Walk(chart, begin(chart))
    for number in numbers:
        look(walk, number)
        walk.step(number)
    look(walk, len(numbers))


def test_the_walks_come_to_every_reason_that_rows_can_bring() -> None:
    seen: Counter[str] = Counter()
    for seed in range(80):
        Mood.raises, Mood.says = False, False
        chosen = Random(seed)
        walk = Walk(CHARTS[seed % 4], begin(CHARTS[seed % 4]))
        for _ in range(40):
            seen.update(reason.code for reason in look(walk, chosen.randrange(10**6)))
            walk.step(chosen.randrange(10**6))

    assert set(seen) == {
        "W00", "W01", "W02", "W03", "W04", "W05", "W06", "W09", "W10", "W14", "W16", "W17", "W21", "W22", "W23", "W24",
    }  # fmt: skip
