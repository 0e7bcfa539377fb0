"""What is refused while a saga is written, and when it is charted: by name, and with what to do."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.facts import Approval, Step
from saga_engine.domain.definition.functions import is_async, named, result_model, takes_facts
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event, Outcome, hours, minutes, seconds
from saga_engine.errors import DefinitionError
from tests.domain.sagas import (
    Input,
    Lines,
    Note,
    S,
    Value,
    back_one,
    charted,
    gate,
    hello,
    is_big,
    is_over,
    nothing,
    one,
    reject,
    two,
)


class Other(Enum):
    A = auto()


class Grouped(Enum):
    A = auto()
    GROUP_1 = auto()


async def slow(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


def maybe(step: Step[Input]) -> Value | None: ...


def untyped(step):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  that is the mistake
    ...


def text(step: Step[Input]) -> str: ...  # type: ignore[empty-body]  # never called


def dangling(step: Step[Input]) -> Missing: ...  # type: ignore[name-defined]  # noqa: F821  that is the mistake


class Callme:
    def __call__(self) -> None: ...


def make_saga() -> Lines:
    return Saga("t", version=1, states=S, input=Input, start=S.A)


def refused(write: Callable[[Lines], Any]) -> str:
    with pytest.raises(DefinitionError) as caught:
        write(make_saga())
    assert caught.value.exit_code == 6
    return str(caught.value)


def not_charted(write: Callable[[Lines], None]) -> str:
    with pytest.raises(DefinitionError) as caught:
        charted(write)
    return str(caught.value)


# --- functions


def test_a_functions_name_is_what_rows_and_journal_use() -> None:
    assert (named(one), named(Approval.__init__)) == ("one", "Approval.__init__")


@pytest.mark.parametrize("nameless", [lambda: None, partial(one), Callme()])
def test_what_has_no_name_of_its_own_is_refused(nameless: Callable[..., object]) -> None:
    with pytest.raises(DefinitionError, match="give it a name with `def` at module level"):
        named(nameless)


def test_a_step_returns_one_model_or_nothing() -> None:
    assert [result_model(work) for work in (one, slow, nothing)] == [Value, Value, None]


@pytest.mark.parametrize("work", [maybe, untyped, text])
def test_a_step_that_may_return_anything_else_is_refused(work: Callable[..., object]) -> None:
    with pytest.raises(DefinitionError, match="annotate the result with one pydantic model or None, not"):
        result_model(work)


def test_a_model_that_is_not_at_module_level_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"dangling: name 'Missing' is not defined; the models of a step"):
        result_model(dangling)


def test_guards_take_the_result_or_the_result_and_the_facts() -> None:
    assert (takes_facts(is_big), takes_facts(is_over)) == (False, True)


def test_a_step_may_be_async() -> None:
    assert (is_async(one), is_async(slow)) == (False, True)


# --- the saga


@pytest.mark.parametrize("name", ["", "two words", "1st", "a-b", "a/b"])
def test_a_saga_is_named_so_that_run_names_can_be_built_from_it(name: str) -> None:
    with pytest.raises(DefinitionError, match="name a saga with letters, digits and _ only"):
        Saga(name, version=1, states=S, input=Input, start=S.A)


def test_versions_count_from_one() -> None:
    with pytest.raises(DefinitionError, match="t: versions count from 1"):
        Saga("t", version=0, states=S, input=Input, start=S.A)


def test_a_chain_without_then_leaves_no_trace_and_is_named_when_charted() -> None:
    saga = make_saga()
    saga.at(S.A).run(one).reads_only()
    assert saga.rows == {}
    saga.final(*(state for state in S if state is not S.A))
    with pytest.raises(DefinitionError, match=r"t: no line in the table for A, or its line lacks `\.then`"):
        Chart(saga)


def test_the_words_of_a_chain_never_change_what_came_before() -> None:
    saga = make_saga()
    base = saga.at(S.A).run(one)
    base.on(reject, S.B)
    base.then(S.C)
    assert [edge.trigger for edge in saga.rows[S.A].edges] == ["then"]


def test_a_state_is_written_once() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.A).run(two).then(S.B)

    assert refused(write) == "A is written twice in t: join the two lines"


def test_one_function_is_the_step_of_one_state() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(one).then(S.C)

    assert refused(write) == (
        "one is the step of A and of B: its result would be ambiguous; write a second function that calls the first"
    )


def test_notices_guards_and_undos_may_be_shared() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A, entering=hello, leaving=hello).run(one).undo(back_one).when(is_big, S.C).then(S.B)
        saga.at(S.B, entering=hello, leaving=hello).run(two).undo(back_one).when(is_big, S.C).then(S.C)

    assert set(charted(write).rows) == {state.name for state in S}


def test_a_state_is_one_of_the_saga() -> None:
    text = "<Other.A: 1> is not a state of t"
    with pytest.raises(DefinitionError, match=text):
        Saga("t", version=1, states=S, input=Input, start=Other.A)
    assert refused(lambda saga: saga.final(Other.A)) == text  # type: ignore[arg-type]  # the mistake
    assert refused(lambda saga: saga.group(Other.A).then()) == text  # type: ignore[arg-type]  # the mistake
    assert refused(lambda saga: saga.at(S.A).run(one).then(Other.A)) == text  # type: ignore[arg-type]  # the mistake
    assert refused(lambda saga: saga.group(S.A).then(failed=Other.A)) == text  # type: ignore[arg-type]  # the mistake


NAMELESS: Any = partial(one)


NAMELESS_PLACES: dict[str, Callable[[Lines], object]] = {
    "run": lambda saga: saga.at(S.A).run(NAMELESS),
    "entering": lambda saga: saga.at(S.A, entering=NAMELESS).run(one).then(S.B),
    "leaving": lambda saga: saga.at(S.A, leaving=NAMELESS).run(one).then(S.B),
    "final": lambda saga: saga.final(S.A, entering=NAMELESS),
    "undo": lambda saga: saga.at(S.A).run(one).undo(NAMELESS),
    "verify": lambda saga: saga.at(S.A).run(one).undo(back_one, verify=NAMELESS),
    "verified": lambda saga: saga.at(S.A).run(one).verified(NAMELESS),
    "when": lambda saga: saga.at(S.A).run(one).when(NAMELESS, S.B).then(S.C),
    "on": lambda saga: saga.at(S.A).run(one).on(reject, S.B, when=NAMELESS).then(S.C),
    "group": lambda saga: saga.group(S.A).on(reject, S.B, when=NAMELESS).then(),
    "shows": lambda saga: saga.at(S.A).approval(Approval("dba", shows=NAMELESS, expires=hours(1))),
}


@pytest.mark.parametrize("place", NAMELESS_PLACES)
def test_every_function_of_a_table_has_a_name(place: str) -> None:
    assert "give it a name with `def` at module level" in refused(NAMELESS_PLACES[place])


def test_only_a_step_can_be_undone() -> None:
    """The types say so first; this is for who does not ask them."""
    broken = make_saga().at(S.A).run(one)
    broken._row = make_saga().at(S.A).wait(reject, deadline=hours(1))._row
    with pytest.raises(DefinitionError, match="A: only a step can be undone"):
        broken.reads_only()


# --- groups


def test_a_group_has_members() -> None:
    assert refused(lambda saga: saga.group()) == "t: a group without members says nothing"


def test_groups_are_nested_or_apart() -> None:
    def write(saga: Lines) -> None:
        saga.group(S.A, S.B).then()
        saga.group(S.C).then()
        saga.group(S.B, S.C).then()

    assert refused(write) == "GROUP_1 shares only some members with another group: nest one in the other"


def test_a_group_is_written_once() -> None:
    def write(saga: Lines) -> None:
        saga.group(S.A, S.B).then()
        saga.group(S.B, S.A).then()

    assert refused(write) == "GROUP_1 has the same members as another group: join the two lines"


def test_a_state_is_not_called_as_a_group_is() -> None:
    saga = Saga("t", version=1, states=Grouped, input=Input, start=Grouped.A)
    with pytest.raises(DefinitionError, match="GROUP_1 is the engine's own name for a group: call the state something"):
        saga.group(Grouped.A).then()


# --- charted


def test_a_state_that_rolls_back_has_one_way_out() -> None:
    def in_a_group(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.rolls_back(S.BACK).to(S.UNDONE)
        saga.group(S.A, S.BACK).then()

    def by_event(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.rolls_back(S.BACK).on(reject, S.B).to(S.UNDONE)

    text = (
        "t: BACK undoes what the run did, and .to(…) is its only way out: "
        "give it no .on(…), and take it out of the group"
    )
    assert (not_charted(in_a_group), not_charted(by_event)) == (text, text)


def test_a_gate_asks_somebody() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).approval(gate(quorum=0)).then(approved=S.B, rejected=S.B, expired=S.B)

    assert not_charted(write) == "t: the approval of A needs a quorum of at least one person"


def test_two_events_of_one_name_are_refused() -> None:
    twin = Event("reject", Note, unhandled="ignore")

    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).on(reject, S.B).then(S.B)
        saga.at(S.B).wait(twin, deadline=hours(1)).then(S.C, timed_out=S.C)

    assert not_charted(write) == "t: two events are called reject; write one value and use it twice"


def test_two_steps_of_one_name_are_refused() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(elsewhere.one).then(S.C)

    assert not_charted(write) == "t: two steps are called one; results are stored by name"


class elsewhere:  # noqa: N801  stands for a module
    @staticmethod
    def one(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # never called


elsewhere.one.__qualname__ = "one"


def test_lengths_of_time() -> None:
    assert [length.total_seconds() for length in (seconds(1.5), minutes(2), hours(3))] == [1.5, 120, 10800]


def test_an_undo_may_be_for_a_step_that_returns_nothing() -> None:
    def forget(step: Step[Input], was: Outcome[None]) -> None: ...

    forget.__qualname__ = "forget"
    row = charted(lambda saga: saga.at(S.A).run(nothing).undo(forget).then(S.B)).run_of("A")
    assert (row.undo is not None and row.undo.work is forget, row.safety, row.result) == (True, "undone", None)


def test_models_are_frozen_and_refuse_what_they_do_not_know() -> None:
    assert issubclass(Input, BaseModel)
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Input.model_validate({"limits": 1})
