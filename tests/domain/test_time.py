"""Time: an attempt's timeout, the deadlines of states and groups, and what comes in the same moment."""

from __future__ import annotations

from datetime import timedelta

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.definition.values import Retry, hours, minutes, seconds
from saga_engine.domain.snapshot import Parked
from tests.domain.driver import RETRY, SKIP, WORKER, drive
from tests.domain.sagas import ONE, TWO, Lines, S, back_one, defer, hello, nothing, one, reject, two


def test_an_attempt_that_timed_out_is_asked_to_end_and_its_retry_is_held_until_it_has() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(2, first=minutes(5))).then(S.DONE))
    decision = run.times_out()
    task = run.run.line()[0]
    assert task.resumes_at is not None
    assert decision.commands == (c.EndAttempt("r.1", "retry", task.resumes_at, 1, "over its timeout"),)
    assert (run.line, task.leased_by, task.attempt) == (["step A: ending, then retry"], WORKER, 1)
    back = run.succeeds(ONE)
    # Its result is dropped: the report only says that it has ended.
    assert back.commands == (c.SetDue("r.1", task.resumes_at, 1, "over its timeout"),)
    assert run.results == []
    assert run.run.line()[0].leased_by is None


def test_an_attempt_that_ends_after_its_back_off_is_retried_at_once() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(2, first=seconds(1))).then(S.DONE))
    run.times_out()
    run.passes(hours(1))
    run.fails()
    assert run.line == ["step A: due 1:00:00"]


def test_a_failure_reported_by_an_ending_attempt_is_not_counted_again() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).then(S.DONE))
    run.times_out()
    run.fails()
    assert run.run.line()[0].failures == 1


def test_a_second_timeout_of_an_ending_attempt_changes_nothing() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).then(S.DONE))
    run.times_out()
    assert run.unmoved(e.AttemptTimedOut("r.1", 1, WORKER, "again")) == ""


def test_a_last_attempt_that_timed_out_takes_the_failed_way_and_not_timed_out() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE, failed=S.B, timed_out=S.C)
        saga.at(S.B).run(two).then(S.DONE)

    run = drive(write)
    decision = run.times_out()
    assert decision.commands == (
        c.EndAttempt("r.1", "leave", None, 0, ""),
        c.CloseTask("r.1.1"),
        c.Move("A", "B", 1, "failed"),
        c.AddTask(next(task for task in run.run.tasks if task.state == "B")),
        c.PushUndo(2, "B", 1, "r.2"),
    )
    assert run.line == ["step A: ending, then leave", "step B: held"]
    run.succeeds(ONE)
    assert (run.line, run.results) == (["step B: due 0:00:00"], [])


def test_a_last_attempt_that_timed_out_without_a_way_parks_once_it_has_ended() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.DONE))
    assert run.times_out().commands == (c.EndAttempt("r.1", "park", None, 1, "over its timeout"),)
    assert run.line == ["step A: ending, then park"]
    run.succeeds(ONE)
    assert run.run.tasks[0].parked == Parked("W22", "over its timeout")
    run.tell(RETRY)
    assert (run.line, run.run.tasks[0].failures) == (["step A: due 0:00:00"], 0)


def test_a_last_attempt_that_timed_out_on_a_spent_budget_is_awaited_before_the_way_is_parked() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.DONE, failed=S.BACK)

    run = drive(write, Budget(transitions=1))
    run.times_out()
    assert run.line == ["step A: ending, then park"]
    run.succeeds(ONE)
    assert run.line == ["step A: parked W14 failed"]
    run.tell(RETRY)
    assert (run.where, run.line) == (("BACK", "running"), ["undo A: due 0:00:00"])


def test_a_deadline_takes_timed_out() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE, failed=S.B, timed_out=S.C))
    assert run.beside == ["timed_out A: due 1:00:00"]
    assert run.fires("timed_out").after.state == "C"


def test_a_deadline_without_its_own_way_takes_failed() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE, failed=S.B))
    assert run.fires("timed_out").after.state == "B"


def test_a_deadline_takes_the_groups_way_where_the_state_has_none() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE)
        saga.group(S.A).then(timed_out=S.C)

    assert drive(write).fires("timed_out").after.state == "C"


def test_a_deadline_without_any_way_parks_the_timer_and_the_step_goes_on() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE))
    run.fires("timed_out")
    assert run.beside == ["timed_out A: parked W22"]
    assert (run.run.status, run.line) == ("parked", ["step A: due 0:00:00"])
    assert run.succeeds(ONE).after.status == "completed"


def test_retry_and_skip_go_on_without_a_deadline_that_has_no_way() -> None:
    for ask in (RETRY, SKIP):
        run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE))
        run.fires("timed_out")
        assert run.tell(ask).commands == (c.CloseTask("r.1.1"),)
        assert (run.where, run.beside) == (("A", "running"), [])


def test_a_deadline_lasts_over_retries() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(9), deadline=hours(1)).then(S.DONE, timed_out=S.C))
    run.fails()
    assert run.beside == ["timed_out A: due 1:00:00"]
    assert run.fires("timed_out").after.state == "C"


