"""``saga why``, word for word: what is set aside for a person."""

from __future__ import annotations

from typing import get_args

import pytest

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Parked
from saga_engine.domain.values import ParkCode
from saga_engine.domain.why import Attempt, waiting_on, why
from saga_engine.domain.whys.parked import SENTENCES
from tests.domain_views.asking import (
    ALIVE,
    BY_HAND,
    HOUR,
    POLL,
    UNSHOWN,
    around,
    attempt_of,
    first,
    loading,
    told,
)
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import Mood, saga_of
from tests.domain_views.walks import ME, begin, broken, done, lease, tell


def test_w14_a_spent_budget() -> None:
    run = done(POLL, loading(), "null", '{"missing":1}', "null", '{"missing":1}')

    assert (
        told(POLL, run)
        == """\
W14 LOADING was visited 2 times, which is its limit, so VALIDATING does not lead on
  task run.7, set aside at attempt 1
  > saga retry migrate-7f3k2: goes on, past the limit, once → LOADING
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes LOADING, LOADING
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes LOADING, LOADING
"""
    )
    assert waiting_on(POLL, run, around()) == "a person: VALIDATING (W14)"


def test_w16_a_guard_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mood, "raises", True)
    run = done(UNSHOWN, begin(UNSHOWN), "null")

    assert (
        told(UNSHOWN, run)
        == """\
W16 no way can be chosen after LOADING: guard moody raised ValueError: not today
  task run.1, set aside at attempt 1
  > saga retry migrate-7f3k2: asks the guard again, once it is mended
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes LOADING
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes LOADING
"""
    )
    monkeypatch.setattr(Mood, "raises", False)
    assert told(UNSHOWN, run).splitlines()[2] == (
        "  > saga retry migrate-7f3k2: asks the guard again, once it is mended → VALIDATING"
    )


def test_w16_a_gate_with_nothing_to_show_is_not_opened_by_trying_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mood, "says", True)

    assert (
        told(UNSHOWN, done(UNSHOWN, begin(UNSHOWN), "null"))
        == """\
W16 the gate of ASKING cannot open: the approval shows validate, which has no result in this run
  task run.2, set aside
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes LOADING
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes LOADING
  > saga retry migrate-7f3k2: opens the gate again, if what it shows is there now
"""
    )


def test_w16_and_w14_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = Chart(
        saga_of("""
stop = Event("stop", Abort, unhandled="defer")
(saga.at(S.LOADING, visits=1).run(load, timeout=hours(1)).reads_only()
     .on(stop, S.DONE, when=moody).on(stop, S.LOADING).then(S.DONE))
""")
    )
    monkeypatch.setattr(Mood, "raises", True)
    raised = tell(chart, begin(chart), e.EventReceived("stop", '{"reason":"now"}', "bob"))
    monkeypatch.setattr(Mood, "raises", False)
    spent = tell(chart, begin(chart), e.EventReceived("stop", '{"reason":"now"}', "bob"))

    assert told(chart, raised).splitlines()[:4] == [
        "W16 no way can be chosen after the event stop: guard moody raised ValueError: not today",
        "  task run.2.1, set aside",
        "  > saga retry migrate-7f3k2: offers it to the state again",
        "  > saga skip migrate-7f3k2 --reason …: drops the event",
    ]
    assert told(chart, spent).splitlines()[:4] == [
        "W14 LOADING was visited 1 times, which is its limit, so the event stop does not lead on",
        "  task run.2.1, set aside",
        "  > saga retry migrate-7f3k2: offers it to the state again",
        "  > saga skip migrate-7f3k2 --reason …: drops the event",
    ]


