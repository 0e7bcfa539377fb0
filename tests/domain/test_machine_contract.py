"""The adapter against the library: what ``Machine.ways`` has looked up is what triggering a real model would do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transitions import MachineError

from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event, Guard
from saga_engine.domain.machine import SEPARATOR, Machine, Way
from tests.domain.sagas import Input, Note, S, Value, defer, ignore, is_big, is_urgent, one, reject

# "_" is the library's own separator, in every place of a name where it could do harm.
NAMES = ("A", "A_B", "A_B_C", "_A", "B_", "GROUP", "GROUP_1_A", "to_A")
EVENTS = (reject, Event("to_A", Note, unhandled="reject"), Event("A_B", Note, unhandled="reject"))


def s0(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called, as all of these


def s1(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def s2(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def s3(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def s4(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def s5(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def g0(value: object) -> bool: ...  # type: ignore[empty-body]  # its answer is the model's to give


def g1(value: object) -> bool: ...  # type: ignore[empty-body]  # as above


def g2(value: object) -> bool: ...  # type: ignore[empty-body]  # as above


STEPS = (s0, s1, s2, s3, s4, s5)
GUARDS: tuple[Guard, ...] = (g0, g1, g2)


@dataclass
class Model:
    """Thrown away after one try."""

    state: str
    answers: Mapping[Guard, bool]

    def asks(self, guard: Guard) -> bool:
        return self.answers[guard]


def triggered(machine: Machine, state: str, trigger: str, answers: Mapping[Guard, bool]) -> str | None:
    """Where a real model goes; None where it stays."""
    model = Model(machine.paths[state], answers)
    try:
        moved = machine.machine.trigger_event(model, trigger)
    except (MachineError, AttributeError):  # no way from here on it, or nowhere at all
        moved = False
    assert moved or model.state == machine.paths[state]
    return model.state.rpartition(SEPARATOR)[2] if moved else None


def looked_up(machine: Machine, state: str, trigger: str, answers: Mapping[Guard, bool]) -> str | None:
    ways = machine.ways(state, trigger)
    return next((way.target for way in ways if way.guard is None or answers[way.guard]), None)


@st.composite
def sagas(draw: st.DrawFn) -> Saga[Any, Any]:
    """Up to six states with every kind of edge, in up to three groups, nested or apart."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=len(STEPS), unique=True))
    states: Any = Enum("states", names)  # type: ignore[misc]  # generated: mypy cannot know the members
    order = list(states)
    target = st.sampled_from(order)
    guard = st.sampled_from(GUARDS)
    saga: Saga[Any, Any] = Saga("generated", version=1, states=states, input=Input, start=order[0])
    for state, step in zip(order, STEPS, strict=False):
        chain = saga.at(state).run(step)
        for event in draw(st.lists(st.sampled_from(EVENTS), max_size=3)):
            chain = chain.on(event, draw(target), when=draw(st.none() | guard))
        for _ in range(draw(st.integers(0, 2))):
            chain = chain.when(draw(guard), draw(target))
        chain.then(draw(target), failed=draw(st.none() | target), timed_out=draw(st.none() | target))
    for members in draw(nested(order)):
        ways_out = saga.group(*members)
        for event in draw(st.lists(st.sampled_from(EVENTS), max_size=2)):
            ways_out = ways_out.on(event, draw(target), when=draw(st.none() | guard))
        ways_out.then(failed=draw(st.none() | target), timed_out=draw(st.none() | target))
    return saga


@st.composite
def nested(draw: st.DrawFn, order: list[Any]) -> list[list[Any]]:
    """Groups in any order of writing, each two of them nested or apart."""
    kept: list[list[Any]] = []
    for members in draw(st.lists(st.lists(st.sampled_from(order), min_size=1, unique=True), max_size=3)):
        one_of = [set(members) & set(other) in (set(), set(members), set(other)) for other in kept]
        if all(one_of) and all(set(members) != set(other) for other in kept):
            kept.append(members)
    return kept