def test_a_deadline_begins_when_the_state_has_been_entered() -> None:
    run = drive(lambda saga: saga.at(S.A, entering=hello).run(one, deadline=hours(1)).then(S.DONE))
    assert run.beside == []
    run.passes(minutes(5))
    run.succeeds()
    assert run.beside == ["timed_out A: due 1:05:00"]


def test_a_wait_has_a_deadline() -> None:
    run = drive(lambda saga: saga.at(S.A).wait(reject, deadline=hours(1)).then(S.B, timed_out=S.C))
    assert (run.where, run.line) == (("A", "waiting"), ["wait A: held"])
    assert run.fires("timed_out").after.state == "C"


def test_deadline_first_then_success_the_result_is_dropped() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE, timed_out=S.B)
        saga.at(S.B).run(two).then(S.DONE)

    run = drive(write)
    run.claim("step")
    run.fires("timed_out")
    assert run.line == ["step A: ending, then leave", "step B: held"]
    assert run.succeeds(ONE).commands == (c.CloseTask("r.1"), c.OpenState("B"), c.SetDue("r.2", run.now))
    assert run.results == []


def test_success_first_then_deadline_the_deadline_is_stale() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE, timed_out=S.B))
    run.passes(hours(1))
    timer = run.claim("timed_out")
    run.succeeds(ONE)
    assert run.where == ("DONE", "completed")
    assert run.unmoved(e.TimerFired(timer.name, 1, WORKER)) == ""


def test_event_and_deadline_in_one_moment_the_first_wins() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).on(reject, S.B).then(S.DONE, timed_out=S.C)

    first, second = drive(write), drive(write)
    first.passes(hours(1))
    timer = first.claim("timed_out")
    first.send("reject")
    assert first.where == ("B", "completed")
    assert first.unmoved(e.TimerFired(timer.name, 1, WORKER)) == ""
    second.fires("timed_out")
    assert second.where == ("C", "completed")


# --- groups


def together(saga: Lines) -> None:
    saga.at(S.A).run(one).then(S.B)
    saga.at(S.B).run(two).then(S.C)
    saga.at(S.C).run(nothing).then(S.A)
    saga.group(S.A, S.B, deadline=hours(1)).then(timed_out=S.D)


def test_a_groups_deadline_runs_from_its_first_state_until_all_are_left() -> None:
    run = drive(together)
    run.passes(minutes(10))
    run.succeeds(ONE)
    assert (run.where, run.beside) == (("B", "running"), ["timed_out GROUP_1: due 1:00:00"])
    run.succeeds(TWO)
    assert (run.where, run.beside) == (("C", "running"), [])
    run.succeeds()
    assert (run.where, run.beside) == (("A", "running"), ["timed_out GROUP_1: due 1:10:00"])
    assert run.fires("timed_out").after.state == "D"


def test_a_groups_deadline_takes_its_own_failed_way_where_it_has_no_timed_out() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.DONE, failed=S.B)
        saga.group(S.A, deadline=hours(1)).then(failed=S.C)

    assert drive(write).fires("timed_out").after.state == "C"


def test_nested_groups_keep_their_deadlines_apart() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).then(S.DONE)
        saga.group(S.A, S.B, deadline=hours(2)).then(timed_out=S.D)
        saga.group(S.A, deadline=hours(1)).then(timed_out=S.C)

    run = drive(write)
    assert run.beside == ["timed_out GROUP_1: due 2:00:00", "timed_out GROUP_2: due 1:00:00"]
    run.succeeds(ONE)
    assert run.beside == ["timed_out GROUP_1: due 2:00:00"]
    assert run.fires("timed_out").after.state == "D"


def test_a_groups_deadline_that_a_person_has_dismissed_does_not_begin_again_inside_the_group() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).then(S.DONE)
        saga.group(S.A, S.B, deadline=hours(1)).then()

    run = drive(write)
    run.fires("timed_out")
    assert run.beside == ["timed_out GROUP_1: parked W22"]
    run.tell(SKIP)
    run.succeeds(ONE)
    assert (run.where, run.beside) == (("B", "running"), [])


def test_a_groups_deadline_that_waits_for_a_person_still_does_in_the_next_state() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).then(S.DONE)
        saga.group(S.A, S.B, deadline=hours(1)).then()

    run = drive(write)
    run.fires("timed_out")
    run.succeeds(ONE)
    assert (run.where, run.beside) == (("B", "parked"), ["timed_out GROUP_1: parked W22"])


def test_a_timer_that_fires_on_another_visit_is_stale() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).on(defer, S.A).then(S.DONE, timed_out=S.C))
    run.passes(hours(1))
    timer = run.claim("timed_out")
    run.send("defer")
    assert run.unmoved(e.TimerFired(timer.name, 1, WORKER)) == ""
    assert run.beside == [f"timed_out A: due {timedelta(hours=2)}"]