def test_w17_an_undo_that_failed() -> None:
    back = tell(POLL, done(POLL, loading(), "null"), e.RollbackRequested("ann"))
    for _ in range(20):
        due = back.head()
        assert due is not None
        back = broken(POLL, back, "OperationalError: locked", now=due.due_at or NOON)

    assert (
        told(POLL, back)
        == """\
W17 the undo of LOADING failed for good: OperationalError: locked
  task run.6, set aside at attempt 20, failed 20 times
  > saga retry migrate-7f3k2: tries the undo of LOADING again, with a new budget
  > saga resolve migrate-7f3k2 --done --evidence …: you looked: the undo of LOADING took effect → GONE
  > saga resolve migrate-7f3k2 --not-done --evidence …: you looked: the undo of LOADING changed nothing
  > saga skip migrate-7f3k2 --reason …: goes on as if it were done: you have taken it over → GONE
"""
    )


def test_w21_a_ledger_that_is_ahead() -> None:
    run = broken(POLL, loading(), "the head row has attempt 4", park="W21")

    assert first(POLL, run) == "W21 the target's ledger is ahead of the store at LOADING: the head row has attempt 4"


def test_w22_a_step_without_a_failed_way() -> None:
    run = broken(POLL, loading(), "PermissionError: no", final=True)

    assert (
        told(POLL, run, tasks=attempt_of(run, progress="3/40 chunks", same_error=2, crashes=1))
        == """\
W22 LOADING cannot go on by itself: PermissionError: no
  task run.3.1, set aside at attempt 1, failed 1 time
  it had come to 3/40 chunks
  the same error on 2 other runs
  1 worker ended while holding it; at 3 it is set aside (W24)
  > saga retry migrate-7f3k2: tries LOADING again, with a new budget
  > saga resolve migrate-7f3k2 --done --evidence …: you looked: LOADING took effect → VALIDATING
  > saga resolve migrate-7f3k2 --not-done --evidence …: you looked: LOADING changed nothing
  > saga skip migrate-7f3k2 --reason …: goes on as if it were done: you have taken it over → VALIDATING
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes LOADING
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes LOADING
"""
    )


def test_w22_a_deadline_without_a_way() -> None:
    run, late = loading(), NOON + 3 * HOUR
    timer = next(task for task in run.tasks if task.kind == "timer")
    run = tell(POLL, lease(run, timer.name), e.TimerFired(timer.name, 1, ME), now=late)

    assert (
        told(POLL, run, now=late)
        == """\
W22 the deadline of LOADING passed and no way leads on
  task run.4, set aside at attempt 1
  > saga retry migrate-7f3k2: lets the run go on without this deadline
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → GONE
  > saga cancel migrate-7f3k2: gives the run up → GONE
W00 LOADING is due since 12:00:00 UTC; db-2 (pid 7) has room and takes it at its next look
"""
    )


def test_w22_a_notice_that_failed() -> None:
    run = broken(POLL, begin(POLL), "SMTPError: refused", final=True)

    assert (
        told(POLL, run)
        == """\
W22 the notice on entering WAITING cannot go on by itself: SMTPError: refused
  task run.1, set aside at attempt 1, failed 1 time
  > saga retry migrate-7f3k2: sends it again
  > saga skip migrate-7f3k2 --reason …: goes on without it
"""
    )


def test_w22_is_all_that_an_ended_run_says_of_itself() -> None:
    loaded = done(BY_HAND, begin(BY_HAND), '{"rows":1}', "null", "null", "null", "null")
    ended = broken(BY_HAND, loaded, "ValueError: bad rows", final=True)
    unsent = broken(BY_HAND, ended, "SMTPError: refused", final=True)

    assert (ended.status, why(BY_HAND, ended, around()), waiting_on(BY_HAND, ended, around())) == ("failed", [], "")
    assert told(BY_HAND, unsent).splitlines()[::2] == [
        "W22 the notice on entering STOPPED cannot go on by itself: SMTPError: refused",
        "  > saga retry migrate-7f3k2: sends it again",
    ]


