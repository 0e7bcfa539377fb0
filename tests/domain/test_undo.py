"""The way back: the stack, the order, the pivot, where a cancel leads, and going back to a state."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.values import Retry, hours
from saga_engine.domain.snapshot import Parked
from tests.domain.driver import CANCEL, RETRY, ROLLBACK, SKIP, Drive, drive, event
from tests.domain.sagas import (
    NINE,
    ONE,
    TWO,
    Lines,
    S,
    back_nothing,
    back_one,
    back_two,
    bye,
    defer,
    hello,
    is_big,
    nothing,
    one,
    raises,
    reject,
    three,
    two,
)


def three_steps(saga: Lines) -> None:
    saga.at(S.A).run(one).undo(back_one).then(S.B)
    saga.at(S.B).run(two).undo(back_two).then(S.C)
    saga.at(S.C).run(nothing).undo(back_nothing).then(S.DONE, failed=S.BACK)


def in_c() -> Drive:
    run = drive(three_steps)
    run.succeeds(ONE)
    run.succeeds(TWO)
    return run


def undone_states(run: Drive) -> list[str]:
    """Do all undos; the states in the order in which they were undone."""
    order = []
    while run.line:
        order.append(run.run.line()[0].state)
        run.succeeds()
    return order


# --- the stack


def test_an_undo_is_pushed_before_its_step_starts_with_its_outcome_in_doubt() -> None:
    run = drive(three_steps)
    assert (run.run.tasks[0].attempt, run.stack) == (0, ["A#1 started"])
    run.succeeds(ONE)
    assert run.stack == ["A#1 done", "B#1 started"]


def test_undos_run_in_reverse_order_of_start_and_the_failed_step_is_undone_too() -> None:
    run = in_c()
    run.fails()
    assert (run.where, run.stack) == (("BACK", "running"), ["A#1 done", "B#1 done", "C#1 started"])
    assert undone_states(run) == ["C", "B", "A"]
    assert run.where == ("UNDONE", "rolled_back")
    assert (run.stack, run.results) == (["A#1 undone", "B#1 undone", "C#1 undone"], [])


def test_an_undo_names_the_entry_and_the_visit_that_it_undoes() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).undo(back_two).when(is_big, S.DONE).then(S.A, failed=S.BACK)

    run = drive(write)
    for value in (ONE, ONE, TWO):
        run.succeeds(value)
    run.fails()
    seen = []
    while run.line:
        task = run.run.line()[0]
        seen.append((task.kind, task.state, task.visit, task.about))
        run.succeeds()
    assert seen == [("undo", "B", 2, 4), ("undo", "A", 2, 3), ("undo", "B", 1, 2), ("undo", "A", 1, 1)]


def test_a_step_that_no_worker_ever_leased_is_dropped_without_an_undo() -> None:
    run = in_c()
    decision = run.tell(CANCEL)
    assert c.SetUndo(3, "dropped") in decision.commands
    assert undone_states(run) == ["B", "A"]
    assert run.stack == ["A#1 undone", "B#1 undone", "C#1 dropped"]


def test_a_step_that_backs_off_was_started_and_is_undone() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).undo(back_one).then(S.DONE))
    run.fails()
    run.tell(CANCEL)
    assert (run.line, run.stack) == (["undo A: due 0:00:00"], ["A#1 started"])


def test_what_a_reading_step_found_no_longer_counts_after_a_rollback() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).reads_only().then(S.B)
        saga.at(S.B).run(two).undo(back_two).then(S.DONE, failed=S.BACK)

    run = drive(write)
    run.succeeds(ONE)
    run.fails()
    assert run.results == [f"one {ONE}"]
    run.succeeds()
    assert (run.where, run.results, run.stack) == (
        ("UNDONE", "rolled_back"),
        [],
        ["A#1 undone", "B#1 undone"],
    )


def test_what_an_event_said_still_counts_after_a_rollback() -> None:
    """The notice of the end may tell why; undoing a step does not unsay what people sent in its state."""
    run = drive(lambda saga: saga.at(S.A).run(one).undo(back_one).on(reject, S.BACK).then(S.DONE))
    run.claim()
    run.send("reject", '{"text":"wrong window"}')
    run.fails()
    run.succeeds()
    assert (run.where, run.results) == (("UNDONE", "rolled_back"), ['event:reject {"text":"wrong window"}'])


def test_a_rolling_back_state_has_its_notice_first() -> None:
    def write(saga: Lines) -> None:
        three_steps(saga)
        saga.rolls_back(S.BACK, entering=hello).to(S.UNDONE)

    run = drive(write)
    run.succeeds(ONE)
    run.tell(CANCEL)
    assert run.line == ["entering BACK: due 0:00:00"]
    run.succeeds()
    assert run.line == ["undo A: due 0:00:00"]


# --- an undo that fails


def failing_undo() -> Drive:
    run = drive(lambda saga: saga.at(S.A).run(one).undo(back_one, retry=Retry(2)).then(S.DONE, failed=S.BACK))
    run.fails()
    run.fails("E: once")
    run.now = run.run.tasks[0].due_at or run.now
    run.fails("E: twice")
    return run


def test_an_undo_that_failed_for_good_parks_the_run() -> None:
    run = failing_undo()
    assert (run.where, run.run.tasks[0].parked) == (("BACK", "parked"), Parked("W17", "E: twice"))
    assert run.stack == ["A#1 started"]


def test_a_parked_undo_is_retried_skipped_or_resolved() -> None:
    retried, skipped, found, not_found = (failing_undo() for _ in range(4))
    retried.tell(RETRY)
    assert (retried.line[0][:11], retried.run.tasks[0].failures) == ("undo A: due", 0)
    skipped.tell(SKIP)
    assert (skipped.where, skipped.stack) == (("UNDONE", "rolled_back"), ["A#1 skipped"])
    found.tell(e.Resolved("bob", "the table is gone", done=True))
    assert (found.where, found.stack) == (("UNDONE", "rolled_back"), ["A#1 undone"])
    not_found.tell(e.Resolved("bob", "the table is there", done=False))
    assert (not_found.line[0][:11], not_found.stack) == ("undo A: due", ["A#1 started"])


# --- the pivot


def pivoting(saga: Lines) -> None:
    saga.at(S.A).run(one).undo(back_one).then(S.B)
    (
        saga.at(S.B)
        .run(two, retry=Retry(2), deadline=hours(1))
        .pivot()
        .on(reject, S.BACK)
        .on(defer, S.BACK)
        .when(is_big, S.D)
        .then(S.C)
    )
    saga.at(S.C).run(three).undo(back_two).then(S.DONE, failed=S.BACK)
    saga.group(S.A, S.B, deadline=hours(9)).then(failed=S.BACK, timed_out=S.BACK)


def at_pivot(*, leased: bool = True) -> Drive:
    run = drive(pivoting)
    run.succeeds(ONE)
    if leased:
        run.claim("step")
    return run


def parked_pivot() -> Drive:
    run = at_pivot()
    run.fails(final=True)
    return run


def test_before_its_first_lease_a_pivot_can_be_left() -> None:
    cancelled, sent, late = (at_pivot(leased=False) for _ in range(3))
    assert cancelled.tell(CANCEL).after.state == "BACK"
    assert sent.send("reject").after.state == "BACK"
    assert late.fires("timed_out B").after.state == "BACK"


def test_in_doubt_of_a_pivot_cancel_and_rollback_are_refused() -> None:
    for doubtful in (at_pivot(), parked_pivot()):
        for ask in (CANCEL, ROLLBACK):
            error = doubtful.refused(ask)
            assert error.exit_code == 7
            assert str(error).startswith("B is the point of no return and may have taken effect")


def test_in_doubt_of_a_pivot_that_timed_out_nothing_leaves_either() -> None:
    run = at_pivot()
    run.times_out()
    assert run.line == ["step B: ending, then retry"]
    assert run.refused(CANCEL).exit_code == 7
    run.send("reject")
    assert (run.where, len(run.run.inbox)) == (("B", "running"), 1)


def test_before_its_first_lease_a_pivot_is_not_in_doubt_whatever_still_ends_before_it() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).on(reject, S.B).then(S.C)
        saga.at(S.B).run(two).pivot().then(S.C)

    run = drive(write)
    run.claim()
    run.send("reject")
    assert run.line == ["step A: ending, then leave", "step B: held"]
    run.tell(CANCEL)
    assert (run.where, run.stack) == (("BACK", "running"), ["A#1 started", "B#1 dropped"])


def test_in_doubt_of_a_pivot_events_wait_and_are_taken_by_a_later_state() -> None:
    run = at_pivot()
    run.send("reject")
    run.send("defer")
    assert (run.where, [waiting.name for waiting in run.run.inbox]) == (("B", "running"), ["reject", "defer"])
    run.succeeds(ONE)
    assert (run.where, len(run.run.inbox)) == (("C", "running"), 2)


def test_in_doubt_of_a_pivot_a_deadline_is_only_journalled() -> None:
    for outcome in ("timed_out B", "timed_out GROUP_1"):
        run = at_pivot()
        timer = next(task for task in run.run.tasks if f"{task.outcome} {task.state}" == outcome)
        assert run.fires(outcome).commands == (c.CloseTask(timer.name),)
        assert (run.where, run.line) == (("B", "running"), ["step B: attempt 1"])


def test_a_pivot_that_fails_is_retried_and_then_parked_whatever_its_group_says() -> None:
    run = at_pivot()
    run.fails()
    assert run.line[0].startswith("step B: due")
    run.now = run.run.line()[0].due_at or run.now
    run.fails("E: again")
    assert (run.where, run.run.line()[0].parked) == (("B", "parked"), Parked("W22", "E: again"))
    timed_out = at_pivot()
    timed_out.fails()
    timed_out.now = timed_out.run.line()[0].due_at or timed_out.now
    timed_out.times_out()
    assert timed_out.line == ["step B: ending, then park"]
    timed_out.fails()
    assert (timed_out.where, timed_out.run.line()[0].parked) == (("B", "parked"), Parked("W22", "over its timeout"))


def test_a_passed_pivot_seals_all_before_it_and_there_is_no_way_back() -> None:
    run = at_pivot()
    run.succeeds(ONE)
    assert run.stack == ["A#1 sealed", "B#1 sealed", "C#1 started"]
    for ask in (CANCEL, ROLLBACK):
        assert str(run.refused(ask)) == "B is past the point of no return; the run can only go forward"


def test_a_passed_pivot_seals_nothing_that_was_undone_before() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).pivot().then(S.C)

    run = drive(write)
    run.succeeds(ONE)
    run.tell(e.RollbackRequested("bob", to="A"))
    undone_in_line(run)
    run.succeeds(ONE)
    run.succeeds(TWO)
    assert (run.where, run.stack) == (
        ("C", "completed"),
        ["A#1 undone", "B#1 dropped", "A#2 sealed", "B#2 sealed"],
    )


def test_after_a_pivot_a_failure_undoes_only_what_came_later() -> None:
    run = at_pivot()
    run.succeeds(ONE)
    run.fails()
    assert (run.where, undone_states(run)) == (("BACK", "running"), ["C"])
    assert (run.stack, run.results) == (["A#1 sealed", "B#1 sealed", "C#1 undone"], [f"one {ONE}", f"two {ONE}"])


def test_a_pivot_whose_guard_raised_has_been_passed() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).pivot().on(reject, S.C).when(raises, S.B).then(S.DONE))
    run.succeeds(ONE)
    assert (run.stack, run.where) == (["A#1 sealed"], ("A", "parked"))
    assert run.refused(CANCEL).exit_code == 7
    assert run.send("reject").after.state == "C"


def test_a_parked_pivot_that_is_proved_to_have_done_nothing_can_be_rolled_back() -> None:
    run = parked_pivot()
    decision = run.tell(e.RollbackRequested("bob", unapplied=True))
    assert decision.commands[0] == c.SetUndo(2, "dropped")
    assert (run.where, undone_states(run)) == (("BACK", "running"), ["A"])
    assert run.stack == ["A#1 undone", "B#1 dropped"]


def test_a_running_pivot_cannot_be_proved_to_have_done_nothing() -> None:
    assert at_pivot().refused(e.RollbackRequested("bob", unapplied=True)).exit_code == 7


def test_a_person_finds_out_that_a_pivot_took_no_effect_and_may_retry_or_roll_back() -> None:
    for ask in (RETRY, ROLLBACK, CANCEL):
        run = parked_pivot()
        run.tell(e.Resolved("bob", "SELECT shows nothing", done=False))
        text = "bob found that it took no effect (SELECT shows nothing); retry, or roll back"
        assert run.run.line()[0].parked == Parked("W22", text)
        run.tell(ask)
        if ask is RETRY:
            assert (run.line, run.stack) == (["step B: due 0:00:00"], ["A#1 done", "B#1 started"])
            assert run.refused(CANCEL).exit_code == 7
        else:
            assert undone_states(run) == ["A"]


def test_a_person_finds_out_that_a_pivot_did_take_effect() -> None:
    run = parked_pivot()
    run.tell(e.Resolved("bob", "it is there", done=True, value=NINE))
    assert (run.where, run.stack) == (("D", "completed"), ["A#1 sealed", "B#1 sealed"])


def test_a_pivot_found_to_have_done_nothing_and_then_to_have_done_it_is_sealed() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).pivot().then(S.B))
    run.fails()
    run.tell(e.Resolved("bob", "not there", done=False))
    run.tell(e.Resolved("bob", "there after all", done=True, value=ONE))
    assert run.stack == ["A#1 sealed"]


def test_a_parked_pivot_cannot_be_skipped() -> None:
    run = drive(lambda saga: saga.at(S.A).run(nothing).pivot().then(S.B))
    run.fails()
    assert run.refused(SKIP).exit_code == 7


# --- where a cancel leads


def test_a_cancel_goes_where_the_states_own_failed_way_rolls_back() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B, failed=S.BACK)
        saga.rolls_back(S.C).to(S.DONE)
        saga.group(S.A).then(failed=S.C)

    assert drive(write).tell(CANCEL).after.state == "UNDONE"


def test_else_a_cancel_goes_where_its_groups_failed_way_rolls_back_the_inner_first() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B, failed=S.D)
        saga.at(S.B).run(two).then(S.D)
        saga.rolls_back(S.C).to(S.DONE)
        saga.group(S.A, S.B).then(failed=S.BACK)
        saga.group(S.A).then(failed=S.C)

    inner, outer = drive(write), drive(write)
    assert inner.tell(CANCEL).after.state == "DONE"
    outer.succeeds(ONE)
    assert outer.tell(CANCEL).after.state == "UNDONE"


def test_else_a_cancel_goes_to_the_only_state_that_rolls_back() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.B, failed=S.C))
    assert run.tell(CANCEL).after == run.run
    assert run.where == ("UNDONE", "cancelled")


def several(saga: Lines) -> None:
    saga.at(S.A).run(one).reads_only().then(S.B)
    saga.at(S.B).run(two).undo(back_two).then(S.DONE)
    saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.rolls_back(S.C).to(S.UNDONE)


def test_with_several_and_none_named_and_nothing_to_undo_the_state_stays_and_the_run_is_cancelled() -> None:
    run = drive(several)
    decision = run.tell(CANCEL)
    assert decision.commands == (c.SetUndo(1, "dropped"), c.CloseTask("r.1"), c.Finish("cancelled"))
    assert (run.where, run.run.tasks) == (("A", "cancelled"), ())
    begun = drive(several)
    begun.succeeds(ONE)
    assert begun.tell(CANCEL).after.status == "cancelled"  # B was never leased


def test_with_several_and_none_named_and_entries_a_cancel_is_refused() -> None:
    run = drive(several)
    run.succeeds(ONE)
    run.claim()
    error = run.refused(CANCEL)
    assert (str(error), error.exit_code) == ("B has no rolling-back state to go to, and B must be undone", 7)
    finished = drive(several)
    finished.succeeds(ONE)
    finished.succeeds(TWO)
    assert finished.refused(CANCEL).exit_code == 7  # it has ended


def test_a_refused_cancel_names_all_that_must_be_undone() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).undo(back_two).then(S.DONE)
        saga.rolls_back(S.BACK).to(S.UNDONE)
        saga.rolls_back(S.C).to(S.UNDONE)

    run = drive(write)
    run.succeeds(ONE)
    assert str(run.refused(CANCEL)) == "B has no rolling-back state to go to, and A must be undone"
    run.claim()
    assert str(run.refused(CANCEL)) == "B has no rolling-back state to go to, and A, B must be undone"


def test_a_step_that_was_dropped_does_not_stand_in_the_way_of_a_cancel() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).on(reject, S.B).then(S.B)
        saga.at(S.B).run(two).undo(back_two).then(S.DONE)
        saga.rolls_back(S.BACK).to(S.UNDONE)
        saga.rolls_back(S.C).to(S.UNDONE)

    run = drive(write)
    run.send("reject")
    run.tell(CANCEL)
    assert (run.where, run.stack) == (("B", "cancelled"), ["A#1 dropped", "B#1 dropped"])


def test_a_cancel_that_ends_the_run_in_its_state_awaits_the_open_attempt_and_the_notice_before() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A, leaving=bye).run(one).reads_only().then(S.B)
        saga.at(S.B).run(two).reads_only().then(S.DONE)
        saga.rolls_back(S.BACK).to(S.UNDONE)
        saga.rolls_back(S.C).to(S.UNDONE)

    run = drive(write)
    run.claim()
    run.tell(CANCEL)
    assert (run.where, run.line) == (("A", "cancelled"), ["step A: ending, then leave"])
    run.succeeds(ONE)
    assert (run.where, run.line) == (("A", "cancelled"), [])
    noticing = drive(write)
    noticing.succeeds(ONE)
    noticing.tell(CANCEL)
    assert (noticing.where, noticing.line) == (("B", "cancelled"), ["leaving A: due 0:00:00"])


def test_a_cancel_during_a_rollback_has_nothing_to_do_and_says_so() -> None:
    run = in_c()
    run.fails()
    assert run.unmoved(CANCEL) == "the run is rolling back already; nothing to do"
    assert run.unmoved(ROLLBACK) == "the run is rolling back already; nothing to do"
    assert undone_states(run) == ["C", "B", "A"]
    assert run.run.status == "rolled_back"


def test_the_final_status_is_cancelled_when_a_cancel_began_the_rollback() -> None:
    cancelled, rolled = in_c(), in_c()
    cancelled.tell(CANCEL)
    undone_states(cancelled)
    rolled.tell(ROLLBACK)
    undone_states(rolled)
    assert (cancelled.where, rolled.where) == (("UNDONE", "cancelled"), ("UNDONE", "rolled_back"))


def test_a_cancel_that_goes_on_after_the_rollback_ends_as_cancelled_all_the_same() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.at(S.C).run(nothing).then(S.DONE)
        saga.rolls_back(S.BACK).to(S.C)

    run = drive(write)
    run.tell(CANCEL)
    assert run.where == ("C", "running")
    run.succeeds()
    assert run.where == ("DONE", "cancelled")


@pytest.mark.parametrize(("ask", "status"), [(CANCEL, "cancelled"), (ROLLBACK, "failed")])
def test_an_end_that_is_a_failure_is_one_after_a_rollback_but_not_after_a_cancel(ask: e.Event, status: str) -> None:
    def write(saga: Lines) -> None:
        three_steps(saga)
        saga.final(S.UNDONE, outcome="failed")

    run = drive(write)
    run.tell(ask)
    assert run.where == ("UNDONE", status)


def test_a_run_that_has_ended_is_neither_cancelled_nor_rolled_back() -> None:
    run = in_c()
    run.succeeds()
    assert run.where == ("DONE", "completed")
    for ask in (CANCEL, ROLLBACK):
        assert str(run.refused(ask)) == "r has ended: completed in DONE."


# --- back to a state


def test_a_rollback_to_a_state_undoes_down_to_it_and_goes_forward_again() -> None:
    run = in_c()
    run.claim()
    run.tell(e.RollbackRequested("bob", to="B"))
    assert (run.where, run.run.rollback_to) == (("BACK", "running"), "B")
    run.fails()
    assert undone_in_line(run) == ["C", "B"]
    assert (run.where, run.run.rollback_to) == (("B", "running"), "")
    assert run.stack == ["A#1 done", "B#1 undone", "C#1 undone", "B#2 started"]
    assert [(task.name, task.kind, task.visit) for task in run.run.line()] == [("r.7", "step", 2)]


def undone_in_line(run: Drive) -> list[str]:
    """Do undos while there are any."""
    order = []
    while run.run.line()[0].kind == "undo":
        order.append(run.run.line()[0].state)
        run.succeeds()
    return order


def test_what_came_before_the_state_still_counts_and_what_came_after_is_forgotten() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).undo(back_two).then(S.C)
        saga.at(S.C).wait(reject, deadline=hours(1)).then(S.D, timed_out=S.BACK)
        saga.at(S.D).run(three).undo(back_two).then(S.DONE, failed=S.BACK)

    run = drive(write)
    run.succeeds(ONE)
    run.succeeds(TWO)
    run.send("reject")
    assert run.results == [f"one {ONE}", f"two {TWO}", 'event:reject {"text":""}']
    run.tell(e.RollbackRequested("bob", to="B"))
    undone_in_line(run)
    assert (run.where, run.results) == (("B", "running"), [f"one {ONE}"])


def test_a_rollback_to_a_state_visited_twice_stops_at_its_last_visit() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).undo(back_two).when(is_big, S.C).then(S.A)
        saga.at(S.C).run(three).undo(back_one).then(S.DONE, failed=S.BACK)

    run = drive(write)
    for value in (ONE, ONE, ONE, NINE):
        run.succeeds(value)
    run.tell(e.RollbackRequested("bob", to="A"))
    assert undone_in_line(run) == ["B", "A"]
    assert run.stack == ["A#1 done", "B#1 done", "A#2 undone", "B#2 undone", "C#1 dropped", "A#3 started"]


def test_a_run_that_went_forward_again_can_be_rolled_back_whole() -> None:
    run = in_c()
    run.tell(e.RollbackRequested("bob", to="B"))
    undone_in_line(run)
    run.succeeds(TWO)
    run.fails()
    assert undone_states(run) == ["C", "B", "A"]
    assert (run.where, run.results) == (("UNDONE", "rolled_back"), [])


def two_steps(saga: Lines) -> None:
    saga.at(S.A).run(one).on(reject, S.B).then(S.B)
    saga.at(S.B).run(two).then(S.C)


def test_a_second_rollback_to_a_state_does_not_stop_at_a_visit_that_the_first_one_undid() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).undo(back_one).then(S.B)
        saga.at(S.B).run(two).undo(back_two).when(is_big, S.DONE).then(S.A, failed=S.BACK)

    run = drive(write)
    for value in (ONE, ONE):
        run.succeeds(value)
    run.claim()
    run.tell(e.RollbackRequested("ann", to="B"))
    run.fails()
    run.succeeds()
    run.succeeds()
    assert (run.where, run.stack) == (("B", "running"), ["A#1 done", "B#1 undone", "A#2 undone", "B#2 started"])
    run.claim()
    run.tell(e.RollbackRequested("ann", to="A"))
    run.fails()
    run.succeeds()
    assert [task.about for task in run.run.line()] == [1]
    run.succeeds()
    assert run.where == ("A", "running")
    assert run.stack == ["A#1 undone", "B#1 undone", "A#2 undone", "B#2 undone", "A#3 started"]


def test_a_rollback_to_a_state_that_was_not_begun_is_refused() -> None:
    run = drive(three_steps)
    run.succeeds(ONE)
    error = run.refused(e.RollbackRequested("bob", to="C"))
    assert (str(error), error.exit_code) == ("the run cannot go back to C; it can to: A, B", 7)
    left = drive(two_steps)
    left.send("reject")
    left.claim()
    assert left.stack == ["A#1 dropped", "B#1 started"]
    assert str(left.refused(e.RollbackRequested("bob", to="A"))) == "the run cannot go back to A; it can to: B"
    fresh = drive(lambda saga: saga.at(S.A).wait(defer, deadline=hours(1)).then(S.B, timed_out=S.C))
    assert str(fresh.refused(e.RollbackRequested("bob", to="A"))) == "the run cannot go back to A; it can to: none"


def test_a_rollback_without_a_state_that_rolls_back_is_refused() -> None:
    error = drive(several).refused(ROLLBACK)
    assert str(error) == "the saga has no rolling-back state for A; cancel ends the run instead"


def test_a_rollback_under_way_to_a_state_can_be_made_whole_but_not_sent_elsewhere() -> None:
    for ask, status in ((CANCEL, "cancelled"), (ROLLBACK, "rolled_back")):
        run = in_c()
        run.tell(e.RollbackRequested("bob", to="B"))
        assert run.refused(e.RollbackRequested("bob", to="A")).exit_code == 7
        run.tell(ask)
        assert undone_states(run) == ["B", "A"]
        assert run.where == ("UNDONE", status)


def test_events_while_a_run_rolls_back_are_treated_as_declared() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).undo(back_one).on(reject, S.B).on(defer, S.B).then(S.DONE))
    run.claim()
    run.tell(CANCEL)
    assert run.refused(event("reject")).exit_code == 7
    run.send("defer")
    assert len(run.run.inbox) == 1
