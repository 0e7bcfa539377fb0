"""A journal line as it is stored: short where a run goes its usual way, spelled out elsewhere, and never ambiguous."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.line import commands_of, commands_text, event_of, event_text
from saga_engine.domain.snapshot import OpenGate, Parked, Task
from saga_engine.domain.values import UndoStatus
from tests.domain.driver import START, drive
from tests.domain.sagas import Lines, S, back_one, one, two

AT = START
LATER = START + timedelta(seconds=1.5)
SUCCEEDED = e.ActionSucceeded("r.1", 1, "w1", '{"n":1}')


def steps(saga: Lines) -> None:
    saga.at(S.A).run(one).undo(back_one).then(S.B, failed=S.BACK)
    saga.at(S.B).run(two).reads_only().then(S.DONE, failed=S.BACK)


def test_a_run_that_goes_its_way_is_told_in_a_few_words() -> None:
    run = drive(steps)
    run.claim()
    run.succeeds('{"n":1}')
    run.claim()
    run.succeeds('{"n":2}')
    told = [
        (event_text("r", event), commands_text("r", number, AT, event, commands))
        for number, (event, commands) in enumerate(run.journal, start=1)
    ]
    assert told == [
        ('{"kind":"RunStarted","actor":"ann"}', '[["Move","A","start"],["Step",1],["Start"]]'),
        (
            '["Succeeded",".1","w1","{\\"n\\":1}"]',
            '[["Done","A","one",1],["Move","B","then"],["Step",2],["Start"]]',
        ),
        (
            '["Succeeded",".2","w1","{\\"n\\":2}"]',
            '[["Done","B","two",2],["Move","DONE","then"],{"kind":"Finish","status":"completed"}]',
        ),
    ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (e.ActionSucceeded("r.2.1", 3, "w1"), '["Succeeded",".2.1","w1","null",3]'),
        (e.ActionSucceeded("s.2", 1, "w1"), '["Succeeded","s.2","w1","null"]'),
        (
            e.ActionFailed("r.2", 1, "w1", "no"),
            '{"kind":"ActionFailed","task":".2","attempt":1,"incarnation":"w1","error":"no"}',
        ),
        (e.TimerFired("s.2", 2, "w1"), '{"kind":"TimerFired","task":"s.2","attempt":2,"incarnation":"w1"}'),
        (
            e.Reconciled("ann", "r.2", 1, "seen"),
            '{"kind":"Reconciled","actor":"ann","task":".2","attempt":1,"evidence":"seen"}',
        ),
        (e.CancelRequested("ann"), '{"kind":"CancelRequested","actor":"ann"}'),
    ],
)  # fmt: skip
def test_an_event_leaves_out_the_runs_id(event: e.Event, text: str) -> None:
    assert event_text("r", event) == text
    assert event_of("r", text) == event


def result(value: str = '{"n":1}', visit: int = 1) -> c.AddResult:
    return c.AddResult("A", visit, "one", value)


def undo(status: UndoStatus = "done", position: int = 1) -> c.SetUndo:
    return c.SetUndo(position, status)


def step(name: str = "r.2", visit: int = 1, position: int = 1) -> Task:
    return Task(name, "step", "B", visit, position)


PUSH = c.PushUndo(2, "B", 1, "r.2")
MOVE = c.Move("", "B", 1, "then")


@pytest.mark.parametrize(
    ("commands", "text"),
    [
        ((result(), undo(), c.CloseTask("r.1")), '[["Done","A","one",1]]'),
        ((result(visit=2), undo(), c.CloseTask("r.1")), '[["Done","A","one",1,2]]'),
        ((result(), c.CloseTask("r.1")), '[["Done","A","one"]]'),
        ((result(visit=2), c.CloseTask("r.1")), '[["Done","A","one",0,2]]'),
        ((c.Move("A", "B", 1, "then"),), '[["Move","B","then",1,"A"]]'),
        ((c.Move("", "B", 3, "then"),), '[["Move","B","then",3]]'),
        ((result(), c.CloseTask("r.1"), c.Move("A", "B", 1, "then")), '[["Done","A","one"],["Move","B","then"]]'),
        ((MOVE, c.AddTask(step()), PUSH), '[["Move","B","then"],["Step",2]]'),
        ((MOVE, c.AddTask(step())), '[["Move","B","then"],["Step"]]'),
        (
            (MOVE, c.AddTask(step()), c.OpenState("B"), c.SetDue("r.2", LATER)),
            '[["Move","B","then"],["Step"],["Start",1.5]]',
        ),
    ],
)
def test_what_comes_with_every_step_is_a_list(commands: tuple[c.Command, ...], text: str) -> None:
    assert commands_text("r", 2, AT, SUCCEEDED, commands) == text
    assert commands_of("r", 2, AT, SUCCEEDED, text) == commands


@pytest.mark.parametrize(
    "commands",
    [
        (result(), undo("sealed"), c.CloseTask("r.1")),
        (result(), undo()),
        (result(),),
        (result("null"), c.CloseTask("r.1")),
        (result(), c.CloseTask("r.9")),
        (c.AddTask(step()),),
        (MOVE, c.AddTask(step("r.2.1"))),
        (MOVE, c.AddTask(step(visit=2))),
        (MOVE, c.AddTask(step(position=2))),
        (MOVE, c.AddTask(Task("r.2", "timer", "B", 1, 0, due_at=LATER, outcome="timed_out"))),
        (MOVE, c.AddTask(step()), c.PushUndo(2, "B", 1, "r.1")),
        (c.OpenState("B"),),
        (MOVE, c.OpenState("B"), c.SetDue("r.1", LATER)),
        (MOVE, c.AddTask(step()), c.OpenState("A"), c.SetDue("r.2", LATER)),
        (MOVE, c.AddTask(step()), c.OpenState("B"), c.SetDue("r.2", None)),
        (MOVE, c.AddTask(step()), c.OpenState("B"), c.SetDue("r.2", LATER, 1)),
        (MOVE, c.AddTask(step()), c.OpenState("B"), c.SetDue("r.2", LATER, 0, "no")),
        (c.Park("r.1", Parked("W22", "no")), c.EndAttempt("r.1", "retry", LATER, 1, "no")),
        (c.OpenApproval(OpenGate("r.1", ("dba",), 2, "digest", "null", AT, LATER)),),
    ],
)
def test_what_is_another_way_is_spelled_out(commands: tuple[c.Command, ...]) -> None:
    text = commands_text("r", 2, AT, SUCCEEDED, commands)
    assert f'"kind":"{type(commands[-1]).__name__}"' in text
    assert '"r.' not in text
    assert commands_of("r", 2, AT, SUCCEEDED, text) == commands


def test_a_second_task_of_a_line_has_a_number_more() -> None:
    timer = Task("r.2", "timer", "A", 1, 0, due_at=LATER, outcome="timed_out")
    commands = (c.AddTask(timer), MOVE, c.AddTask(step("r.2.1")))
    text = commands_text("r", 2, AT, SUCCEEDED, commands)
    assert text.endswith('"outcome":"timed_out"}},["Move","B","then"],["Step"]]')
    assert commands_of("r", 2, AT, SUCCEEDED, text) == commands
