"""Which way is taken: guards, failures, budgets, groups; and what a person's retry does to a way that was not found."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.definition.values import Retry, hours, seconds
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Parked
from tests.domain.driver import CANCEL, PAUSE, RESUME, RETRY, SKIP, WORKER, Drive, drive, event
from tests.domain.sagas import (
    NINE,
    ONE,
    TWO,
    Lines,
    S,
    defer,
    is_big,
    is_over,
    is_urgent,
    nothing,
    odd_note,
    one,
    one_was_big,
    raises,
    reject,
    two,
)


def guarded(saga: Lines) -> None:
    saga.at(S.A).run(one).when(is_big, S.B).when(is_over, S.C).then(S.DONE)
    saga.at(S.B).run(two).then(S.DONE)
    saga.at(S.C).run(nothing).then(S.DONE)


def test_guards_of_a_result_are_asked_in_written_order() -> None:
    assert drive(guarded).succeeds(NINE).after.state == "B"
    assert drive(guarded).succeeds(ONE).after.state == "C"
    assert drive(guarded).succeeds('{"n":0}').after.state == "DONE"


def test_a_guard_reads_the_input_and_earlier_results_of_the_run() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).on(reject, S.C, when=one_was_big).then(S.DONE)

    small, big = drive(write), drive(write)
    small.succeeds(ONE)
    big.succeeds(NINE)
    assert small.refused(event("reject")).exit_code == 7
    assert big.send("reject").after.state == "C"
    limited = Drive(small.chart, input='{"limit":1}')
    assert limited.chart.facts(limited.run).input.limit == 1


# --- a guard that raises


def odd_result(saga: Lines) -> None:
    saga.at(S.A).run(one).when(raises, S.B).then(S.C)


def test_a_guard_of_a_result_that_raises_parks_the_run_and_the_result_is_kept() -> None:
    run = drive(odd_result)
    decision = run.succeeds(ONE)
    parked = Parked("W16", "guard raises raised ValueError: no idea", "then")
    assert decision.commands == (c.AddResult("A", 1, "one", ONE), c.SetUndo(1, "done"), c.Park("r.1", parked))
    assert (run.where, run.line, run.results) == (("A", "parked"), ["step A: parked W16 then"], [f"one {ONE}"])


def test_retry_asks_the_guard_again_and_not_the_step() -> None:
    run = drive(odd_result)
    run.succeeds(ONE)
    again = run.tell(RETRY)
    assert [type(command) for command in again.commands] == [c.Park]
    assert (run.run.status, run.run.revision, run.results) == ("parked", 3, [f"one {ONE}"])
    mended = drive(lambda saga: saga.at(S.A).run(one).when(is_big, S.B).then(S.C))
    run.chart = mended.chart
    assert run.tell(RETRY).after.state == "C"
    assert run.results == [f"one {ONE}"]


def test_a_result_whose_guard_raised_cannot_be_skipped() -> None:
    run = drive(odd_result)
    run.succeeds(ONE)
    assert run.refused(SKIP).exit_code == 7


def odd_event(saga: Lines) -> None:
    """The guard of ``reject`` raises where ``one`` has no result; that of ``defer`` always."""
    saga.at(S.A).run(two).on(reject, S.B, when=one_was_big).on(defer, S.B, when=odd_note).then(S.C)


def test_a_guard_of_an_event_that_raises_parks_the_event_and_the_step_goes_on() -> None:
    run = drive(odd_event)
    decision = run.send("defer")
    assert decision.after.status == "parked"
    assert run.beside == ["event A: parked W16", "forget A: due 7 days, 0:00:00"]
    parked = next(task.parked for task in run.run.tasks if task.kind == "event")
    assert parked == Parked("W16", "guard odd_note raised RuntimeError: what is this")
    assert run.line == ["step A: due 0:00:00"]
    run.succeeds(TWO)
    assert run.where == ("C", "completed")


def test_a_guard_of_a_waiting_event_that_raises_parks_it_in_place() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(two).then(S.B)
        saga.at(S.B).run(one).on(defer, S.C, when=odd_note).then(S.C)

    run = drive(write)
    run.send("defer")
    decision = run.succeeds(TWO)
    assert [type(command) for command in decision.commands[-3:]] == [c.SetDue, c.AddTask, c.Park]
    assert [task.about for task in run.run.tasks if task.kind == "event"] == [2]
    assert [waiting.number for waiting in run.run.inbox] == [2]


UNREADABLE = Parked("W16", "what is stored of event:defer cannot be read: ValidationError")


@pytest.mark.parametrize("waits", [False, True], ids=["a state with a way on it", "a state that waits for it"])
def test_a_waiting_event_that_the_definition_cannot_read_any_more_is_parked_in_place(*, waits: bool) -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(two).then(S.B)
        if waits:
            saga.at(S.B).wait(defer, deadline=hours(1)).then(S.C, timed_out=S.D)
        else:
            saga.at(S.B).run(one).on(defer, S.C).then(S.C)

    run = drive(write, Budget(told=lambda error: type(error).__name__))
    run.send("defer", '{"text":7}')
    run.succeeds(TWO)
    assert (run.run.state, run.run.status) == ("B", "parked")
    assert [task.parked for task in run.run.tasks if task.kind == "event"] == [UNREADABLE]
    run.tell(RETRY)
    assert [task.parked for task in run.run.tasks if task.kind == "event"] == [UNREADABLE]
    run.tell(SKIP)
    assert (run.run.inbox, run.run.status) == ((), "waiting" if waits else "running")


def test_an_arriving_event_that_the_definition_cannot_read_waits_and_is_parked() -> None:
    run = drive(lambda saga: saga.at(S.A).run(two).on(defer, S.B).then(S.C))
    run.send("defer", '{"text":7}')
    assert run.beside == ["event A: parked W16", "forget A: due 7 days, 0:00:00"]


def test_a_result_that_the_definition_cannot_read_any_more_stays_parked_when_its_guard_is_asked_again() -> None:
    run = drive(odd_result)
    run.succeeds(ONE)
    unread = tuple(replace(result, value='{"n":"x"}') for result in run.run.results)
    run.run = replace(run.run, results=unread)
    run.tell(RETRY)
    assert run.line == ["step A: parked W16 then"]
    assert "what is stored of one cannot be read" in run.run.tasks[0].error


def test_retry_asks_the_guard_of_a_parked_event_again() -> None:
    run = drive(odd_event)
    run.send("defer")
    run.tell(RETRY)
    assert (run.run.status, run.beside) == ("parked", ["event A: parked W16", "forget A: due 7 days, 0:00:00"])
    run.chart = drive(lambda saga: saga.at(S.A).run(two).on(defer, S.B).then(S.C)).chart
    run.tell(RETRY)
    assert (run.where, run.run.inbox, run.beside) == (("B", "completed"), (), [])


def test_a_parked_event_that_is_retried_while_the_run_is_paused_acts_at_the_resume() -> None:
    run = drive(odd_event)
    run.send("defer")
    run.chart = drive(lambda saga: saga.at(S.A).run(two).on(defer, S.B).then(S.C)).chart
    run.tell(PAUSE)
    assert run.tell(RETRY).commands == (c.CloseTask("r.2.1"),)
    assert (run.where, len(run.run.inbox)) == (("A", "running"), 1)
    assert run.tell(RESUME).after.state == "B"


def test_skip_drops_a_parked_event() -> None:
    run = drive(odd_event)
    run.send("defer")
    decision = run.tell(SKIP)
    assert decision.commands == (c.CloseTask("r.2.1"), c.CloseTask("r.2"), c.TakeEvent(2, "skipped"))
    assert (run.where, run.line, run.beside) == (("A", "running"), ["step A: due 0:00:00"], [])


def test_a_parked_event_is_forgotten_with_its_time() -> None:
    run = drive(odd_event)
    run.send("defer")
    decision = run.fires("forget")
    assert decision.commands == (c.CloseTask("r.2"), c.CloseTask("r.2.1"), c.TakeEvent(2, "expired"))
    assert (run.run.status, run.beside) == ("running", [])


def test_a_parked_event_that_is_forgotten_takes_no_other_with_it() -> None:
    run = drive(odd_event)
    run.send("defer")
    run.passes(hours(1))
    run.send("defer")
    assert len([line for line in run.beside if line == "event A: parked W16"]) == 2
    first = next(task for task in run.run.tasks if task.outcome == "forget" and task.about == 2)
    run.now = first.due_at or run.now
    run.claim("forget")
    run.tell(e.TimerFired(first.name, 1, WORKER))
    assert run.beside == ["event A: parked W16", "forget A: due 7 days, 1:00:00"]
    assert [waiting.number for waiting in run.run.inbox] == [3]


def test_a_parked_event_is_offered_anew_to_the_next_state() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(two).on(defer, S.B, when=odd_note).then(S.C)
        saga.at(S.C).run(one).on(defer, S.DONE).then(S.DONE)

    run = drive(write)
    run.send("defer")
    assert run.succeeds(TWO).after.state == "DONE"


def test_a_guard_of_an_event_that_says_no_leaves_the_event_as_declared() -> None:
    def write(saga: Lines) -> None:
        taking = saga.at(S.A).run(one).on(reject, S.B, when=is_urgent).on(defer, S.B, when=is_urgent)
        taking.then(S.DONE)

    run = drive(write)
    assert run.refused(event("reject")).exit_code == 7
    assert run.send("defer").commands[0] == c.KeepEvent(2, "defer", '{"text":""}', "bob", "api", None)
    assert run.send("defer", '{"text":"urgent"}').after.state == "B"


# --- a step that fails


def test_a_failed_attempt_is_tried_again_after_a_growing_pause() -> None:
    retry = Retry(4, first=seconds(10), cap=seconds(25))
    run = drive(lambda saga: saga.at(S.A).run(one, retry=retry).then(S.DONE))
    pauses = []
    for failures in (1, 2, 3):
        before = run.now
        run.fails(f"E: {failures}")
        task = run.run.line()[0]
        assert (task.failures, task.error, task.leased_by, task.attempt) == (failures, f"E: {failures}", None, failures)
        assert task.due_at is not None
        pauses.append((task.due_at - before).total_seconds())
        run.now = task.due_at
    # 10 s, 20 s and 25 s, each and up to a fifth more; which, is a fact of task and failure.
    assert pauses == [10.656366, 23.203773, 28.633856]
    run.fails("E: 4")
    assert run.line == ["step A: parked W22"]


def test_a_failure_of_a_final_kind_is_not_tried_again() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(9)).then(S.DONE, failed=S.B))
    assert run.fails(final=True).after.state == "B"


def test_a_step_that_failed_for_good_takes_its_own_way() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.DONE, failed=S.B)
        saga.group(S.A).then(failed=S.C)

    assert drive(write).fails().after.state == "B"


def test_without_a_way_of_its_own_the_groups_way_holds_the_inner_first() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B).run(two).then(S.DONE)
        saga.group(S.A, S.B).then(failed=S.D)
        saga.group(S.A).then(failed=S.C)

    inner, outer = drive(write), drive(write)
    assert inner.fails().after.state == "C"
    outer.succeeds(ONE)
    assert outer.fails().after.state == "D"


def test_without_any_way_a_step_that_failed_for_good_parks_the_run() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.DONE))
    assert run.fails("E: bad").commands == (c.Park("r.1", Parked("W22", "E: bad"), 1),)
    assert (run.where, run.run.tasks[0].failures, run.run.tasks[0].error) == (("A", "parked"), 1, "E: bad")


# --- events of groups


def test_a_members_own_edge_is_asked_before_its_groups() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).on(reject, S.B, when=is_urgent).then(S.DONE)
        saga.group(S.A).on(reject, S.C).then()

    assert drive(write).send("reject", '{"text":"urgent"}').after.state == "B"
    assert drive(write).send("reject").after.state == "C"


# --- budgets


def circling(saga: Lines) -> None:
    saga.at(S.A, visits=2).run(one).then(S.B)
    saga.at(S.B).run(two).when(is_big, S.DONE).then(S.A)


def test_one_visit_more_than_the_state_allows_parks_the_run_and_retry_goes_past_it() -> None:
    run = drive(circling)
    for _ in range(4):
        run.succeeds(ONE)
    assert (run.where, run.run.visits) == (("B", "parked"), {"A": 2, "B": 2})
    assert run.run.tasks[0].parked == Parked("W14", "A was visited 2 times, which is its limit", "then")
    decision = run.tell(RETRY)
    assert decision.after.visits == {"A": 3, "B": 2}
    assert run.line == ["step A: due 0:00:00"]


def test_a_state_that_allows_one_visit_is_entered_once() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.B, visits=1).run(two).on(reject, S.B).then(S.DONE)

    run = drive(write)
    run.succeeds(ONE)
    assert run.where == ("B", "running")
    run.send("reject")
    assert run.beside == ["event B: parked W14", "forget B: due 7 days, 0:00:00"]


def test_more_transitions_than_the_budget_park_the_run_and_retry_goes_past_it() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.B), Budget(transitions=1))
    run.succeeds(ONE)
    assert run.run.tasks[0].parked == Parked("W14", "the run made 1 transitions, which is the limit", "then")
    assert run.tell(RETRY).after.state == "B"


def test_a_spent_budget_parks_a_failed_way_an_event_a_verdict_and_a_deadline() -> None:
    def failing(saga: Lines) -> None:
        saga.at(S.A).run(one).on(reject, S.B).then(S.C, failed=S.B)

    tight = Budget(transitions=1)
    failed = drive(failing, tight)
    failed.fails()
    assert failed.line == ["step A: parked W14 failed"]
    assert failed.tell(RETRY).after.state == "B"

    sent = drive(failing, tight)
    sent.send("reject")
    assert (sent.beside, sent.run.status) == (["event A: parked W14", "forget A: due 7 days, 0:00:00"], "parked")
    assert sent.tell(RETRY).after.state == "B"

    late = drive(lambda saga: saga.at(S.A).run(one, deadline=hours(1)).then(S.C, timed_out=S.B), tight)
    late.fires("timed_out")
    assert (late.line, late.beside) == (["step A: due 0:00:00"], ["timed_out A: parked W14 timed_out"])
    assert late.tell(RETRY).after.state == "B"


def test_retry_goes_past_the_budget_for_the_event_that_is_parked_and_no_other() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).on(reject, S.B).then(S.C)
        saga.at(S.C).run(two).on(defer, S.D).then(S.D)

    run = drive(write, Budget(transitions=1))
    run.send("defer")
    run.send("reject")
    assert [task.about for task in run.run.tasks if task.kind == "event"] == [3]
    assert run.tell(RETRY).after.state == "B"


def test_a_spent_budget_parks_a_wait_whose_event_has_come() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).wait(reject, deadline=hours(1)).then(S.B, timed_out=S.C)

    run = drive(write, Budget(transitions=1))
    run.send("reject")
    assert (run.line, run.results) == (["wait A: parked W14 then"], ['event:reject {"text":""}'])
    # The wait has its event: a second one is treated like any other that the state does not take.
    assert run.refused(event("reject")).exit_code == 7
    assert run.tell(RETRY).after.state == "B"


def test_a_cancel_is_not_held_back_by_a_budget() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.B), Budget(transitions=1))
    assert run.tell(CANCEL).after.status == "cancelled"


def test_retry_takes_the_way_of_the_deadlines_own_level() -> None:
    """The group's deadline passed, not A's: A's own timed_out stays out of it, at the retry too."""

    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(9)).then(S.B, timed_out=S.C)
        saga.group(S.A, deadline=hours(1)).then(timed_out=S.D)

    run = drive(write, Budget(transitions=1))
    run.fires("timed_out GROUP_1")
    assert run.beside == ["timed_out A: due 9:00:00", "timed_out GROUP_1: parked W14 timed_out"]
    assert run.tell(RETRY).after.state == "D"
