"""What a run does when a person has compared it with a ledger that knows more; and what such a ledger means."""

from __future__ import annotations

import pytest

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.frozen import replace
from saga_engine.domain.ledgers import IN_STEP, Seen, judge, missing, untouched
from tests.domain.driver import WORKER, Drive, drive
from tests.domain.sagas import ONE, Lines, S, back_one, one, two


def steps(saga: Lines) -> None:
    saga.at(S.A).run(one, promise="effect").undo(back_one).then(S.B, failed=S.BACK)
    saga.at(S.B).run(two, promise="effect").undo(back_one).then(S.DONE, failed=S.BACK)


def ahead() -> Drive:
    """A is parked: its ledger has seen more attempts than the store."""
    run = drive(steps)
    run.fails("the ledger is ahead", park="W21")
    return run


def found(task: str, attempt: int) -> e.Reconciled:
    return e.Reconciled("ann", task, attempt, "dw: attempt 7 has written")


def test_the_next_attempt_is_newer_than_what_the_ledger_has_seen() -> None:
    run = ahead()
    decision = run.tell(found("r.1", 7))
    assert decision.commands == (c.RaiseAttempt("r.1", 7), c.SetDue("r.1", run.now))
    assert (run.run.status, run.claim().attempt) == ("running", 8)


def test_a_parked_step_that_turns_out_to_be_in_step_goes_on() -> None:
    run = ahead()
    assert run.tell(found("r.1", 1)).commands == (c.SetDue("r.1", run.now),)
    assert run.claim().attempt == 2


def test_in_a_paused_run_it_goes_on_at_the_resume() -> None:
    run = ahead()
    run.tell(e.PauseRequested("ann"))
    run.tell(found("r.1", 7))
    assert (run.due(), run.run.tasks[0].attempt) == ([], 7)
    run.tell(e.ResumeRequested("ann"))
    assert run.claim().attempt == 8


def test_a_count_never_goes_back_and_where_all_is_in_step_nothing_is_recorded() -> None:
    run = drive(steps)
    run.claim()
    run.freed()
    assert run.unmoved(found("r.1", 1)) == "store and ledgers are in step; nothing to do"
    assert run.unmoved(found("r.1", 0)) == "store and ledgers are in step; nothing to do"
    assert run.tell(found("r.1", 5)).commands == (c.RaiseAttempt("r.1", 5),)


def test_what_runs_is_over_or_has_ended_is_not_reconciled() -> None:
    run = drive(steps)
    assert "is not open any more" in str(run.refused(found("r.9", 7)))
    run.claim(by=WORKER)
    assert "runs at this moment" in str(run.refused(found("r.1", 7)))
    run.succeeds(ONE)
    assert "is not open any more" in str(run.refused(found("r.1", 7)))
    run.succeeds(ONE)
    assert run.refused(found("r.2", 7)).exit_code == 7


# --- what a row of a ledger means for the run


def seen(  # noqa: PLR0917  in the order of the row
    task: str, step: str | None, status: str = "open", token: int = 1, undo_token: int = 0, parts: int = 1
) -> Seen:
    return Seen(task, step, status, token, undo_token, parts)


@pytest.mark.parametrize(
    ("row", "verdict", "mend"),
    [
        (seen("r.1", "A 1", token=1), "in step", ""),
        (seen("r.1", None, token=1), "in step", ""),
        (seen("r.1", "A 1", token=7), "ahead", "raise"),
        (seen("r.1", "A 1", "undone", undo_token=1, parts=0), "ahead", ""),
        (seen("r.1", "B 1"), "unknown", "aside"),
        (seen("r.1", "B 1", parts=0), "unknown", "free"),
        (seen("r.1", "B 1", "undone", undo_token=1, parts=0), "unknown", "free"),
        (seen("r.2", "B 1"), "unknown", "aside"),
        (seen("r.2", "B 1", parts=0), "unknown", "close"),
        (seen("r.2", "B 1", "undone", undo_token=1, parts=0), "in step", ""),
        (seen("r.2", None), "unknown", ""),
        (Seen("r.B.1", "B 1", "open", 1, 0, 1, aside=True), "set aside", ""),
        (Seen("r.B.1", "B 1", "undone", 1, 1, 0, aside=True), "in step", ""),
    ],
)
def test_a_row_is_compared_with_the_step_that_is_open(row: Seen, verdict: str, mend: str) -> None:
    meaning = judge(ahead().run, row)
    assert (meaning.verdict, meaning.mend, bool(meaning.text)) == (verdict, mend, True)


