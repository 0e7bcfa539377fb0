"""Attempts that end otherwise than by a report in time: asked to end, lost, crashed, in doubt; and stale reports."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.values import Promise, Retry, hours
from saga_engine.domain.snapshot import Parked
from tests.domain.driver import CANCEL, PAUSE, RESUME, RETRY, ROLLBACK, SKIP, WORKER, Drive, drive
from tests.domain.sagas import (
    ONE,
    Lines,
    S,
    back_nothing,
    back_one,
    bye,
    hello,
    nothing,
    one,
    probe,
    reject,
    two,
)

MAY_RUN = "its last attempt may still be running on db-2 pid 7"


def step(promise: Promise = "idempotent", *, reads_only: bool = False, retry: Retry | None = None) -> Drive:
    """A waits in the first attempt of a step; an event or a cancel ends it."""

    def write(saga: Lines) -> None:
        running = saga.at(S.A).run(one, promise=promise, retry=retry or Retry(3), deadline=hours(1))
        way_back = running.reads_only() if reads_only else running.undo(back_one)
        way_back.on(reject, S.B).then(S.DONE, failed=S.B, timed_out=S.B)
        saga.at(S.B).run(two).then(S.DONE)

    run = drive(write)
    run.claim("step")
    return run


# --- asked to end


def test_event_deadline_and_cancel_ask_the_open_attempt_to_end_and_hold_what_follows() -> None:
    sent, late, cancelled = step(), step(), step()
    sent.send("reject")
    late.fires("timed_out")
    cancelled.tell(CANCEL)
    assert sent.line == late.line == ["step A: ending, then leave", "step B: held"]
    assert cancelled.line == ["step A: ending, then leave"]
    for run in (sent, late, cancelled):
        task = run.run.line()[0]
        assert (task.attempt, task.leased_by) == (1, WORKER)


@pytest.mark.parametrize("how", ["succeeds", "fails"])
def test_any_report_of_an_ending_attempt_means_only_that_it_has_ended(how: str) -> None:
    run = step()
    run.send("reject")
    decision = getattr(run, how)()
    assert decision.commands == (c.CloseTask("r.1"), c.OpenState("B"), c.SetDue("r.2", run.now))
    assert (run.results, run.stack) == (['event:reject {"text":""}'], ["A#1 started", "B#1 started"])


def test_an_attempt_that_ends_for_a_retry_can_still_be_left_by_a_cancel() -> None:
    run = step()
    run.times_out()
    run.tell(CANCEL)
    assert run.line == ["step A: ending, then leave"]
    run.fails()
    assert run.line == ["undo A: due 0:00:00"]


def test_an_attempt_that_was_asked_to_end_is_not_asked_again_by_the_next_move() -> None:
    run = step()
    run.send("reject")
    decision = run.tell(CANCEL)
    assert [type(command) for command in decision.commands] == [c.BeginRollback, c.SetUndo, c.CloseTask, c.Move]
    assert (run.where, run.line) == (("BACK", "running"), ["step A: ending, then leave"])


# --- no report comes: the lease ended, or the grace is over


def test_what_follows_goes_on_where_the_process_is_known_to_be_dead() -> None:
    run = step()
    run.send("reject")
    run.freed()
    run.lost(known_dead=True)
    assert run.line == ["step B: due 0:00:00"]


@pytest.mark.parametrize(("promise", "reads_only"), [("effect", False), ("idempotent", True)])
def test_what_follows_goes_on_where_a_late_attempt_cannot_do_harm(promise: Promise, *, reads_only: bool) -> None:
    run = step(promise, reads_only=reads_only)
    run.send("reject")
    run.freed()
    run.lost()
    assert run.line == ["step B: due 0:00:00"]


@pytest.mark.parametrize("promise", ["idempotent", "manual"])
def test_what_follows_waits_for_a_person_where_the_attempt_may_still_be_running(promise: Promise) -> None:
    run = step(promise)
    run.send("reject")
    run.freed()
    run.lost()
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "leave")
    assert (run.where, run.line) == (("B", "parked"), ["step A: parked W23 leave", "step B: held"])


@pytest.mark.parametrize("ask", [RETRY, SKIP])
def test_a_person_lets_what_follows_go_on(ask: e.Event) -> None:
    run = step()
    run.send("reject")
    run.lost()
    assert run.tell(ask).commands == (c.CloseTask("r.1"), c.OpenState("B"), c.SetDue("r.2", run.now))


def test_an_attempt_of_a_state_that_was_left_cannot_be_resolved() -> None:
    run = step()
    run.send("reject")
    run.lost()
    assert run.refused(e.Resolved("bob", "looked", done=True, value=ONE)).exit_code == 7


def test_a_cancel_does_not_overtake_an_attempt_that_may_still_be_running() -> None:
    run = step()
    run.send("reject")
    run.lost()
    run.tell(CANCEL)
    assert (run.where, run.line) == (("BACK", "parked"), ["step A: parked W23 leave"])
    run.tell(RETRY)
    assert run.line == ["undo A: due 0:00:00"]


def test_a_retry_of_an_idempotent_step_goes_on_beside_a_lost_attempt_of_the_same_key() -> None:
    run = step()
    run.times_out()
    run.lost()
    task = run.run.line()[0]
    assert (task.ending, task.leased_by, task.failures, task.attempt) == (None, None, 1, 1)


def test_a_last_attempt_that_may_still_be_running_is_not_given_up_but_waits_for_a_person() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.DONE))
    run.times_out()
    run.freed()
    run.lost()
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "park")
    run.tell(RETRY)
    assert run.line == ["step A: due 0:00:00"]


def test_a_retry_of_a_verified_step_waits_for_a_person() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).verified(probe).undo(back_one).then(S.DONE))
    run.times_out()
    run.lost()
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "retry")
    run.tell(RETRY)
    assert (run.line, run.run.tasks[0].failures) == (["step A: due 0:00:00"], 0)


def test_a_cancel_of_a_step_parked_because_it_may_still_be_running_waits_for_a_person_too() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).verified(probe).undo(back_one).then(S.DONE))
    run.times_out()
    run.lost()
    run.tell(CANCEL)
    assert (run.where, run.line) == (("BACK", "parked"), ["step A: parked W23 leave"])
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "leave")


# --- a lost attempt that nobody had asked to end


def test_a_lost_attempt_of_an_idempotent_step_is_simply_run_again() -> None:
    run = step()
    run.freed()
    task = run.claim("step", by="w2")
    assert run.unmoved(e.AttemptLost("r.1", 2, "w2", 1, known_dead=False, runner="w1")) == ""
    assert (task.attempt, run.line) == (2, ["step A: attempt 2"])


def test_a_lost_attempt_of_a_verified_step_waits_for_a_person_unless_it_is_known_to_be_dead() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, retry=Retry(3)).verified(probe).undo(back_one).then(S.DONE)

    dead, silent = drive(write), drive(write)
    dead.claim()
    assert dead.unmoved(e.AttemptLost("r.1", 1, WORKER, 1, known_dead=True, runner="w1")) == ""
    silent.lost()
    assert silent.run.tasks[0].parked == Parked("W23", MAY_RUN, "retry")


def test_a_lost_attempt_of_a_manual_step_is_in_doubt() -> None:
    dead, silent = step("manual"), step("manual")
    dead.lost(known_dead=True)
    silent.lost()
    assert dead.run.tasks[0].parked == Parked("W23", "db-2 pid 7 died in the middle of it; nobody knows what it did")
    assert silent.run.tasks[0].parked == Parked("W23", MAY_RUN, "retry")


def test_a_manual_step_that_was_lost_stays_in_doubt_through_a_pause() -> None:
    """What a pause changes of a task is no answer to where its attempt is."""
    run = step("manual")
    run.freed()
    run.tell(PAUSE)
    run.tell(RESUME)
    run.lost(crashes=0)
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "retry")


def test_a_manual_step_of_a_paused_run_that_no_worker_has_lost_waits_for_the_resume() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, promise="manual").then(S.DONE))
    task = run.claim()
    run.tell(PAUSE)
    decision = run.tell(e.AttemptLost(task.name, 1, WORKER, 0, known_dead=False, runner="no worker"))
    assert decision.commands == (c.SetDue("r.1", run.now),)
    assert run.line == ["step A: resumes 0:00:00"]


def test_a_lost_attempt_of_a_paused_run_waits_for_its_resume() -> None:
    run = step()
    run.tell(PAUSE)
    run.freed()
    run.claim("step")
    assert run.lost().commands == (c.SetDue("r.1", run.now),)
    assert run.line == ["step A: resumes 0:00:00"]
    run.tell(RESUME)
    assert run.line == ["step A: due 0:00:00"]


def test_leaving_a_state_whose_attempt_was_lost_and_not_yet_taken_over_waits_for_a_person() -> None:
    """Nobody holds the task, so nobody will ever report on the attempt that may still be running."""
    run = step()
    run.freed()
    run.send("reject")
    assert run.run.tasks[0].parked == Parked("W23", MAY_RUN, "leave")
    assert (run.where, run.line) == (("B", "parked"), ["step A: parked W23 leave", "step B: held"])


@pytest.mark.parametrize("promise", ["idempotent", "effect"])
def test_leaving_a_state_whose_lost_attempt_is_dead_or_harmless_goes_on(promise: Promise) -> None:
    run = step(promise)
    run.freed(known_dead=promise == "idempotent")
    run.send("reject")
    assert (run.line, run.stack) == (["step B: due 0:00:00"], ["A#1 started", "B#1 started"])


def test_a_lost_ending_attempt_can_be_taken_over_while_the_run_is_paused() -> None:
    run = step()
    run.send("reject")
    run.freed()
    run.tell(PAUSE)
    run.lost(known_dead=True)
    assert run.line == ["step B: resumes 0:00:00"]


# --- crashes


def test_a_task_that_ended_three_workers_is_parked() -> None:
    run = step()
    run.lost(crashes=2)
    assert run.line == ["step A: attempt 1"]
    run.lost(crashes=3, known_dead=True)
    assert run.run.tasks[0].parked == Parked("W24", "3 processes died with this task; last: db-2 pid 7")
    run.tell(RETRY)
    assert run.line == ["step A: due 0:00:00"]


def test_a_task_that_ended_three_workers_and_may_still_run_is_not_overtaken_by_a_cancel() -> None:
    run = step()
    run.lost(crashes=3)
    run.tell(CANCEL)
    assert (run.where, run.line) == (("BACK", "parked"), ["step A: parked W24 leave"])


def test_undos_and_notices_that_end_workers_are_parked_too() -> None:
    undoing = step()
    undoing.tell(CANCEL)
    undoing.fails()
    undoing.lost(crashes=3, known_dead=True)
    assert undoing.line == ["undo A: parked W24"]
    entering = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE))
    entering.lost(crashes=3, known_dead=True)
    assert entering.line == ["entering A: parked W24", "step A: held"]


def test_a_lost_undo_or_notice_is_run_again() -> None:
    entering = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE))
    entering.claim()
    assert entering.unmoved(e.AttemptLost("r.1", 1, WORKER, 1, known_dead=False, runner="w1")) == ""
    entering.times_out()
    assert entering.line[0] == "entering A: ending, then retry"
    entering.lost()
    assert entering.line[0].startswith("entering A: due")


def test_leaving_while_a_notice_may_still_be_running_waits_for_a_person() -> None:
    run = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE))
    run.claim()
    run.tell(CANCEL)
    run.lost()
    assert (run.where, run.line) == (("BACK", "parked"), ["entering A: parked W23 leave"])


# --- in doubt by promise: manual


def test_a_manual_step_that_failed_is_never_tried_again_by_the_engine() -> None:
    run = step("manual")
    assert run.fails("E: bad").commands == (c.Park("r.1", Parked("W23", "E: bad"), 1),)


def test_a_manual_step_that_timed_out_is_asked_to_end_and_then_parked() -> None:
    run = step("manual")
    run.times_out()
    assert run.line == ["step A: ending, then park"]
    run.fails()
    assert run.run.tasks[0].parked == Parked("W23", "over its timeout")


def test_a_manual_step_that_only_reads_is_never_in_doubt() -> None:
    failed, dead = step("manual", reads_only=True), step("manual", reads_only=True)
    failed.fails()
    assert failed.line[0].startswith("step A: due")
    assert dead.unmoved(e.AttemptLost("r.1", 1, WORKER, 1, known_dead=True, runner="w1")) == ""


# --- parked by the report


def test_a_ledger_ahead_of_the_store_parks_whatever_its_retries() -> None:
    run = step(retry=Retry(9))
    decision = run.fails("Superseded: attempt 4 was there", park="W21")
    assert decision.commands == (c.Park("r.1", Parked("W21", "Superseded: attempt 4 was there")),)
    assert run.where == ("A", "parked")
    run.tell(RETRY)
    assert run.line == ["step A: due 0:00:00"]


def test_a_ledger_ahead_parks_an_undo() -> None:
    run = step()
    run.tell(ROLLBACK)
    run.fails()
    run.fails("Superseded: a newer attempt", park="W21")
    assert run.line == ["undo A: parked W21"]


def test_a_busy_target_is_backed_off_from_and_nothing_is_counted() -> None:
    run = step(retry=Retry(1))
    run.tell(e.ActionFailed("r.1", 1, WORKER, "TargetBusy: locked", busy=True))
    task = run.run.line()[0]
    assert (task.failures, task.error, task.leased_by, task.due_at is not None) == (0, "TargetBusy: locked", None, True)
    assert run.where == ("A", "running")


# --- stale reports


@pytest.mark.parametrize(
    "report",
    [
        e.ActionSucceeded("r.1", 2, WORKER, ONE),
        e.ActionSucceeded("r.1", 0, WORKER, ONE),
        e.ActionSucceeded("r.1", 1, "w2", ONE),
        e.ActionSucceeded("r.9", 1, WORKER, ONE),
        e.ActionFailed("r.1", 2, WORKER, "E"),
        e.AttemptTimedOut("r.1", 1, "w2", "late"),
        e.AttemptLost("r.1", 2, WORKER, 3, known_dead=True, runner="w1"),
        e.TimerFired("r.1.1", 1, WORKER),
        e.TimerFired("r.9", 1, WORKER),
    ],
)
def test_a_stale_report_changes_nothing(report: e.Report) -> None:
    assert step().unmoved(report) == ""


def test_a_report_of_an_attempt_whose_lease_is_gone_is_stale() -> None:
    run = step()
    run.freed()
    assert run.unmoved(e.ActionSucceeded("r.1", 1, WORKER, ONE)) == ""
    run.claim("step", by="w2")
    assert run.unmoved(e.ActionSucceeded("r.1", 1, WORKER, ONE)) == ""


# --- notices


def test_a_notice_is_tried_eight_times() -> None:
    run = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE))
    for _ in range(7):
        run.fails()
        due = run.run.line()[0].due_at
        assert due is not None
        run.now = due
    run.fails("E: last")
    assert (run.where, run.run.tasks[0].parked) == (("A", "parked"), Parked("W22", "E: last"))


def test_a_notice_that_failed_for_good_does_not_take_the_failed_way_of_its_state() -> None:
    run = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE, failed=S.B))
    run.fails(final=True)
    assert (run.where, run.line) == (("A", "parked"), ["entering A: parked W22", "step A: held"])


def test_a_notice_that_failed_for_good_can_be_tried_again_or_skipped() -> None:
    for ask, line in ((RETRY, ["entering A: due 0:00:00", "step A: held"]), (SKIP, ["step A: due 0:00:00"])):
        run = drive(lambda saga: saga.at(S.A, entering=hello).run(one).then(S.DONE))
        run.fails(final=True)
        run.tell(ask)
        assert run.line == line


def test_a_last_notice_that_timed_out_parks_once_it_has_ended() -> None:
    run = drive(lambda saga: saga.at(S.A, leaving=bye).run(nothing).undo(back_nothing).then(S.B))
    run.succeeds()
    assert run.where == ("B", "completed")
    for _ in range(7):
        run.fails()
        run.now = run.run.line()[0].due_at or run.now
    run.times_out()
    assert run.line == ["leaving A: ending, then park"]
    run.succeeds()
    assert (run.where, run.run.tasks[0].parked) == (("B", "completed"), Parked("W22", "over its timeout"))
