"""Approve and reject: one answer counts, and who comes too late reads who was first, and when."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from pydantic import RootModel

from saga_engine import errors
from saga_engine.domain.definition.facts import Approval, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import seconds
from saga_engine.runtime.engine import Engine
from saga_engine.store.inspect import OPEN_SHOWN
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import AN_HOUR, S
from tests.runtime.processes import Process, together
from tests.support.copies import copy, copying

RUNS = 200
"""Each is decided on by three people in as many processes at the same time."""
RACER = """
import json, sys, threading
from saga_engine import errors
from saga_engine.runtime.engine import Engine
from saga_engine.settings import Settings
from tests.runtime import plays
url, actor, how = sys.argv[1:4]
engine = Engine(sagas=[plays.gated()], settings=Settings(store=url, roles={"dba": ("ann", "bob", "cid", "dan")}))
decide = getattr(engine, how)
shown = {gate.run_id: gate.digest for gate in engine.approvals()}
print("ready", flush=True)
sys.stdin.readline()
for run in sorted(shown):
    try:
        reply = decide(run, shown=shown[run], actor=actor, reason="as planned")
        print(json.dumps([run, "won", reply.source, reply.state]))
    except errors.AlreadyDecided as late:
        print(json.dumps([run, "late", late.exit_code, str(late)]))
