"""What a person does to a parked run: retry, skip, resolve; and what they are told where it makes no sense."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget
from saga_engine.domain.definition.values import Retry, hours
from tests.domain.driver import RETRY, SKIP, WORKER, Drive, drive
from tests.domain.sagas import (
    ONE,
    Lines,
    Moody,
    S,
    back_nothing,
    back_one,
    moody_nothing,
    nothing,
    odd_note,
    one,
    raises,
    reject,
    two,
)

FOUND = e.Resolved("bob", "the rows are there", done=True, value=ONE)
NOT_FOUND = e.Resolved("bob", "no rows", done=False)


def parked(saga: Lines) -> None:
    saga.at(S.A).run(one).undo(back_one).then(S.B)
    saga.at(S.B).run(nothing).undo(back_nothing).then(S.DONE)


def parked_in_a() -> Drive:
    run = drive(parked)
    run.fails()
    assert run.line == ["step A: parked W22"]
    return run


def parked_in_b() -> Drive:
    run = drive(parked)
    run.succeeds(ONE)
    run.fails()
    return run


# --- retry


def test_retry_makes_a_parked_step_due_with_a_new_budget_and_the_same_name() -> None:
    run = parked_in_a()
    assert run.tell(RETRY).commands == (c.SetDue("r.1", run.now),)
    task = run.run.line()[0]
    assert (task.name, task.failures, task.error, task.parked, task.attempt) == ("r.1", 0, "", None, 1)


def test_retry_of_a_step_that_backs_off_makes_it_due_now() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one, retry=Retry(3)).then(S.DONE))
    run.fails()
    assert run.line != ["step A: due 0:00:00"]
    assert run.tell(RETRY).commands == (c.SetDue("r.1", run.now),)
    assert (run.line, run.run.line()[0].failures) == (["step A: due 0:00:00"], 0)


def test_retry_of_a_step_that_met_a_busy_target_makes_it_due_now() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).then(S.DONE))
    run.claim()
    run.tell(e.ActionFailed("r.1", 1, WORKER, "TargetBusy: locked", busy=True))
    assert run.line != ["step A: due 0:00:00"]
    run.tell(RETRY)
    assert run.line == ["step A: due 0:00:00"]


@pytest.mark.parametrize("how", ["due", "running", "running again", "ending", "lost", "waiting"])
def test_retry_where_nothing_is_parked_or_backs_off_is_refused(how: str) -> None:
    def write(saga: Lines) -> None:
        if how == "waiting":
            saga.at(S.A).wait(reject, deadline=hours(1)).then(S.B, timed_out=S.C)
        else:
            saga.at(S.A).run(one, retry=Retry(3)).then(S.DONE)

    run = drive(write)
    if how == "running":
        run.claim()
    if how == "running again":
        run.fails()
        run.now = run.run.tasks[0].due_at or run.now
        run.claim()
    if how in ("ending", "lost"):
        run.times_out()
    if how == "lost":
        run.freed()
    error = run.refused(RETRY)
    assert (str(error), error.exit_code) == ("nothing to retry: no task is parked and none backs off", 7)


def both_parked() -> Drive:
    """The step's result met a guard that raises, and the state's deadline a spent budget."""

    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).when(raises, S.B).then(S.C, timed_out=S.D)

    run = drive(write)
    run.succeeds(ONE)
    run.budget = Budget(transitions=1)
    run.fires("timed_out")
    assert (run.line, run.beside) == (["step A: parked W16 then"], ["timed_out A: parked W14 timed_out"])
    return run


def test_retry_of_several_parked_tasks_goes_only_one_way() -> None:
    run = both_parked()
    run.chart = drive(lambda saga: saga.at(S.A).run(one).then(S.C, timed_out=S.D)).chart
    assert run.tell(RETRY).after.state == "C"
    stuck = both_parked()
    assert stuck.tell(RETRY).after.state == "D"


# --- skip


def test_skip_goes_on_without_a_step_that_returns_nothing_and_its_undo_stays() -> None:
    run = parked_in_b()
    run.tell(SKIP)
    assert (run.where, run.stack) == (("DONE", "completed"), ["A#1 done", "B#1 started"])


def guarded(saga: Lines) -> None:
    saga.at(S.A).run(one).then(S.B)
    saga.at(S.B).run(nothing).when(moody_nothing, S.C).then(S.D)


def test_a_skipped_step_whose_guard_raises_is_parked_and_its_guard_is_asked_again() -> None:
    run = drive(guarded)
    run.succeeds(ONE)
    run.fails()
    with Moody(raising=True):
        run.tell(SKIP)
        assert (run.line, run.results) == (["step B: parked W16 then"], [f"one {ONE}"])
        run.tell(RETRY)
        assert run.line == ["step B: parked W16 then"]
    assert run.tell(RETRY).after.state == "C"


def test_a_step_that_is_done_and_whose_guard_raised_cannot_be_skipped() -> None:
    run = drive(guarded)
    run.succeeds(ONE)
    with Moody(raising=True):
        run.succeeds()
        assert run.refused(SKIP).exit_code == 7


def test_skip_of_a_step_whose_result_is_needed_is_refused() -> None:
    error = parked_in_a().refused(SKIP)
    assert error.exit_code == 7
    assert str(error) == (
        "A cannot be skipped: what follows needs its result. Mend the cause and `saga retry`, "
        "say what happened with `saga resolve`, or `saga rollback`"
    )


def test_skip_where_nothing_is_parked_is_refused() -> None:
    assert str(drive(parked).refused(SKIP)) == "nothing to skip: no task is parked"


def test_skip_of_a_wait_whose_way_is_parked_is_refused() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).wait(reject, deadline=hours(1)).when(odd_note, S.C).then(S.B, timed_out=S.C)

    run = drive(write)
    run.send("reject")
    assert run.line == ["wait A: parked W16 then"]
    assert run.refused(SKIP).exit_code == 7
    run.tell(RETRY)
    assert run.line == ["wait A: parked W16 then"]


# --- resolve


def test_a_step_found_to_be_done_goes_on_with_the_result_that_was_found() -> None:
    run = parked_in_a()
    run.tell(FOUND)
    assert (run.where, run.results, run.stack) == (("B", "running"), [f"one {ONE}"], ["A#1 done", "B#1 started"])


def test_a_step_found_not_to_be_done_is_tried_again() -> None:
    run = parked_in_a()
    assert run.tell(NOT_FOUND).commands == (c.SetDue("r.1", run.now),)


@pytest.mark.parametrize("value", ["null", "{}x", '{"m":1}'])
def test_a_step_found_to_be_done_needs_its_result(value: str) -> None:
    error = parked_in_a().refused(e.Resolved("bob", "it is there", done=True, value=value))
    assert (str(error), error.exit_code) == ("what follows A needs its result: give it as Value", 2)


def test_a_step_that_returns_nothing_is_found_to_be_done_without_a_result() -> None:
    run = parked_in_b()
    error = run.refused(e.Resolved("bob", "it is there", done=True, value=ONE))
    assert (str(error), error.exit_code) == ("B returns nothing: leave the result out", 2)
    run.tell(e.Resolved("bob", "it is there", done=True))
    assert run.where == ("DONE", "completed")


@pytest.mark.parametrize("found", [FOUND, NOT_FOUND])
def test_resolve_where_no_step_or_undo_is_in_doubt_is_refused(found: e.Resolved) -> None:
    text = "nothing to resolve: no step and no undo of this state is parked in doubt"
    running = drive(parked)
    guarded = drive(lambda saga: saga.at(S.A).run(one).when(raises, S.B).then(S.C))
    guarded.succeeds(ONE)
    timed = drive(lambda saga: saga.at(S.A).run(two, deadline=hours(1)).then(S.B))
    timed.fires("timed_out")
    for run in (running, guarded, timed):
        assert str(run.refused(found)) == text
