"""A saga made ready: what guards and steps read of a run, what a run is pinned to, and how the journal is written."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_args

import pytest
from msgspec import to_builtins

from saga_engine.domain import codec
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget, Chart, Recorded, source_of
from saga_engine.domain.definition.facts import Facts
from saga_engine.domain.definition.values import Retry, hours
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot
from saga_engine.errors import NoResult
from tests.domain.driver import CANCEL, PAUSE, RESUME, RETRY, Drive, drive
from tests.domain.sagas import (
    NINE,
    ONE,
    Input,
    Lines,
    Note,
    S,
    Value,
    back_one,
    bye,
    charted,
    defer,
    gate,
    hello,
    is_big,
    nothing,
    one,
    probe_nothing,
    reject,
    two,
)

asked = gate()


def everything(saga: Lines) -> None:
    (
        saga.at(S.A, entering=hello, leaving=bye, visits=7)
        .run(one, retry=Retry(3), timeout=hours(1), deadline=hours(2), heartbeat=hours(0.5), promise="effect")
        .undo(back_one)
        .on(defer, S.D)
        .when(is_big, S.B)
        .then(S.B, failed=S.BACK, timed_out=S.BACK)
    )
    saga.at(S.B).approval(asked).on(reject, S.A).then(approved=S.C, rejected=S.BACK, expired=S.BACK)
    saga.at(S.C).run(nothing).verified(probe_nothing).pivot().then(S.D)
    saga.at(S.D).wait(reject, deadline=hours(1)).then(S.DONE, timed_out=S.DONE)
    saga.group(S.A, S.B, deadline=hours(9)).on(defer, S.BACK).then(failed=S.BACK)


def facts(run: Drive) -> Facts[Input]:
    return run.chart.facts(run.run)


# --- what user code reads


def test_facts_are_the_input_and_the_newest_result_of_what_the_table_was_written_with() -> None:
    run = Drive(charted(everything), input='{"limit":3}')
    assert (facts(run).input, facts(run).find(one), facts(run).find(defer)) == (Input(limit=3), None, None)
    run.succeeds()
    run.succeeds(NINE)
    run.succeeds()
    run.approve("bob", "looks good")
    assert facts(run).of(one) == Value(n=9)
    assert (facts(run).of(asked).actors, facts(run).of(asked).reason) == (("bob",), "looks good")
    run.succeeds()
    run.send("reject", '{"text":"enough"}')
    assert facts(run).of(reject) == Note(text="enough")


@pytest.mark.parametrize(("source", "name"), [(one, "one"), (reject, "reject"), (two, "two")])
def test_asking_for_what_never_ran_tells_its_name(source: Any, name: str) -> None:
    with pytest.raises(NoResult, match=f"There is no result of {name} in this run"):
        facts(drive(everything)).of(source)


def test_asking_for_the_result_of_a_step_that_returns_nothing_is_refused_and_found_to_be_none() -> None:
    run = drive(lambda saga: saga.at(S.A).run(nothing).then(S.B))
    run.succeeds()
    assert facts(run).find(nothing) is None
    with pytest.raises(NoResult, match="no result of nothing"):
        facts(run).of(nothing)


def test_what_has_no_name_is_told_as_it_is() -> None:
    with pytest.raises(NoResult, match="no result of 7 in this run"):
        facts(drive(everything)).of(7)  # type: ignore[call-overload]  # the types say so first


def test_the_newest_result_that_is_not_undone_counts() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).when(is_big, S.B).then(S.A)
        saga.at(S.B).run(two).then(S.DONE)

    run = drive(write)
    for value in (ONE, '{"n":2}', NINE):
        run.succeeds(value)
    assert facts(run).of(one) == Value(n=9)
    last = replace(run.run.results[-1], undone=True)
    undone = replace(run.run, results=(*run.run.results[:-1], last))
    assert Recorded(run.chart, undone).newest(one) == Value(n=2)


def test_of_several_in_one_decision_the_last_is_the_newest() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).wait(defer, deadline=hours(1)).then(S.C, timed_out=S.D)
        saga.at(S.C).wait(defer, deadline=hours(1)).then(S.D, timed_out=S.D)
        saga.at(S.D).run(two).then(S.DONE)

    run = drive(write)
    run.send("defer", '{"text":"first"}')
    run.send("defer", '{"text":"second"}')
    run.succeeds(ONE)
    assert facts(run).of(defer) == Note(text="second")


def test_an_approval_of_two_states_gives_the_newest_verdict() -> None:
    twice = gate()

    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).approval(twice).then(approved=S.C, rejected=S.D, expired=S.D)
        saga.at(S.C).approval(twice).then(approved=S.DONE, rejected=S.D, expired=S.D)

    run = drive(write)
    run.succeeds(ONE)
    run.approve("bob")
    assert facts(run).of(twice).actors == ("bob",)
    run.approve("cid")
    assert facts(run).of(twice).actors == ("cid",)


def test_what_comes_of_a_state_is_stored_under_a_name_of_its_own() -> None:
    chart = charted(everything)
    assert [source_of(chart, state) for state in ("A", "B", "C", "D")] == [
        "one",
        "verdict:B",
        "nothing",
        "event:reject",
    ]


# --- what a run is pinned to


def test_the_spec_is_the_table_as_canonical_json() -> None:
    chart = charted(everything)
    told = json.loads(chart.spec)
    assert chart.spec == json.dumps(told, sort_keys=True, separators=(",", ":"))
    assert (told["name"], told["version"], told["start"]) == ("t", 1, "A")
    assert told["input"]["properties"] == {"limit": {"default": 0, "type": "integer"}}
    a = told["states"]["A"]
    # Titles and docstrings are for people: mending one must not strand the runs in flight.
    assert set(a.pop("activity").pop("result")) == {"additionalProperties", "properties", "type"}
    assert a == {
        "entering": "hello",
        "leaving": "bye",
        "visits": 7,
        "edges": [
            ["event:defer", "D", None],
            ["then", "B", "is_big"],
            ["then", "B", None],
            ["failed", "BACK", None],
            ["timed_out", "BACK", None],
        ],
    }
    assert told["groups"] == {
        "GROUP_1": {
            "members": ["A", "B"],
            "deadline": 32400.0,
            "edges": [["event:defer", "BACK", None], ["failed", "BACK", None]],
        }
    }


def test_the_spec_tells_what_each_state_does() -> None:
    states = json.loads(charted(everything).spec)["states"]
    activities = {name: states[name]["activity"] for name in ("A", "B", "C", "D", "BACK", "DONE")}
    del activities["A"]["result"], activities["D"]["payload"]
    assert activities == {
        "A": {
            "kind": "run",
            "work": "one",
            "attempts": 3,
            "timeout": 3600.0,
            "deadline": 7200.0,
            "heartbeat": 1800.0,
            "promise": "effect",
            "safety": "undone",
            "undo": "back_one",
            "isolation": "thread",
        },
        "B": {
            "kind": "gate",
            "role": "dba",
            "quorum": 1,
            "expires": 86400.0,
            "shows": "one",
            "not_starter": False,
            "escalate": None,
        },
        "C": {
            "kind": "run",
            "work": "nothing",
            "result": None,
            "attempts": 1,
            "timeout": None,
            "deadline": None,
            "heartbeat": None,
            "promise": "verified",
            "safety": "pivot",
            "undo": None,
            "isolation": "thread",
        },
        "D": {"kind": "wait", "event": "reject", "deadline": 3600.0},
        "BACK": {"kind": "rolls_back"},
        "DONE": {"kind": "end", "outcome": "completed"},
    }


def test_the_digest_changes_with_the_table_and_not_with_the_code() -> None:
    def visits(most: int) -> Chart:
        return charted(lambda saga: saga.at(S.A, visits=most).run(one).then(S.B))

    assert visits(1).digest == visits(1).digest != visits(2).digest
    assert len(visits(1).digest) == 64


def test_an_escalation_is_part_of_what_a_run_is_pinned_to() -> None:
    def write(saga: Lines) -> None:
        asks = saga.at(S.A).approval(gate(escalate=("lead", hours(2))))
        asks.then(approved=S.B, rejected=S.B, expired=S.B)

    assert json.loads(charted(write).spec)["states"]["A"]["activity"]["escalate"] == ["lead", 7200.0]


def test_the_budget_of_a_run_is_that_of_the_semantics() -> None:
    assert [getattr(Budget(), field.name) for field in fields(Budget)][:-1] == [10_000, 100, 1_000, hours(24 * 7), 3]


def test_a_snapshot_knows_its_tasks_and_entries_by_name() -> None:
    run = drive(everything).run
    assert [run.task(name) for name in ("r.1", "nobody")] == [run.tasks[0], None]
    assert [run.entry(name) for name in ("r.1.1", "r.1")] == [run.undo[0], None]
    assert Snapshot("r", "t", 1, "d", "{}", "ann").head() is None


# --- the journal's text


def long_story() -> Drive:
    """A run to which much happens."""
    run = drive(everything)
    run.claim()
    run.fails()
    run.tell(RETRY)
    run.send("defer")
    run.tell(PAUSE)
    run.tell(RESUME)
    run.succeeds()
    run.tell(CANCEL)
    run.succeeds()
    return run


def test_what_is_told_in_full_reads_back_as_what_it_was() -> None:
    for event, commands in long_story().journal:
        assert codec.load_event(codec.dump(event)) == event
        assert all(codec.load_commands(json.dumps([to_builtins(command)])) == (command,) for command in commands)


def test_an_event_is_canonical_json_without_defaults() -> None:
    given = e.VerdictGiven(approved=True, digest="d", actor="bob", roles=("dba",))
    assert codec.dump(given) == '{"actor":"bob","approved":true,"digest":"d","kind":"VerdictGiven","roles":["dba"]}'


def test_every_kind_of_event_and_command_has_a_name_of_its_own() -> None:
    kinds = [cls.__name__ for cls in (*get_args(e.Event), *get_args(c.Command))]
    assert len(set(kinds)) == len(kinds) == 16 + 23
    assert codec.load_event(codec.dump(CANCEL)) == CANCEL
