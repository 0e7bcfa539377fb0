"""The end of a run: its status at once, its notices afterwards."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.values import hours
from saga_engine.domain.snapshot import Parked
from saga_engine.domain.values import ParkCode
from tests.domain.driver import CANCEL, RETRY, ROLLBACK, SKIP, WORKER, Drive, drive, event
from tests.domain.sagas import ONE, Lines, S, bye, defer, hello, one, reject, two


def noticing(saga: Lines) -> None:
    saga.at(S.A, leaving=bye).run(one).then(S.DONE)
    saga.final(S.DONE, entering=hello)


def ended() -> Drive:
    run = drive(noticing)
    run.succeeds(ONE)
    return run


def test_the_status_is_final_at_once_and_the_notices_follow_in_order() -> None:
    run = ended()
    assert (run.where, run.run.ended) == (("DONE", "completed"), True)
    assert run.line == ["leaving A: due 0:00:00", "entering DONE: held"]
    run.succeeds()
    assert run.line == ["entering DONE: due 0:00:00"]
    run.succeeds()
    assert (run.where, run.run.tasks) == (("DONE", "completed"), ())


def test_a_notice_that_fails_for_good_is_a_finding_and_the_run_stays_ended() -> None:
    run = ended()
    run.succeeds()
    run.fails("E: no mail")
    for _ in range(7):
        run.now = run.run.line()[0].due_at or run.now
        run.fails("E: no mail")
    assert (run.where, run.run.line()[0].parked) == (("DONE", "completed"), Parked("W22", "E: no mail"))


@pytest.mark.parametrize("park", ["W21", None])
def test_no_kind_of_trouble_of_a_notice_parks_a_run_that_has_ended(park: ParkCode | None) -> None:
    failed, crashed = ended(), ended()
    failed.fails(final=True, park=park)
    crashed.lost(crashes=3)
    for run in (failed, crashed):
        assert (run.run.status, run.run.line()[0].parked is not None) == ("completed", True)


def test_a_parked_notice_of_a_run_that_has_ended_can_be_retried_or_skipped() -> None:
    for ask, line in ((RETRY, "leaving A: due 0:00:00"), (SKIP, "entering DONE: due 0:00:00")):
        run = ended()
        run.fails(final=True)
        run.tell(ask)
        assert (run.where, run.line[0]) == (("DONE", "completed"), line)


@pytest.mark.parametrize(
    "ask", [CANCEL, ROLLBACK, RETRY, SKIP, event("reject"), e.Resolved("bob", "looked", done=True)]
)
def test_what_is_asked_of_a_run_that_has_ended_is_refused(ask: e.Request) -> None:
    error = ended().refused(ask)
    assert (str(error), error.exit_code) == ("r has ended: completed in DONE.", 7)


def test_a_notice_that_backs_off_after_the_end_is_not_retried_by_a_person() -> None:
    run = ended()
    run.fails()
    assert run.refused(RETRY).exit_code == 7


@pytest.mark.parametrize(("outcome", "status"), [("completed", "completed"), ("failed", "failed")])
def test_an_end_says_whether_it_is_a_success(outcome: str, status: str) -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one).then(S.B)
        saga.final(S.B, outcome="failed" if outcome == "failed" else "completed")

    run = drive(write)
    run.succeeds(ONE)
    assert run.where == ("B", status)


def test_a_run_may_begin_in_its_end() -> None:
    run = drive(lambda saga: saga.final(S.A))
    assert (run.where, run.run.tasks, run.journal) == (
        ("A", "completed"),
        (),
        [(e.RunStarted("ann"), (c.Move("", "A", 1, "start"), c.Finish("completed")))],
    )


def test_timers_and_events_end_with_the_run() -> None:
    def write(saga: Lines) -> None:
        saga.at(S.A).run(one, deadline=hours(1)).then(S.DONE)
        saga.at(S.B).run(two).on(defer, S.DONE).then(S.DONE)
        saga.group(S.A, S.DONE, deadline=hours(2)).then()

    run = drive(write)
    run.send("defer")
    run.succeeds(ONE)
    assert (run.where, run.run.tasks, run.run.inbox) == (("DONE", "completed"), (), ())


def test_an_attempt_that_is_still_ending_when_the_run_has_ended_changes_nothing_but_itself() -> None:
    run = drive(lambda saga: saga.at(S.A).run(one).reads_only().on(reject, S.DONE).then(S.DONE))
    run.claim()
    run.send("reject")
    assert (run.where, run.line) == (("DONE", "completed"), ["step A: ending, then leave"])
    run.tell(e.ActionSucceeded("r.1", 1, WORKER, ONE))
    assert (run.where, run.run.tasks) == (("DONE", "completed"), ())
