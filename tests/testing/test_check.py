"""The checker: silent about stories that can be, and loud about each one that cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace as with_
from datetime import timedelta
from typing import Any, Final

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Parked, Task
from saga_engine.ledger.evidence import Books, Head, PartRow
from saga_engine.store.entry import line_hash
from saga_engine.testing.check import RULES, Expected, Told, World, check
from saga_engine.testing.check.checker import ACKNOWLEDGED, UNREADABLE, WHOLE
from tests.testing.stories import CHART, Tale, asked, done, gone_back, paused, undone

TALES: Final = (asked, done, undone, gone_back, paused)
A: Final = "r.1"
"""The task of the step A, which promises an effect."""


def books(status: str = "open", *tokens: int, token: int = 2, part: str = "applied", task: str = A) -> dict[str, Books]:
    """A ledger in which A has written parts by the attempts *tokens*."""
    head = Head(task, token, 0 if status == "open" else 1, status)
    return {"dw": Books("u", (head,), tuple(PartRow(task, str(n), by, part) for n, by in enumerate(tokens)))}


def touched(tale: Tale) -> Tale:
    return tale.but(touched={A: {"dw": "u"}})


def without(kind: type[c.Command]) -> Callable[[c.Command], c.Command | None]:
    return lambda command: None if isinstance(command, kind) else command


def turned(kind: type[c.Command], **changes: Any) -> Callable[[c.Command], c.Command | None]:
    return lambda command: replace(command, **changes) if isinstance(command, kind) else command


def told(tale: Tale, number: int, **changes: Any) -> Tale:
    """The event of one line says something else."""
    return tale.with_line(number, event=replace(tale.said[number - 1][1], **changes))


# --- what can be


@pytest.mark.parametrize("tale", TALES, ids=lambda tale: tale.__name__)
def test_a_story_that_can_be_is_not_complained_of(tale: Callable[[], Tale]) -> None:
    assert check(tale().world(quiet=True)) == []


@pytest.mark.parametrize(
    ("tale", "ledger", "rows"),
    [(done, books("open", 1, 2), ["row"]), (undone, books("undone", 2, part="undone"), []), (asked, books("open"), [])],
)
def test_ledgers_and_rows_that_belong_to_the_story_are_not_complained_of(
    tale: Callable[[], Tale], ledger: dict[str, Books], rows: list[str]
) -> None:
    world = touched(tale()).world(
        ledgers=ledger, business={"r": rows}, model=lambda _story, _books: Expected(must=Counter(rows))
    )
    assert check(world) == []


@pytest.mark.parametrize("tale", [done, undone])
def test_a_ledger_that_was_pruned_may_have_lost_what_an_ended_run_wrote(tale: Callable[[], Tale]) -> None:
    assert check(touched(tale()).world(ledgers={"dw": Books("u")}, pruned=True)) == []
    assert check(touched(tale()).world(ledgers={"dw": Books("u")})) != []


def test_a_step_that_has_written_in_one_of_its_targets_needs_nothing_in_the_others() -> None:
    tale = done().but(touched={A: {"dw": "u", "other": "u"}})
    assert check(tale.world(ledgers={**books("open", 2), "other": Books("u")})) == []
    assert check(tale.world(ledgers={"other": Books("u")})) == []  # the books of dw are not at hand


def test_of_what_a_person_has_taken_over_no_ledger_is_asked() -> None:
    tale = undone()
    number = _undone_in(tale, 1)
    told = e.Resolved("bob", "I looked", done=True)
    parked = c.Park(tale.said[number - 1][1].task, Parked("W17", "no"))  # type: ignore[union-attr]
    at, failed, _ = tale.said[number - 1]
    said = (*tale.said[: number - 1], (at, failed, (parked,)), *tale.said[number - 1 :])
    story = with_(tale, said=said).with_line(number + 1, event=told)
    assert "effects once, or undone" not in {x.rule for x in check(touched(story).world(ledgers={"dw": Books("u")}))}
    assert "undo entries have their cause" not in {x.rule for x in check(story.world())}


def test_what_may_be_there_may_be_missing_too() -> None:
    def model(_story: object, _books: object) -> Expected:
        return Expected(may=Counter({"row": 1}))

    assert [check(done().world(business={"r": rows}, model=model)) for rows in ([], ["row"])] == [[], []]


def test_what_a_client_was_told_is_not_complained_of() -> None:
    tale = asked()
    _, sent, _ = tale.said[-1]
    assert isinstance(sent, e.EventReceived)
    log = [
        Told("r", e.RunStarted("ann"), "unknown"),
        Told("r", sent, "unknown"),
        Told("r", sent, "noted"),
        Told("r", e.CancelRequested("mal"), "refused"),
        Told("r", e.CancelRequested("eve"), "unknown"),
    ]
    assert check(tale.world(told=log)) == []


# --- what cannot be: for each rule, worlds that break it


def _left_out() -> World:
    tale = done()
    return tale.but(lines=(*tale.lines[:2], *tale.lines[3:])).world()


def _forged() -> World:
    tale = done()
    line = with_(tale.lines[1], event=tale.lines[1].event.replace("bad", "good"))
    return tale.but(lines=(tale.lines[0], line, *tale.lines[2:])).world()


def _cut_off() -> World:
    tale = done()
    return tale.but(lines=tale.lines[:-1]).world()


def _nonsense() -> World:
    tale = done()
    return tale.but(lines=(with_(tale.lines[0], commands='[{"kind":"Dance"}]'), *tale.lines[1:])).world()


def _back_past_the_pivot() -> World:
    tale = done()
    return tale.with_more(e.CancelRequested("bob"), c.Move("DONE", "BACK", 1, "cancel")).world()


def _first_started_first_undone() -> Tale:
    tale = undone()
    first = [
        (number, command)
        for number, (_, _, commands) in enumerate(tale.said, start=1)
        for command in commands
        if isinstance(command, c.AddTask) and command.task.kind == "undo"
    ]
    number, command = first[0]
    wrong = replace(command, task=replace(command.task, about=1, state="A"))
    return tale.with_commands(number, lambda one: wrong if one == command else one)


def _undone_in(tale: Tale, position: int) -> int:
    """The line in which an entry was undone."""
    return _line_with(tale, c.SetUndo(position, "undone"))


def _into(tale: Tale, state: str) -> int:
    """The line that moves into a state."""
    moves = [command for _, _, commands in tale.said for command in commands if isinstance(command, c.Move)]
    return _line_with(tale, next(move for move in moves if move.target == state))


def _line_with(tale: Tale, command: c.Command) -> int:
    return next(number for number, (_, _, commands) in enumerate(tale.said, start=1) if command in commands)


def _verdict(**changes: Any) -> World:
    tale = done()
    return told(tale, tale.line_of(e.VerdictGiven, 2), **changes).world()


def _approved_by_one() -> World:
    tale = asked()
    gate = tale.run.gate
    assert gate is not None
    vote = c.CountVote(gate.task, done().said[done().line_of(e.VerdictGiven) - 1][2][0].vote)  # type: ignore[union-attr]
    said = e.VerdictGiven(True, gate.digest, "bob", ("dba",))
    return tale.with_more(said, vote, c.CloseApproval(gate.task, "approved")).world()


def _moved_while_paused() -> World:
    tale = paused()
    number = len(tale.said)
    went = (c.NoteEvent(number, "defer", "api", None, "taken"), c.AddResult("B", 1, "event:defer", "{}"))
    return tale.with_line(number, commands=went).world()


def _due_while_paused() -> World:
    tale = paused()
    task = Task(f"r.{len(tale.said) + 1}", "timer", "B", 1, 0, due_at=tale.said[-1][0])
    return tale.with_more(e.CancelRequested("bob"), c.AddTask(task)).world()


def _twice() -> World:
    tale = asked()
    _, event, _ = tale.said[-1]
    return tale.with_more(event, c.NoteEvent(len(tale.said) + 1, "defer", "api", "k", "ignored")).world()


def _too_early() -> World:
    tale = done()
    return tale.with_line(3, at=tale.said[1][0] + timedelta(milliseconds=2)).world()


def _open(*tasks: Task, **run: Any) -> World:
    return done().with_run(tasks=tasks, **run).world()


def _leased(quiet: bool) -> World:
    tale = asked()
    tasks = (*tale.run.tasks, Task("r.9", "entering", "B", 1, 9, attempt=1, leased_by="w"))
    holders = {"w": tale.said[-1][0]} if quiet else {}
    return tale.with_run(tasks=tasks).but(holders=holders).world(quiet=quiet)


def _model(*rows: str, must: tuple[str, ...] = ()) -> World:
    return done().world(business={"r": rows}, model=lambda _story, _books: Expected(must=Counter(must)))


def _acknowledged(answer: Any, request: Any = None) -> World:
    return asked().world(told=[Told("r", request or e.CancelRequested("bob"), answer)])


BROKEN: Final[dict[str, list[Callable[[], World]]]] = {
    WHOLE: [_left_out, _forged, _cut_off, lambda: done().but(lines=()).world()],
    UNREADABLE: [_nonsense],
    ACKNOWLEDGED: [
        lambda: _acknowledged("recorded"),
        lambda: _acknowledged("refused", asked().said[1][1]),
        lambda: World({}, told=[Told("r", e.RunStarted("ann"), "recorded")]),
    ],
    "the journal explains what is stored": [
        lambda: done().with_run(state="A").world(),
        lambda: asked().with_run(inbox=()).world(),
        lambda: asked().with_run(gate=None).world(),
    ],
    "names are used once": [
        lambda: done().with_more(e.RetryRequested("bob"), c.AddTask(Task("r.1", "step", "A", 1, 1))).world(),
        lambda: done().with_more(e.RetryRequested("bob"), c.AddTask(Task("r.77", "step", "A", 1, 1))).world(),
    ],
    "moves are ways of the definition": [
        lambda: done().with_commands(3, turned(c.Move, target="D")).world(),
        lambda: done().with_commands(3, turned(c.Move, source="C")).world(),
        lambda: done().with_commands(3, turned(c.Move, visit=2)).world(),
        _back_past_the_pivot,
    ],
    "budgets hold": [lambda: done().world(budget=Budget(transitions=2))],
    "tasks are queued in order": [
        lambda: done().with_commands(1, without(c.PushUndo)).world(),
        lambda: done().with_commands(3, without(c.AddTask)).world(),
    ],
    "what has ended stays": [
        lambda: done().with_more(e.RetryRequested("bob"), c.AddResult("D", 1, "two", '{"n":3}')).world()
    ],
    "undos are the reverse of the starts": [lambda: _first_started_first_undone().world()],
    "a rollback goes as far back as was asked": [
        lambda: gone_back().with_commands(len(gone_back().said), without(c.SetUndo)).world()
    ],
    "undo entries change once": [
        lambda: undone().with_more(e.RetryRequested("bob"), c.SetUndo(1, "done")).world(),
        lambda: done().with_more(e.RetryRequested("bob"), c.SetUndo(1, "undone")).world(),
    ],
    "nothing goes back past a pivot": [lambda: done().with_commands(len(done().said), without(c.SetUndo)).world()],
    "moves have their cause": [
        lambda: done().with_line(3, event=e.ActionFailed(A, 2, "w1", "E")).world(),
        lambda: done().with_commands(3, turned(c.Move, target="BACK", because="failed")).world(),
        lambda: done().with_commands(3, turned(c.Move, target="BACK", because="cancel")).world(),
        lambda: done().with_commands(3, turned(c.Move, target="BACK", because="rollback")).world(),
        lambda: done().with_line(1, event=e.RetryRequested("ann")).world(),
        lambda: done().with_commands(_into(done(), "D"), turned(c.Move, target="BACK", because="event:defer")).world(),
        lambda: told(done(), 3, task="r.3.1").world(),
        lambda: undone().with_line(undone().line_of(e.CancelRequested), event=e.RetryRequested("bob")).world(),
        lambda: undone().with_commands(_undone_in(undone(), 1), without(c.SetUndo)).world(),
    ],
    "undo entries have their cause": [
        lambda: undone().with_line(_undone_in(undone(), 1), event=e.RetryRequested("bob")).world(),
        lambda: undone().with_line(_undone_in(undone(), 1), event=e.Resolved("bob", "I looked", done=True)).world(),
        lambda: told(undone(), _undone_in(undone(), 1), task="r.99").world(),
        lambda: asked().with_more(e.PauseRequested("bob"), c.SetUndo(1, "undone")).world(),
        lambda: done().with_line(3, event=e.ActionFailed(A, 2, "w1", "E")).world(),
        lambda: done().with_line(len(done().said), event=e.RetryRequested("bob")).world(),
        lambda: asked().with_more(e.RetryRequested("bob"), c.SetUndo(1, "skipped")).world(),
    ],
    "what was rolled back is undone": [
        lambda: undone().with_run(undo=tuple(replace(entry, status="done") for entry in undone().run.undo)).world()
    ],
    "results are of what stands": [
        lambda: done().with_run(results=(*done().run.results, done().run.results[0])).world(),
        lambda: undone().with_run(results=tuple(replace(x, undone=False) for x in undone().run.results)).world(),
    ],
    "work is done in turn": [lambda: told(done(), 4, task="r.3.1").world()],
    "reports are fenced": [
        lambda: told(done(), 3, attempt=1).world(),
        lambda: told(done(), 3, task="r.8").world(),
        lambda: told(done(), 2, incarnation="other").with_more(e.ActionFailed(A, 1, "w1", "E")).world(),
    ],
    "nothing happens before it is due": [_too_early],
    "failures are counted": [
        lambda: done().with_commands(2, turned(c.SetDue, failures=0)).world(),
        lambda: done().with_commands(2, turned(c.SetDue, due_at=done().said[1][0])).world(),
    ],
    "crashes are counted": [
        lambda: asked().but(crashes={asked().run.tasks[0].name: 9}).world(),
        lambda: told(done().with_line(2, event=e.AttemptLost(A, 1, "w1", 3, True, "somebody")), 2).world(),
    ],
    "a pause holds": [_moved_while_paused, _due_while_paused],
    "events are consumed once": [
        lambda: asked().with_commands(len(asked().said), without(c.KeepEvent)).world(),
        lambda: asked().with_more(e.CancelRequested("bob"), c.TakeEvent(len(asked().said), "ended")).world(),
    ],
    "the inbox tells the same": [lambda: asked().but(inbox=()).world()],
    "an event key counts once": [_twice],
    "verdicts are right": [
        lambda: _verdict(digest="of something else"),
        lambda: _verdict(roles=("lead",)),
        lambda: _verdict(actor="mal"),
        lambda: done().with_commands(done().line_of(e.VerdictGiven), without(c.CountVote)).world(),
    ],
    "gates close as they were voted": [
        _approved_by_one,
        lambda: (
            done().with_commands(done().line_of(e.VerdictGiven, 2), turned(c.CloseApproval, outcome="rejected")).world()
        ),
        lambda: (
            asked()
            .with_commands(
                5, lambda x: replace(x, gate=replace(x.gate, digest="0")) if isinstance(x, c.OpenApproval) else x
            )
            .world()
        ),
    ],
    "gates are stored as voted": [lambda: done().but(gates=()).world()],
    "a live run waits for something": [
        lambda: asked().with_run(tasks=()).world(),
        lambda: asked().with_run(status="running").world(),
    ],
    "only the head of the line is due": [
        lambda: _open(Task("r.8", "step", "A", 1, 1), Task("r.8.1", "step", "A", 1, 2, attempt=1), status="running"),
        lambda: _open(Task("r.8", "step", "A", 1, 1), Task("r.8.1", "step", "A", 1, 1), status="running"),
    ],
    "what stands beside the line belongs there": [
        lambda: _open(Task("r.8", "timer", "A", 1, 0, outcome="timed_out")),
        lambda: asked().with_run(tasks=tuple(x for x in asked().run.tasks if x.outcome != "forget")).world(),
        lambda: asked().with_run(state="C").world(),
    ],
    "an ended run waits for nothing": [lambda: _open(Task("r.8", "step", "A", 1, 1))],
    "tasks are held by the living": [lambda: _leased(quiet=False), lambda: _leased(quiet=True)],
    "touched targets are known": [
        lambda: done().world(ledgers=books()),
        lambda: done().but(touched={A: {"dw": "another"}}).world(ledgers=books()),
        lambda: done().world(ledgers={"dw": Books("u", (), (PartRow(A, "", 1, "applied"),))}),
    ],
    "effects once, or undone": [
        lambda: touched(done()).world(ledgers=books("undone")),
        lambda: touched(undone()).world(ledgers=books("open", 2)),
        lambda: touched(undone()).world(ledgers=books("undone", 2)),
        lambda: touched(done()).world(ledgers=books("open", 2, part="intended")),
        lambda: touched(done()).world(ledgers={"dw": Books("u")}),
        lambda: touched(done()).world(ledgers={"dw": Books(None)}),
        lambda: touched(undone()).world(ledgers={"dw": Books("u")}),
        lambda: (
            undone()
            .but(touched={A: {"dw": "u", "other": "u"}})
            .world(ledgers={**books("undone", 2, part="undone"), "other": Books("u")})
        ),
    ],
    "no write by an older attempt": [
        lambda: touched(done()).world(ledgers=books("open", 2, 1)),
        lambda: touched(done()).world(ledgers=books("open", 3)),
        lambda: touched(done()).world(ledgers=books("open", 3, token=3)),
    ],
    "business rows are the model's": [
        lambda: _model("row", "row", must=("row",)),
        lambda: _model(must=("row",)),
        lambda: _model("row"),
    ],
}


def test_every_rule_has_a_world_that_breaks_it() -> None:
    assert BROKEN.keys() == {*RULES, WHOLE, UNREADABLE, ACKNOWLEDGED}


CASES: Final = [
    pytest.param(rule, broken, id=f"{rule} {number}")
    for rule, worlds in BROKEN.items()
    for number, broken in enumerate(worlds)
]


@pytest.mark.parametrize(("rule", "broken"), CASES)
def test_what_cannot_be_is_found(rule: str, broken: Callable[[], World]) -> None:
    found = check(broken())
    assert rule in {violation.rule for violation in found}, found
    assert {violation.run for violation in found} == {"r"}
    assert all(violation.evidence for violation in found)


def test_where_the_clock_was_set_back_nothing_is_said_of_what_came_too_early() -> None:
    assert check(with_(_too_early(), steady=False)) == []


def test_a_line_that_was_forged_together_with_its_hash_is_found_by_the_next() -> None:
    tale = done()
    first, line = tale.lines[:2]
    event = line.event.replace("bad", "good")
    forged = with_(line, event=event, hash=line_hash(first.hash, 2, line.at, event, line.commands))
    found = check(tale.but(lines=(first, forged, *tale.lines[2:])).world())
    assert [violation.evidence for violation in found] == [f"line 3 of {len(tale.lines)} cannot be true"]


def test_a_violation_reads_as_one_line() -> None:
    [violation] = check(World({}, told=[Told("r", e.RunStarted("ann"), "recorded")]))
    assert str(violation) == (
        'what was acknowledged is kept: run r: of {"actor":"ann","kind":"RunStarted"} the client was told: 1 recorded; '
        "the history has it 0 times"
    )


def test_the_saga_of_these_stories_is_whole() -> None:
    assert CHART.start == "A"
