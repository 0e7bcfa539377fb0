"""The human gate: when it opens, who may answer, what closes it, and what a late answer is told."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.definition.facts import Approval
from saga_engine.domain.definition.values import hours, minutes
from saga_engine.domain.snapshot import OpenGate, Parked, Vote
from tests.domain.driver import CANCEL, PAUSE, RESUME, RETRY, SKIP, START, Drive, drive
from tests.domain.sagas import NINE, ONE, Input, Lines, S, gate, hello, is_big, one, reject, two


def asking(approval: Approval[Input]) -> Drive:
    """A has run, B asks."""

    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).approval(approval).on(reject, S.D).then(approved=S.C, rejected=S.BACK, expired=S.BACK)
        saga.at(S.C).run(two).then(S.DONE)

    run = drive(write)
    run.succeeds(ONE)
    return run


def sealed(*parts: str) -> str:
    return hashlib.sha256(f'["{parts[0]}","{parts[1]}","{parts[2]}",{parts[3]}]'.encode()).hexdigest()


# --- opening


def test_an_open_gate_holds_what_is_shown_and_the_digest_of_task_state_target_and_result() -> None:
    run = asking(gate(quorum=2, escalate=("lead", hours(4)), not_starter=True))
    assert run.where == ("B", "waiting")
    assert run.run.gate == OpenGate(
        task="r.2",
        roles=("dba",),
        need=2,
        digest=sealed("r.2", "B", "C", '{"n":1}'),
        shows=ONE,
        opened_at=START,
        expires_at=START + timedelta(hours=24),
        not_starter=True,
        state="B",
    )
    assert (run.line, run.beside) == (
        ["gate B: held"],
        ["escalate B: due 4:00:00", "expired B: due 1 day, 0:00:00"],
    )


def test_a_gate_opens_when_its_entering_has_ended_and_an_earlier_verdict_is_refused() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B, entering=hello).approval(gate()).then(approved=S.C, rejected=S.D, expired=S.D)

    run = drive(write)
    run.succeeds(ONE)
    assert (run.where, run.run.gate) == (("B", "running"), None)
    error = run.refused(run.verdict(digest="guessed"))
    assert error.exit_code == 7
    assert str(error) == "the gate is not open: it opens when the state's entering action has ended"
    run.passes(minutes(5))
    run.succeeds()
    assert run.run.gate is not None
    assert run.run.gate.expires_at == START + timedelta(hours=24, minutes=5)


def test_a_gate_shows_the_newest_result_that_is_not_undone() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).when(is_big, S.B).then(S.A)
        saga.at(S.B).approval(gate()).then(approved=S.C, rejected=S.BACK, expired=S.BACK)

    run = drive(write)
    run.succeeds(ONE)
    run.succeeds(NINE)
    assert run.run.gate is not None
    assert run.run.gate.shows == NINE


def unshown(saga: Lines) -> None:
    saga.at(S.A).run(two).then(S.B)
    saga.at(S.B).approval(gate()).then(approved=S.C, rejected=S.D, expired=S.D)


def test_a_gate_whose_shown_step_has_no_result_parks_the_run() -> None:
    run = drive(unshown)
    run.succeeds(ONE)
    parked = Parked("W16", "the approval shows one, which has no result in this run")
    assert (run.run.line()[0].parked, run.where, run.run.open) == (parked, ("B", "parked"), False)
    assert str(run.refused(run.verdict(digest="x"))) == "nothing waits for an approval; the run is in B"
    assert run.refused(SKIP).exit_code == 7
    run.tell(RETRY)
    assert (run.run.line()[0].parked, run.run.status) == (parked, "parked")


# --- answering


def test_a_quorum_approves_with_all_who_did() -> None:
    run = asking(gate(quorum=2))
    assert run.approve("bob", "counts checked").commands == (
        c.CountVote("r.2", Vote("bob", approved=True, reason="counts checked", at=START)),
    )
    assert run.where == ("B", "waiting")
    run.passes(minutes(1))
    digest = run.run.gate.digest if run.run.gate else ""
    decision = run.approve("cid")
    value = (
        '{"approved":true,"actors":["bob","cid"],"reason":"counts checked",'
        f'"decided_at":"2026-11-22T12:01:00Z","digest":"{digest}"}}'
    )
    assert decision.commands == (
        c.CountVote("r.2", Vote("cid", approved=True, reason="", at=run.now)),
        c.AddResult("B", 1, "verdict:B", value),
        c.CloseApproval("r.2", "approved"),
        c.CloseTask("r.2.1"),
        c.CloseTask("r.2"),
        c.Move("B", "C", 1, "approved"),
        c.AddTask(run.run.line()[0].__class__("r.4", "step", "C", 1, 1)),
        c.PushUndo(2, "C", 1, "r.4"),
        c.OpenState("C"),
        c.SetDue("r.4", run.now),
    )


def test_one_rejection_rejects_whatever_the_quorum() -> None:
    run = asking(gate(quorum=3))
    run.approve("bob")
    run.reject("cid", "rows are missing")
    assert run.where == ("UNDONE", "rolled_back")
    verdict = run.chart.parse("verdict:B", run.results[-1].partition(" ")[2])
    assert verdict is not None
    assert verdict.model_dump(include={"approved", "actors", "reason"}) == {
        "approved": False,
        "actors": ("cid",),
        "reason": "rows are missing",
    }


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (
            {"role": "dev"},
            4,
            "bob is not in role dba; ask somebody who is, or add bob to it in the settings",
        ),
        ({"actor": "ann"}, 4, "ann started this run; its approval asks for somebody else"),
        ({"digest": "old"}, 7, "what you were shown is not what waits now; look again and decide on that"),
    ],
)
def test_who_may_not_answer_is_refused_and_nothing_moves(given: dict[str, str], code: int, text: str) -> None:
    run = asking(gate(not_starter=True))
    error = run.refused(run.verdict(**given))  # type: ignore[arg-type]  # all of them are text
    assert (error.exit_code, str(error)) == (code, text)


def test_the_starter_may_answer_where_the_gate_does_not_say_otherwise() -> None:
    run = asking(gate())
    assert run.approve("ann").after.state == "C"


def test_one_person_has_one_verdict() -> None:
    run = asking(gate(quorum=2))
    run.approve("bob")
    for approved in (True, False):
        error = run.refused(run.verdict("bob", approved=approved))
        assert str(error) == "r was already approved by bob at 2026-11-22 12:00:00 UTC: no reason given"
        assert error.exit_code == 7


def test_after_the_decision_the_loser_reads_who_and_when() -> None:
    approved, rejected = asking(gate()), asking(gate())
    late = approved.verdict("cid", approved=False)
    approved.approve("bob", "checked")
    assert str(approved.refused(late)) == "r was already approved by bob at 2026-11-22 12:00:00 UTC: checked"
    late = rejected.verdict("cid")
    rejected.reject("bob")
    assert str(rejected.refused(late)) == "r was already rejected by bob at 2026-11-22 12:00:00 UTC: no reason given"


def test_a_verdict_where_nothing_asks_is_refused() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.DONE))
    assert str(run.refused(run.verdict(digest="x"))) == "nothing waits for an approval; the run is in A"


# --- time


def test_a_gate_that_nobody_decides_expires() -> None:
    run = asking(gate())
    digest = run.run.gate.digest if run.run.gate else ""
    decision = run.fires("expired")
    assert decision.commands[:2] == (c.CloseApproval("r.2", "expired"), c.CloseTask("r.2.1"))
    assert (run.where, run.results) == (("UNDONE", "rolled_back"), [])
    assert run.refused(run.verdict(digest=digest)).exit_code == 7


def test_a_verdict_after_the_expiry_is_refused_even_before_the_timer_has_fired() -> None:
    run = asking(gate())
    run.passes(hours(24))
    assert str(run.refused(run.verdict())) == "the approval expired at 2026-11-23 12:00:00 UTC"
    just_before = asking(gate())
    just_before.passes(hours(24) - timedelta(microseconds=1))
    assert just_before.approve().after.state == "C"


def test_an_escalation_lets_a_second_role_answer_too() -> None:
    run = asking(gate(escalate=("lead", hours(4))))
    assert run.refused(run.verdict("lea", role="lead")).exit_code == 4
    assert run.fires("escalate").commands == (c.CloseTask("r.2.2"), c.WidenGate("r.2", "lead"))
    assert run.run.gate is not None
    assert run.run.gate.roles == ("dba", "lead")
    text = "dev is not in role dba or lead; ask somebody who is, or add dev to it in the settings"
    assert str(run.refused(run.verdict("dev", role="dev"))) == text
    assert run.tell(run.verdict("lea", role="lead")).after.state == "C"


# --- what voids it


def test_leaving_an_open_gate_voids_it() -> None:
    cancelled, sent = asking(gate(quorum=2)), asking(gate(quorum=2))
    for run, event in ((cancelled, CANCEL), (sent, e.EventReceived("reject", '{"text":""}', "bob"))):
        run.approve("cid")
        assert c.CloseApproval("r.2", "void") in run.tell(event).commands
        assert (run.run.gate, run.beside) == (None, [])


def test_a_new_visit_makes_a_new_approval_and_an_old_digest_does_not_count() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).approval(gate(quorum=2)).on(reject, S.A).then(approved=S.C, rejected=S.D, expired=S.D)

    run = drive(write)
    run.succeeds(ONE)
    old = run.verdict("bob")
    run.tell(old)
    run.send("reject")
    run.succeeds(ONE)  # the same result again
    assert run.run.gate is not None
    assert (run.run.gate.task, run.run.gate.votes) == ("r.5", ())
    assert run.run.gate.digest == sealed("r.5", "B", "C", '{"n":1}') != old.digest
    assert run.refused(old).exit_code == 7
    run.approve("bob")
    assert run.approve("cid").after.state == "C"


# --- budgets


@pytest.mark.parametrize("outcome", ["approved", "rejected", "expired"])
def test_a_spent_budget_parks_a_decided_gate_and_the_decision_stands(outcome: str) -> None:
    run = asking(gate(escalate=("lead", hours(4))))
    run.budget = Budget(transitions=2)
    verdict = run.verdict(approved=outcome == "approved")
    late = run.verdict("cid", approved=outcome != "approved")
    if outcome == "expired":
        run.fires("expired")
    else:
        run.tell(verdict)
    assert (run.where, run.line, run.beside) == (("B", "parked"), [f"gate B: parked W14 {outcome}"], [])
    assert run.refused(late).exit_code == 7
    if outcome != "expired":
        assert str(run.refused(late)).startswith(f"r was already {outcome} by bob")
    assert run.refused(SKIP).exit_code == 7
    assert run.tell(RETRY).after.state == ("C" if outcome == "approved" else "UNDONE")


# --- paused


def test_verdicts_are_counted_while_the_run_is_paused_and_act_at_the_resume() -> None:
    run = asking(gate())
    run.tell(PAUSE)
    run.approve("bob")
    assert (run.where, run.beside) == (("B", "waiting"), ["expired B: resumes 1 day, 0:00:00"])
    run.passes(hours(30))
    assert run.tell(RESUME).after.state == "C"


def test_while_the_run_is_paused_the_first_decision_stands() -> None:
    approved, rejected = asking(gate()), asking(gate(quorum=2))
    for run in (approved, rejected):
        run.tell(PAUSE)
    approved.approve("bob")
    assert str(approved.refused(approved.verdict("cid", approved=False))).startswith("r was already approved by bob")
    rejected.reject("bob")
    assert str(rejected.refused(rejected.verdict("cid"))).startswith("r was already rejected by bob")
    assert approved.tell(RESUME).after.state == "C"
    assert rejected.tell(RESUME).after.state == "UNDONE"
