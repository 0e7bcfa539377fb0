"""A journal told again gives the run that is stored; what cannot be a line of it is said, and so is what differs."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from saga_engine.domain import events as e
from saga_engine.domain.commands import Command
from saga_engine.domain.evolve import APPLIED
from saga_engine.domain.frozen import replace
from saga_engine.domain.line import commands_text, event_text
from saga_engine.domain.replay import Replay, differences
from saga_engine.domain.snapshot import OpenGate, Snapshot, Task, Vote
from tests.domain.driver import START, Drive, drive
from tests.domain.sagas import Lines, S, back_one, one, two

LATER = timedelta(seconds=1)


def steps(saga: Lines) -> None:
    saga.at(S.A).run(one).undo(back_one).then(S.B, failed=S.BACK)
    saga.at(S.B).run(two).reads_only().then(S.DONE, failed=S.BACK)


def ended() -> Drive:
    run = drive(steps)
    run.claim()
    run.succeeds('{"n":1}')
    run.claim()
    run.succeeds('{"n":2}')
    assert run.run.ended
    return run


def lines(run: Drive) -> list[tuple[str, str]]:
    return [
        (event_text("r", event), commands_text("r", number + 1, START + number * LATER, event, commands))
        for number, (event, commands) in enumerate(run.journal)
    ]


def told(run: Drive) -> Replay:
    replay = Replay(run.run)
    for number, (event, commands) in enumerate(lines(run)):
        assert replay.line(START + number * LATER, event, commands) == ""
    return replay


def test_a_journal_told_again_gives_the_run_and_when_it_changed() -> None:
    run = ended()
    replay = told(run)
    assert list(differences(replay.run, run.run)) == []
    assert (replay.started_at, replay.entered_at, replay.updated_at, replay.ended_at) == (
        START, START + 2 * LATER, START + 2 * LATER, START + 2 * LATER,
    )  # fmt: skip


def test_a_run_in_the_middle_has_not_ended_and_its_leases_are_no_difference() -> None:
    run = drive(steps)
    run.claim()
    run.tell(e.PauseRequested("ann"))
    replay = told(run)
    assert list(differences(replay.run, run.run)) == []
    assert (replay.entered_at, replay.updated_at, replay.ended_at) == (START, START + LATER, None)


@pytest.mark.parametrize(
    ("event", "commands", "why"),
    [
        ("no json", "[]", "it is no line that this program has written (DecodeError)"),
        ('{"kind":"Unheard"}', "[]", "it is no line that this program has written (ValidationError)"),
        ('{"actor":"ann","kind":"RunStarted"}', "[]", "a run begins with RunStarted, once; this is RunStarted"),
        (
            '{"kind":"PauseRequested","actor":"ann"}',
            '[["Sat"]]',
            "it is no line that this program has written (KeyError)",
        ),
        (
            '{"kind":"PauseRequested","actor":"ann"}',
            '[{"kind":"Sat"}]',
            "it is no line that this program has written (ValidationError)",
        ),
        ('["Sat"]', "[]", "it is no line that this program has written (KeyError)"),
        ('["Succeeded"]', "[]", "it is no line that this program has written (TypeError)"),
    ],
)
def test_what_cannot_be_the_next_line_is_told(event: str, commands: str, why: str) -> None:
    assert told(drive(steps)).line(START, event, commands) == why


def test_a_run_begins_with_its_start_and_by_the_starter_of_its_row() -> None:
    run = drive(steps)
    (event, commands), *_ = lines(run)
    pause = event_text("r", e.PauseRequested("ann"))
    assert Replay(run.run).line(START, pause, "[]") == "a run begins with RunStarted, once; this is PauseRequested"
    other = replace(run.run, starter="bob")
    assert Replay(other).line(START, event, commands) == "the journal names another starter than the run's row"


def gate(*votes: Vote) -> OpenGate:
    return OpenGate("r.1", ("dba",), 2, "digest", "null", START, START + LATER, votes=votes)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"state": "B"}, "state is 'B', and 'DONE' by the journal"),
        ({"visits": {"A": 2}}, "visits is {'A': 2}, and {'A': 1, 'B': 1, 'DONE': 1} by the journal"),
        ({"results": ()}, "row 1 of 2 rows of its results is not what the journal says"),
        ({"undo": ()}, "row 1 of 2 rows of its undo is not what the journal says"),
        ({"gate": gate()}, "its open approval, or a verdict on it, is not what the journal says"),
        (
            {"tasks": (Task("r.9", "step", "A", 1, 1), Task("r.8", "step", "A", 1, 1))},
            "its open task r.8 is not what the journal says",
        ),
    ],
)
def test_a_row_that_is_not_what_the_journal_says_is_told(changed: dict[str, object], text: str) -> None:
    run = ended()
    stored: Snapshot = replace(run.run, **changed)  # type: ignore[arg-type]  # names of its fields
    assert list(differences(told(run).run, stored)) == [text]


def test_a_row_too_many_is_the_one_behind_the_last() -> None:
    run = ended()
    stored = replace(run.run, results=(*run.run.results, run.run.results[0]))
    assert list(differences(told(run).run, stored)) == ["row 3 of 2 rows of its results is not what the journal says"]


def test_votes_of_one_moment_have_no_order() -> None:
    run = ended().run
    ann, bob = Vote("ann", approved=True, reason="", at=START), Vote("bob", approved=True, reason="", at=START)
    assert list(differences(replace(run, gate=gate(ann, bob)), replace(run, gate=gate(bob, ann)))) == []
    assert list(differences(replace(run, gate=gate(ann, bob)), replace(run, gate=gate(bob)))) != []


def test_every_command_says_what_it_does_to_a_run() -> None:
    assert set(APPLIED) == set(get_args(Command))
