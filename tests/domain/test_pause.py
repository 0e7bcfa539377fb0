"""Pause and resume: nothing new starts, nothing is lost, and what waited acts in the order in which it happened."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.values import Retry, hours, minutes
from tests.domain.driver import CANCEL, PAUSE, RESUME, RETRY, START, WORKER, Drive, drive, event
from tests.domain.sagas import ONE, TWO, Lines, S, back_one, defer, gate, hello, ignore, nothing, one, reject, two


def stepping(saga: Lines) -> None:
    saga.at(S.A).run(one, retry=Retry(3), deadline=hours(1)).undo(back_one).on(reject, S.C).then(S.B, timed_out=S.D)
    saga.at(S.B).run(two).then(S.DONE)
    saga.at(S.C).run(nothing).then(S.DONE)


def paused() -> Drive:
    run = drive(stepping)
    run.tell(PAUSE)
    return run


def test_pause_takes_what_is_due_away_from_the_workers_and_resume_puts_it_back() -> None:
    run = drive(stepping)
    decision = run.tell(e.PauseRequested("bob", "lunch"))
    assert decision.commands == (c.Pause("bob", "lunch"),)
    assert (run.run.paused, run.run.status) == (True, "running")
    assert (run.line, run.beside) == (["step A: resumes 0:00:00"], ["timed_out A: resumes 1:00:00"])
    assert run.due() == []
    run.passes(minutes(10))
    assert run.tell(RESUME).commands == (c.Resume(),)
    assert (run.run.paused, run.line, run.beside) == (
        False,
        ["step A: due 0:00:00"],
        ["timed_out A: due 1:00:00"],
    )


def test_pause_twice_and_resume_without_pause_change_nothing_and_say_so() -> None:
    assert paused().unmoved(PAUSE) == "the run is paused already"
    assert drive(stepping).unmoved(RESUME) == "the run is not paused"


def test_a_running_attempt_finishes_and_is_recorded_and_what_follows_waits() -> None:
    run = drive(stepping)
    run.claim("step")
    run.tell(PAUSE)
    assert run.line == ["step A: attempt 1"]
    run.succeeds(ONE)
    assert (run.where, run.results) == (("B", "running"), [f"one {ONE}"])
    assert run.line == ["step B: resumes 0:00:00"]
    run.tell(RESUME)
    assert run.line == ["step B: due 0:00:00"]


def test_a_retry_of_a_failed_attempt_waits_for_the_resume() -> None:
    run = drive(stepping)
    run.claim("step")
    run.tell(PAUSE)
    run.fails()
    task = run.run.line()[0]
    assert (task.due_at, task.failures, task.resumes_at is not None) == (None, 1, True)
    backed_off_until = task.resumes_at
    run.tell(RESUME)
    assert run.run.line()[0].due_at == backed_off_until


def test_an_attempt_that_is_ending_ends_and_its_retry_waits_for_the_resume() -> None:
    run = drive(stepping)
    run.times_out()
    resumes_at = run.run.line()[0].resumes_at
    run.tell(PAUSE)
    run.tell(RESUME)
    assert run.line == ["step A: ending, then retry"]
    run.tell(PAUSE)
    run.fails()
    assert (run.run.line()[0].due_at, run.run.line()[0].resumes_at) == (None, resumes_at)


def test_a_retry_by_a_person_waits_for_the_resume() -> None:
    run = drive(stepping)
    run.claim("step")
    run.fails(final=True)
    run.tell(PAUSE)
    run.tell(RETRY)
    assert run.line == ["step A: resumes 0:00:00"]


def test_cancel_passes_and_the_undos_wait_for_the_resume() -> None:
    run = drive(stepping)
    run.claim("step")
    run.fails()
    run.tell(PAUSE)
    run.tell(CANCEL)
    assert (run.where, run.line) == (("BACK", "running"), ["undo A: resumes 0:00:00"])
    run.tell(RESUME)
    run.succeeds()
    assert run.where == ("UNDONE", "cancelled")


def test_a_timer_that_a_worker_had_in_hand_does_not_fire() -> None:
    run = drive(stepping)
    run.passes(hours(1))
    timer = run.claim("timed_out")
    run.tell(PAUSE)
    decision = run.tell(e.TimerFired(timer.name, 1, WORKER))
    assert decision.commands == (c.SetDue(timer.name, START + timedelta(hours=1)),)
    assert (run.where, run.beside) == (("A", "running"), ["timed_out A: resumes 1:00:00"])
    run.tell(RESUME)
    assert run.fires("timed_out").after.state == "D"


def test_an_event_is_accepted_and_acts_at_the_resume() -> None:
    run = paused()
    run.send("reject")
    assert (run.where, [kept.name for kept in run.run.inbox]) == (("A", "running"), ["reject"])
    assert run.beside == ["forget A: resumes 7 days, 0:00:00", "timed_out A: resumes 1:00:00"]
    decision = run.tell(RESUME)
    assert [type(command) for command in decision.commands[:2]] == [c.Resume, c.TakeEvent]
    assert run.where == ("C", "running")


def test_an_event_that_the_state_does_not_take_is_treated_as_declared() -> None:
    run = paused()
    assert run.refused(event("defer")).exit_code == 7


def waiting(saga: Lines) -> None:
    saga.at(S.A).wait(defer, deadline=hours(1)).on(reject, S.C).then(S.B, timed_out=S.D)
    saga.at(S.B).wait(defer, deadline=hours(9)).then(S.DONE, timed_out=S.D)
    saga.at(S.C).wait(ignore, deadline=hours(9)).then(S.DONE, timed_out=S.D)


def test_events_act_in_order_of_arrival() -> None:
    run = drive(waiting)
    run.tell(PAUSE)
    run.send("defer", '{"text":"1"}')
    run.send("defer", '{"text":"2"}')
    run.tell(RESUME)
    assert run.results == ['event:defer {"text":"1"}', 'event:defer {"text":"2"}']
    other = drive(waiting)
    other.tell(PAUSE)
    other.send("reject")
    other.send("defer")
    other.tell(RESUME)
    assert (other.run.state, [kept.name for kept in other.run.inbox]) == ("C", ["defer"])


def test_a_deadline_that_passed_before_an_event_arrived_acts_before_it() -> None:
    run = drive(waiting)
    run.tell(PAUSE)
    run.passes(hours(2))
    run.send("defer")
    run.passes(hours(1))
    run.tell(RESUME)
    assert run.where == ("D", "completed")


def test_an_event_that_arrived_before_the_deadline_acts_before_it() -> None:
    run = drive(waiting)
    run.tell(PAUSE)
    run.passes(minutes(59))
    run.send("defer")
    run.passes(hours(1))
    run.tell(RESUME)
    assert run.run.state == "B"


def asking(saga: Lines) -> None:
    saga.at(S.A).run(one).then(S.B)
    saga.at(S.B).approval(gate(quorum=2)).on(defer, S.D).then(approved=S.C, rejected=S.D, expired=S.D)
    saga.group(S.A, S.B, deadline=hours(2)).then(timed_out=S.BACK)


@pytest.mark.parametrize(
    ("order", "state"),
    [
        (("first", "second", "event", "deadline"), "C"),
        (("first", "event", "second", "deadline"), "D"),
        (("first", "deadline", "second", "event"), "UNDONE"),
        (("deadline", "first", "second", "event"), "UNDONE"),
        (("event", "deadline", "first", "second"), "D"),
    ],
)
def test_verdicts_events_and_deadlines_act_in_the_order_in_which_they_happened(
    order: tuple[str, ...], state: str
) -> None:
    run = drive(asking)
    run.succeeds(ONE)
    run.tell(PAUSE)
    for happening in order:
        match happening:
            case "deadline":
                run.now = max(run.now, START + timedelta(hours=3))
            case "event":
                run.send("defer")
            case voter:
                run.approve(voter)
        run.passes(minutes(1))
    run.tell(RESUME)
    assert run.run.state == state


def test_only_a_deadline_acts_before_an_event_that_came_later() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        asks = saga.at(S.B).approval(gate(escalate=("lead", hours(1))))
        asks.on(defer, S.D).then(approved=S.C, rejected=S.D, expired=S.D)

    run = drive(write)
    run.succeeds(ONE)
    run.tell(PAUSE)
    run.passes(hours(2))
    run.send("defer")
    run.tell(RESUME)
    assert run.where == ("D", "completed")


def test_of_two_deadlines_that_passed_the_earlier_acts() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).wait(defer, deadline=hours(2)).then(S.B, timed_out=S.C)
        saga.group(S.A, deadline=hours(1)).then(timed_out=S.D)

    run = drive(write)
    run.tell(PAUSE)
    run.passes(hours(3))
    run.send("defer")
    run.tell(RESUME)
    assert run.where == ("D", "completed")


def test_a_deadline_that_passes_in_the_moment_in_which_an_event_arrives_leaves_it_the_way() -> None:
    run = drive(waiting)
    run.tell(PAUSE)
    run.passes(hours(1))
    run.send("defer")
    run.tell(RESUME)
    assert run.run.state == "B"


def test_an_overdue_deadline_without_a_way_parks_beside_the_event_that_came_later() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).on(reject, S.C).then(S.DONE)
        saga.group(S.A, deadline=hours(1)).then()

    run = drive(write)
    run.tell(PAUSE)
    run.passes(hours(2))
    run.send("reject")
    run.tell(RESUME)
    assert run.where == ("C", "completed")


def test_a_state_entered_while_the_run_is_paused_opens_and_its_timers_wait() -> None:
    run = drive(asking)
    run.claim("step")
    run.tell(PAUSE)
    run.succeeds(ONE)
    assert (run.where, run.run.open) == (("B", "waiting"), True)
    assert run.beside == ["expired B: resumes 1 day, 0:00:00", "timed_out GROUP_1: resumes 2:00:00"]


def test_a_groups_deadline_that_begins_while_the_run_is_paused_waits() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B, entering=hello).run(two).then(S.DONE)
        saga.group(S.B, deadline=hours(1)).then(timed_out=S.BACK)

    run = drive(write)
    run.claim()
    run.tell(PAUSE)
    run.succeeds(ONE)
    assert (run.line, run.beside) == (["entering B: resumes 0:00:00", "step B: held"], ["timed_out GROUP_1: held"])
    run.tell(RESUME)
    run.passes(minutes(1))
    run.succeeds()
    assert run.beside == ["timed_out GROUP_1: due 1:01:00"]


# --- ends


def noticing(saga: Lines) -> None:
    saga.at(S.A).run(one).then(S.B)
    saga.final(S.B, entering=hello)


def test_the_notice_of_a_run_that_ended_while_paused_goes_on_at_the_resume() -> None:
    run = drive(noticing)
    run.claim()
    run.tell(PAUSE)
    run.succeeds(ONE)
    assert (run.where, run.line) == (("B", "completed"), ["entering B: resumes 0:00:00"])
    run.tell(RESUME)
    assert run.line == ["entering B: due 0:00:00"]


def test_a_run_that_has_ended_is_neither_paused_nor_resumed() -> None:
    run = drive(noticing)
    run.succeeds(TWO)
    for ask in (PAUSE, RESUME):
        assert str(run.refused(ask)) == "r has ended: completed in B."
