"""Whatever happens in whatever order: no invariant breaks, nothing is lost, and the run can always be ended."""

from __future__ import annotations

from random import Random
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import Wait
from saga_engine.domain.snapshot import ACTIONS, Task
from saga_engine.domain.values import ParkCode
from tests.domain.invariants import check_run, check_story
from tests.domain.sagas import Moody
from tests.domain.worlds import FIXED, MOVES, Move, World, charts, moves


def lived(chart: Chart, happenings: list[Move]) -> World:
    world = World(chart)
    for happens, number in happenings:
        happens(world, number)
        check_run(chart, world.run)
    return world


@settings(max_examples=200)
@given(chart=st.sampled_from(FIXED), happenings=moves(60))
def test_no_order_of_events_breaks_an_invariant(chart: Chart, happenings: list[Move]) -> None:
    check_story(lived(chart, happenings))


@settings(max_examples=120)
@given(chart=charts(), happenings=moves(40))
def test_no_order_of_events_breaks_an_invariant_of_a_generated_saga(chart: Chart, happenings: list[Move]) -> None:
    check_story(lived(chart, happenings))


@settings(max_examples=120)
@given(chart=st.sampled_from(FIXED) | charts(), happenings=moves(30))
def test_when_all_goes_well_from_some_point_on_the_run_ends(chart: Chart, happenings: list[Move]) -> None:
    world = lived(chart, happenings)
    end(world)
    check_story(world)
    assert world.run.ended
    assert world.run.tasks == ()


ROUNDS_MAX = 400
"""More than any of these sagas can need."""


def end(world: World) -> None:
    """Everybody does what is asked of them until nothing is: attempts succeed, people answer, senders send."""
    world.mood = Moody()
    if world.run.paused:
        assert world.tell(e.ResumeRequested("bob"))
    for _ in range(ROUNDS_MAX):
        if world.run.tasks:
            goes_well(world)


def goes_well(world: World) -> None:
    """The next thing that is asked of anybody, done as well as can be."""
    head = world.run.head()
    leased = next((task for task in world.run.tasks if task.leased_by), None)
    if leased is not None:
        comes_back(world, leased)
    elif any(t.due_at is not None and t.due_at <= world.now for t in world.run.tasks):
        world.claims(0)
    elif world.run.ended and head is not None and head.due_at is not None:
        world.now = head.due_at  # a notice that backs off: the run itself is never begun again
    elif any(task.parked for task in world.run.tasks) or (head is not None and head.kind in ACTIONS):
        assert world.tell(e.RetryRequested("bob"))
    elif world.run.gate is not None:
        voted = [vote.actor for vote in world.run.gate.votes]
        actor = next(name for name in ("bob", "cid", "dan") if name not in voted)
        assert world.tell(e.VerdictGiven(approved=True, digest=world.run.gate.digest, actor=actor, roles=("dba",)))
    else:
        activity = world.chart.activity(world.run.state)
        assert isinstance(activity, Wait)
        assert world.tell(e.EventReceived(activity.event.name, '{"text":"now"}', "bob"))


def comes_back(world: World, task: Task) -> None:
    who = (task.name, task.attempt, task.leased_by or "")
    world.tell(e.TimerFired(*who) if task.kind == "timer" else e.ActionSucceeded(*who, world.value(task, 1)))


def test_the_world_is_wild_enough_to_come_to_every_command_and_every_reason_to_park() -> None:
    dice = Random(7)
    seen: set[str] = set()
    for _ in range(900):
        world = World(dice.choice(FIXED))
        for _ in range(80):
            dice.choice(MOVES)(world, dice.randrange(256))
        parks = [command.parked for command in world.commands() if isinstance(command, c.Park)]
        seen |= {type(command).__name__ for command in world.commands()}
        seen |= {parked.code for parked in parks} | {f"then {parked.outcome}" for parked in parks}
    commands = {cls.__name__ for cls in get_args(c.Command)}
    ways = {f"then {outcome}" for outcome in ("", "then", "timed_out", "retry", "leave")}
    assert (commands | set(get_args(ParkCode)) | ways) - seen == set()