TRIGGERS = ("then", "failed", "timed_out", *(f"event:{event.name}" for event in EVENTS))


@given(saga=sagas(), answers=st.fixed_dictionaries({guard: st.booleans() for guard in GUARDS}))
def test_the_first_way_whose_guard_agrees_is_where_a_real_model_goes(
    saga: Saga[Any, Any], answers: Mapping[Guard, bool]
) -> None:
    machine = Machine(saga)
    places = [*(state.name for state in saga.states), *(group.name for group in saga.groups)]
    for state in places:
        for trigger in TRIGGERS:
            expected = triggered(machine, state, trigger, answers)
            assert looked_up(machine, state, trigger, answers) == expected, (state, trigger)


@given(saga=sagas())
def test_the_groups_of_a_state_are_those_that_hold_it_the_smaller_first(saga: Saga[Any, Any]) -> None:
    machine = Machine(saga)
    for state in saga.states:
        holding = [group for group in saga.groups if state in group.members]
        expected = tuple(group.name for group in sorted(holding, key=lambda group: len(group.members)))
        assert machine.groups(state.name) == expected


# --- literal examples


def nested_saga() -> Machine:
    saga: Saga[S, Input] = Saga("t", version=1, states=S, input=Input, start=S.A)
    saga.group(S.A).on(defer, S.B).then(failed=S.B)
    saga.group(S.A, S.B).on(reject, S.C).on(defer, S.C).then(failed=S.C, timed_out=S.D)
    saga.at(S.A).run(one).on(reject, S.B, when=is_urgent).when(is_big, S.C).then(S.D)
    saga.final(*(state for state in S if state is not S.A))
    return Machine(saga)


def test_ways_are_asked_from_the_state_outwards_in_written_order() -> None:
    machine = nested_saga()
    assert machine.ways("A", "then") == (Way("C", is_big, "A"), Way("D", None, "A"))
    assert machine.ways("A", "event:reject") == (Way("B", is_urgent, "A"), Way("C", None, "GROUP_2"))
    assert machine.ways("A", "event:defer") == (Way("B", None, "GROUP_1"), Way("C", None, "GROUP_2"))
    assert machine.ways("A", "failed") == (Way("B", None, "GROUP_1"), Way("C", None, "GROUP_2"))
    assert machine.ways("A", "timed_out") == (Way("D", None, "GROUP_2"),)


def test_a_group_is_asked_with_the_groups_around_it() -> None:
    machine = nested_saga()
    assert machine.ways("GROUP_1", "failed") == (Way("B", None, "GROUP_1"), Way("C", None, "GROUP_2"))
    assert machine.ways("GROUP_2", "failed") == (Way("C", None, "GROUP_2"),)


def test_there_is_no_way_on_what_nobody_wrote() -> None:
    machine = nested_saga()
    assert (machine.ways("A", "event:ignore"), machine.ways("C", "then"), machine.ways("nowhere", "then")) == (
        (),
        (),
        (),
    )
    assert ignore.name == "ignore"


def test_an_own_way_wins_over_the_groups() -> None:
    assert triggered(nested_saga(), "A", "event:reject", {is_urgent: True}) == "B"
    assert triggered(nested_saga(), "A", "event:reject", {is_urgent: False}) == "C"


def test_eight_threads_that_ask_at_once_get_the_same_answers() -> None:
    machine = nested_saga()
    asked = [(state, trigger) for state in machine.paths for trigger in machine.machine.events]
    expected = [machine.ways(*question) for question in asked]
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        together.wait()
        return all([machine.ways(*question) for question in asked] == expected for _ in range(200))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(8))) == [True] * 8


def test_the_library_logs_nothing_at_info(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        triggered(nested_saga(), "A", "then", {is_big: True})
        assert caplog.records == []
    with caplog.at_level(logging.INFO, logger="transitions"):  # which it would, if it were let
        triggered(nested_saga(), "A", "then", {is_big: True})
        assert {record.levelname for record in caplog.records} == {"INFO"}