def test_that_a_step_was_somewhere_is_noted_while_it_may_have_to_be_undone_there() -> None:
    run = ahead().run
    row = seen("r.1", "A 1")
    assert untouched(run, row, IN_STEP).mend == "touch"
    raises = judge(run, seen("r.1", "A 1", token=7))
    assert untouched(run, row, raises) is raises
    assert untouched(run, seen("r.7", "A 1"), IN_STEP) is IN_STEP
    over = replace(run, undo=tuple([replace(entry, status="undone") for entry in run.undo]))
    assert untouched(over, row, IN_STEP) is IN_STEP


def test_a_step_that_is_done_is_in_step_ahead_behind_or_there_twice() -> None:
    run = drive(steps)
    run.succeeds(ONE)
    assert judge(run.run, seen("r.1", "A 1")) is IN_STEP
    assert judge(run.run, seen("r.1", "A 1", "undone", undo_token=1, parts=0)).next == "saga rollback {run}"
    twice = judge(run.run, seen("r.7", "A 1"))
    assert (twice.verdict, twice.mend, twice.next) == ("unknown", "", "saga reconcile {run} --settled r.7")
    lost = missing(run.run, "r.1")
    assert (lost.verdict, lost.next) == ("behind", "saga rollback {run}")
    assert missing(run.run, "r.2") is IN_STEP
    sealed = replace(run.run, undo=tuple([replace(entry, status="sealed") for entry in run.run.undo]))
    assert missing(sealed, "r.1").next == "saga history {run}"
    assert missing(replace(run.run, status="completed"), "r.1").next == "saga history {run}"


def test_of_work_that_its_target_has_lost_a_person_is_told_what_the_run_takes() -> None:
    run = drive(steps)
    run.succeeds(ONE)
    run.tell(e.RollbackRequested("ann"))
    assert missing(run.run, "r.1").next == "saga history {run}"
    run.fails("no such table", final=True)
    assert (run.run.status, missing(run.run, "r.1").next) == ("parked", "saga resolve {run} --done --evidence …")
    run.tell(e.Resolved("ann", done=True, evidence="it is gone"))
    assert (run.run.ended, missing(run.run, "r.1")) == (True, IN_STEP)


def test_an_undo_is_counted_on_like_a_step_and_what_it_left_is_told() -> None:
    run = drive(steps)
    run.succeeds(ONE)
    run.tell(e.CancelRequested("ann"))
    undo = run.run.tasks[0]
    assert undo.kind == "undo"
    assert judge(run.run, seen("r.1", "A 1", "undoing", undo_token=undo.attempt)) is IN_STEP
    meaning = judge(run.run, seen("r.1", "A 1", "undoing", undo_token=4))
    assert (meaning.verdict, meaning.mend, meaning.task, meaning.attempt) == ("ahead", "raise", undo.name, 4)
    aside = judge(run.run, Seen("r.B.1", "B 1", "open", 1, 0, 1, aside=True))
    assert (aside.verdict, aside.next) == ("unknown", "saga reconcile {run} --settled r.B.1")
    run.succeeds()
    assert run.run.ended
    assert judge(run.run, seen("r.1", "A 1", "undone", undo_token=1, parts=0)) is IN_STEP
    assert judge(run.run, seen("r.1", "A 1", "undone", undo_token=1, parts=2)).verdict == "behind"
    skipped = replace(run.run, undo=tuple([replace(entry, status="skipped") for entry in run.run.undo]))
    assert judge(skipped, seen("r.1", "A 1", "undoing", undo_token=2)) is IN_STEP
