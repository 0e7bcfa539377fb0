"""``saga why``, word for word: what waits for people and events."""

from __future__ import annotations

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.frozen import replace
from saga_engine.domain.why import Hold, waiting_on
from tests.domain_views.asking import (
    ALIVE,
    MIGRATE,
    MINUTE,
    POLL,
    around,
    asking,
    attempt_of,
    polled,
    told,
    voted,
    waits,
)
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import saga_of
from tests.domain_views.walks import begin, lease, tell


def test_w03_an_approval_says_who_may_answer_until_when_and_what_happens_then() -> None:
    run = voted(asking(), "bob", reason="counts are right")

    assert (
        told(MIGRATE, run)
        == """\
W03 waits for the approval of dba: 1 of 2 given, asked at 12:00:00 UTC; \
expires at 2026-11-23 12:00:00 UTC (in 1 d) → ROLLING_BACK
  may answer: ann, cleo
  approved by bob at 12:00:00 UTC: counts are right
  shown: {"missing":0}
  > saga approve migrate-7f3k2 --reason …: shows what is decided on and asks → CUTTING_OVER
  > saga reject migrate-7f3k2 --reason …: one rejection is enough → ROLLING_BACK
  > saga rollback migrate-7f3k2 --plan: \
shows the way back; taken without --plan → ROLLING_BACK, undoes LOADING, EXPORTING
  > saga cancel migrate-7f3k2: gives the run up → ROLLING_BACK, undoes LOADING, EXPORTING
"""
    )
    assert waiting_on(MIGRATE, run, around()) == "approval by dba (1/2)"


def test_w03_where_nobody_may_answer_the_roles_are_the_thing_to_mend() -> None:
    run = asking()

    assert told(MIGRATE, run, roles={}).splitlines()[1:4] == [
        "  nobody may answer: no member of dba is left who has not",
        '  shown: {"missing":0}',
        "  > saga check: names the role and where its members are written: [roles] in the settings",
    ]


def test_w03_counts_those_who_are_left() -> None:
    run = voted(asking(), "bob")
    assert run.gate is not None
    run = replace(run, gate=replace(run.gate, need=5, not_starter=True, shows="x" * 300))

    assert told(MIGRATE, run).splitlines()[1:5] == [
        "  may answer: cleo",
        "  needed: 4 more, and only 1 may still answer",
        "  approved by bob at 12:00:00 UTC",
        f"  shown: {'x' * 200}…",
    ]


def test_w03_a_rejection_while_paused_is_shown_until_it_acts() -> None:
    run = voted(tell(MIGRATE, asking(), e.PauseRequested("cleo")), "bob", approved=False, reason="wrong window")

    assert "  rejected by bob at 12:00:00 UTC: wrong window" in told(MIGRATE, run).splitlines()


def test_w06_an_awaited_event_is_named_with_its_deadline() -> None:
    assert (
        told(POLL, polled(), entered_at=NOON - MINUTE)
        == """\
W06 WAITING waits for the event file since 11:59:00 UTC; gives up at 20:00:00 UTC (in 8 h) → BACK
  no other event waits for this run
  > saga send migrate-7f3k2 file --data '{"path": …}': is what it waits for → LOADING or WAITING
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes nothing
  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes nothing
"""
    )
    assert waiting_on(POLL, polled(), around()) == "event file"


def test_w06_a_near_miss_is_an_event_whose_guard_says_no() -> None:
    assert told(POLL, waits(polled())).splitlines()[1] == (
        '  the event abort by bob has arrived and waits: urgent said no to {"reason":"later"}'
    )


def test_w06_a_near_miss_is_an_event_that_another_state_takes() -> None:
    other = Chart(
        saga_of("""
file = Event("file", Arrived, unhandled="reject")
go = Event("go", Abort, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.SECOND, timed_out=S.LATE)
saga.at(S.SECOND).wait(go, deadline=hours(8)).then(S.DONE, timed_out=S.LATE)
""")
    )
    run = tell(other, begin(other), e.EventReceived("go", '{"reason":"now"}', "bob"))

    assert told(other, run).splitlines()[:3] == [
        "W06 WAITING waits for the event file; gives up at 20:00:00 UTC (in 8 h) → LATE",
        "  the event go by bob has arrived and waits for a state that takes it",
        "  > saga send migrate-7f3k2 file --data '{\"path\": …}': is what it waits for → SECOND",
    ]


def test_w06_of_a_paused_run_the_event_itself_may_wait_for_the_resume() -> None:
    paused = tell(POLL, polled(), e.PauseRequested("cleo"), e.EventReceived("file", '{"path":"x"}', "bob"))

    assert told(POLL, waits(paused)).splitlines()[7:10] == [
        "W06 WAITING waits for the event file",
        "  the event file by bob has arrived and waits for the resume",
        "  the event abort by bob has arrived and waits for the resume",
    ]


def test_w09_a_pause_names_who_why_and_what_it_holds_back() -> None:
    run = tell(POLL, waits(polled()), e.PauseRequested("cleo", "CHG-4411"))
    hold = Hold("cleo", "CHG-4411", NOON - MINUTE)

    assert told(POLL, run, paused=hold).splitlines()[:6] == [
        "W09 the run is paused by cleo since 11:59:00 UTC: CHG-4411",
        "  the deadline of WAITING is held since the pause; it was due at 20:00:00 UTC",
        "  the event abort by bob has arrived",
        "  > saga resume migrate-7f3k2: lets it go on; what arrived meanwhile acts now, in order of arrival",
        "  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → BACK, undoes nothing",
        "  > saga cancel migrate-7f3k2: gives the run up → BACK, undoes nothing",
    ]
    assert waiting_on(POLL, run, around(paused=hold)) == "resume (paused by cleo)"


def test_w09_an_attempt_that_runs_on_is_shown_too() -> None:
    run = tell(MIGRATE, lease(begin(MIGRATE)), e.PauseRequested("cleo"))

    assert told(MIGRATE, run, tasks=attempt_of(run, holder=ALIVE)).splitlines()[:2] == [
        "W09 the run is paused",
        "  attempt 1 of EXPORTING runs on and will be recorded",
    ]
    assert waiting_on(MIGRATE, run, around()) == "resume"