engine.close()
"""


def at_gate(engine: Engine, count: int = 1) -> list[str]:
    """Runs that wait at their gate."""
    ids = [engine.start("gated", {"n": number}).id for number in range(count)]
    engine.work(concurrency=16, until_idle=True)
    assert {engine.get(run).state for run in ids} == {"GATE"}
    return ids


def digest(engine: Engine, run: str) -> str:
    (gate,) = engine.approvals(run)
    return gate.digest


@pytest.mark.timeout(240)
def test_of_people_who_decide_at_once_one_wins_and_the_others_read_who_and_when(opened: Opened, made_url: str) -> None:
    engine = opened(plays.gated(notice=False))
    runs = at_gate(engine, RUNS)
    people = [("ann", "approve"), ("bob", "reject"), ("cid", "approve")]
    script = RACER.replace("plays.gated()", "plays.gated(notice=False)")
    said = together(*(Process(script, made_url, actor, how) for actor, how in people))
    answers = [
        (actor, how, *json.loads(line)) for (actor, how), lines in zip(people, said, strict=True) for line in lines
    ]
    won = {run: (actor, how) for actor, how, run, outcome, *_ in answers if outcome == "won"}
    assert Counter(outcome for _, _, _, outcome, *_ in answers) == {"won": RUNS, "late": 2 * RUNS}
    assert sorted(won) == sorted(runs)
    for actor, _, run, outcome, first, second in answers:
        state = "LAST" if won[run][1] == "approve" else "BACK"
        if outcome == "won":
            assert (first, second, engine.get(run).state) == ("GATE", state, state)
            continue
        winner, verdict = won[run][0], "approved" if won[run][1] == "approve" else "rejected"
        assert actor != winner
        assert first == 7
        assert re.fullmatch(
            rf"{run} was already {verdict} by {winner} at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC: as planned", second
        )
    for run in runs:
        kinds = [line.kind for line in engine.history(run)]
        assert kinds.count("VerdictGiven") == 1


def test_an_approval_leads_on_and_a_rejection_leads_back(opened: Opened) -> None:
    with plays.playing("") as play:
        engine = opened(plays.gated())
        yes, no = at_gate(engine, 2)
        assert engine.approve(yes, shown=digest(engine, yes), actor="ann", reason="fine").state == "LAST"
        assert engine.reject(no, shown=digest(engine, no), actor="bob").state == "BACK"
        engine.work(until_idle=True)
    assert [(engine.get(run).state, engine.get(run).status) for run in (yes, no)] == [
        ("DONE", "completed"),
        ("UNDONE", "rolled_back"),
    ]
    assert Counter(play.told) == {"one": 2, "tell": 2, "last": 1, "undo one": 1}


def test_the_gate_of_a_run_is_found_however_many_others_expire_before_it(opened: Opened, made_url: str) -> None:
    engine = opened(plays.gated(notice=False))
    (first,) = at_gate(engine)
    with copying(made_url) as db:
        copy(db, first, OPEN_SHOWN)
    runs = [line.id for line in engine.find(limit=1_000).items]
    assert [[gate.run_id for gate in engine.approvals(run)] for run in runs] == [[run] for run in runs]
    assert len(engine.approvals()) == OPEN_SHOWN < len(runs)


def test_a_verdict_on_something_else_than_what_was_shown_is_refused(opened: Opened) -> None:
    engine = opened(plays.gated())
    (run,) = at_gate(engine)
    before = engine.get(run)
    with pytest.raises(errors.Conflict, match="what you were shown is not what waits now"):
        engine.approve(run, shown="0" * 64, actor="ann")
    with pytest.raises(errors.NotInRole):
        engine.approve(run, shown=digest(engine, run), actor="mallory")
    assert engine.get(run) == before


def test_a_gate_can_be_decided_on_only_when_its_notice_was_given(opened: Opened) -> None:
    engine = opened(plays.gated())
    with plays.playing("p") as play:
        play.acts["tell"] = play.waits
        run = engine.start("gated", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            with pytest.raises(errors.Conflict, match="the gate is not open"):
                engine.approve(run, shown="0" * 64, actor="ann")
            assert engine.approvals(run) == []
            play.gate.set()


def test_a_gate_that_nobody_decides_on_widens_then_expires(opened: Opened) -> None:
    engine = opened(plays.gated(expires=seconds(0.6)))
    (run,) = at_gate(engine)
    (gate,) = engine.approvals(run)
    with working(engine):
        plays.until(lambda: engine.get(run).ended)
    assert (gate.roles, engine.get(run).status) == (("dba",), "rolled_back")
    kinds = [(line.kind, line.commands) for line in engine.history(run)]
    widened = [c for _, commands in kinds for c in commands if c["kind"] == "WidenGate"]
    closed = [c for _, commands in kinds for c in commands if c["kind"] == "CloseApproval"]
    assert (widened[0]["role"], closed[0]["outcome"]) == ("lead", "expired")
    with pytest.raises(errors.SagaError) as late:
        engine.approve(run, shown=gate.digest, actor="ann")
    assert late.value.exit_code == 7


def test_a_quorum_needs_so_many_people_each_once(opened: Opened) -> None:
    engine = opened(plays.gated(quorum=2))
    (run,) = at_gate(engine)
    shown = digest(engine, run)
    assert engine.approve(run, shown=shown, actor="ann").state == "GATE"
    with pytest.raises(errors.AlreadyDecided, match="already approved by ann"):
        engine.approve(run, shown=shown, actor="ann")
    assert engine.approvals(run)[0].have == 1
    assert engine.approve(run, shown=shown, actor="bob").state == "LAST"


class Rows(RootModel[list[int]]):
    """JSON that is no object."""


def counted(step: Step[Rows]) -> Rows:
    return step.input


def looked(step: Step[Rows]) -> None: ...


@pytest.mark.parametrize(("step", "shows"), [(counted, [2, 1]), (looked, None)])
def test_what_a_gate_shows_and_a_run_is_given_may_be_any_json(opened: Opened, step: Any, shows: object) -> None:
    made: Saga[S, Any] = Saga("any", version=1, states=S, input=Rows, start=S.ONE)
    made.at(S.ONE).run(step).reads_only().then(S.GATE)
    asked = Approval("dba", shows=step, expires=AN_HOUR)
    made.at(S.GATE).approval(asked).then(approved=S.DONE, rejected=S.DONE, expired=S.DONE)
    engine = opened(plays.finished(made), plays.gated(notice=False))
    run = engine.start(made, Rows([2, 1]))
    (other,) = at_gate(engine)
    assert (run.input, engine.get(run.id).input) == ([2, 1], [2, 1])
    assert {gate.run_id: gate.shows for gate in engine.approvals()} == {
        run.id: shows,
        other: {"n": 0, "text": ""},
    }
    assert engine.get(run.id).results == {"ONE": shows}
    assert engine.picture(run.id).run.results == {"ONE": shows}
    assert [reason.code for reason in engine.why(run.id).reasons] == ["W03"]
    engine.approve(run.id, shown=digest(engine, run.id), actor="ann")
    assert engine.get(run.id).state == "DONE"