def test_w23_a_step_by_hand_in_doubt_asks_what_it_did() -> None:
    run = broken(BY_HAND, begin(BY_HAND), "OSError: reset")

    assert (
        told(BY_HAND, run)
        == """\
W23 nobody knows what EXPORTING did: OSError: reset
  task run.1, set aside at attempt 1, failed 1 time
  > saga resolve migrate-7f3k2 --done --evidence … --result …: you looked: EXPORTING took effect
  > saga resolve migrate-7f3k2 --not-done --evidence …: you looked: EXPORTING changed nothing
  > saga retry migrate-7f3k2: tries EXPORTING again, though it may have taken effect already
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes EXPORTING
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes EXPORTING
"""
    )


def test_w23_of_a_pivot_leads_back_only_when_it_took_no_effect() -> None:
    pivot = done(BY_HAND, begin(BY_HAND), '{"rows":1}', "null", "null")
    doubt = broken(BY_HAND, pivot, "OSError: reset")
    none = tell(BY_HAND, doubt, e.Resolved("ann", "no row there", done=False))

    assert told(BY_HAND, doubt).splitlines()[2:] == [
        "  > saga resolve migrate-7f3k2 --done --evidence …: you looked: CUTTING_OVER took effect → LOADING",
        "  > saga resolve migrate-7f3k2 --not-done --evidence …: you looked: CUTTING_OVER changed nothing",
        "  > saga retry migrate-7f3k2: tries CUTTING_OVER again, though it may have taken effect already",
    ]
    assert told(BY_HAND, none).splitlines()[2:] == [
        "  > saga retry migrate-7f3k2: tries CUTTING_OVER again, with a new budget",
        "  > saga resolve migrate-7f3k2 --done --evidence …: you looked: CUTTING_OVER took effect → LOADING",
        "  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes EXPORTING",
        "  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes EXPORTING",
    ]


def test_w23_an_attempt_that_was_asked_to_stop_is_waited_for_then_looked_for() -> None:
    stopping = tell(BY_HAND, lease(begin(BY_HAND)), e.CancelRequested("ann"))
    lost = tell(BY_HAND, stopping, e.AttemptLost("run.1", 1, ME, 1, known_dead=False, runner="db-2 pid 7"))

    assert (
        told(BY_HAND, stopping, tasks={"run.1": Attempt(ALIVE)})
        == """\
W23 attempt 1 of EXPORTING on db-2 (pid 7) was asked to stop, and what follows waits for it
  its worker renewed its lease 3 s ago
  > saga doctor: shows the workers and how long each has been silent; the attempt ends with its process
"""
    )
    assert waiting_on(BY_HAND, stopping, around(tasks={"run.1": Attempt(ALIVE)})) == "attempt 1 to end"
    assert (
        told(BY_HAND, lost)
        == """\
W23 nobody knows what EXPORTING did: its last attempt may still be running on db-2 pid 7
  task run.1, set aside at attempt 1
  > saga retry migrate-7f3k2: make sure that it has ended (or end it), then this lets the run go on
  > saga skip migrate-7f3k2 --reason …: make sure that it has ended (or end it), then this does the same
"""
    )


def test_w24_a_task_that_kills_its_worker() -> None:
    run = lease(loading())
    run = tell(POLL, run, e.AttemptLost("run.3.1", 1, ME, 3, known_dead=False, runner="db-2 pid 7"))

    assert told(POLL, run).splitlines()[:3] == [
        "W24 LOADING kills its worker: 3 processes died with this task; last: db-2 pid 7",
        "  task run.3.1, set aside at attempt 1",
        "  > saga retry migrate-7f3k2: make sure that it has ended (or end it), then this tries it again",
    ]


def test_what_set_it_aside_does_not_hide_the_last_error() -> None:
    failed = broken(POLL, loading(), "OSError: disk full")
    head = failed.head()
    assert head is not None
    aside = replace(head, due_at=None, parked=Parked("W24", "3 processes died"))
    run = replace(failed, tasks=tuple(aside if task is head else task for task in failed.tasks))

    assert told(POLL, run).splitlines()[1:3] == [
        "  task run.3.1, set aside at attempt 1, failed 1 time",
        "  last error: OSError: disk full",
    ]


def test_every_code_that_parks_has_its_sentence() -> None:
    assert set(SENTENCES) == set(get_args(ParkCode))
