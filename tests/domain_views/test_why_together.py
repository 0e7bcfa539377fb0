"""``saga why``: which reason comes first, and what is said where little is known."""

from __future__ import annotations

from dataclasses import replace as with_
from datetime import datetime, timedelta

import pytest

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.why import Attempt, Kept, waiting_on, why
from tests.domain_views.asking import (
    ALIVE,
    BY_HAND,
    HOUR,
    IDLE,
    MIGRATE,
    POLL,
    around,
    asking,
    first,
    loading,
    polled,
    told,
    waits,
)
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import Mood, saga_of
from tests.domain_views.walks import ME, begin, broken, done, lease, tell


def test_what_a_person_must_act_on_first_comes_first() -> None:
    run = tell(POLL, broken(POLL, loading(), "PermissionError: no", final=True), e.PauseRequested("cleo"))
    kept = (Kept("W12", "dw.orders: our pid 48122 waits for pid 47010", NOON - HOUR), Kept("W99", "new", NOON))

    assert [reason.code for reason in why(POLL, run, around(findings=kept))] == ["W22", "W09", "W12", "W99"]


def test_what_is_set_aside_comes_before_an_attempt_that_has_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = Chart(
        saga_of("""
stop = Event("stop", Abort, unhandled="defer")
(saga.at(S.LOADING).run(load, retry=Retry(3), timeout=hours(1)).reads_only()
     .on(stop, S.DONE, when=moody).then(S.DONE))
""")
    )
    stopping = tell(chart, lease(begin(chart)), e.AttemptTimedOut("run.1", 1, ME, "longer than 1 h"))
    monkeypatch.setattr(Mood, "raises", True)
    run = tell(chart, stopping, e.EventReceived("stop", '{"reason":"now"}', "bob"))

    assert [reason.code for reason in why(chart, run, around(tasks={"run.1": Attempt(ALIVE)}))] == ["W16", "W23"]


def test_an_overdue_timer_without_a_worker_is_told_beside_the_gate() -> None:
    late = NOON + timedelta(days=2)

    assert [line for line in told(MIGRATE, asking(), now=late, workers=()).splitlines() if line[0] == "W"] == [
        (
            "W01 the expiry of the approval of AWAITING_CUTOVER is due since 2026-11-23 12:00:00 UTC, "
            "and no live worker serves the queue default"
        ),
        (
            "W03 waits for the approval of dba: 0 of 2 given, asked at 2026-11-22 12:00:00 UTC; "
            "expires at 2026-11-23 12:00:00 UTC (overdue) → ROLLING_BACK"
        ),
    ]
    busy = (with_(IDLE, busy=8),)
    assert [reason.code for reason in why(MIGRATE, asking(), around(now=late, workers=busy))] == ["W03"]


def test_a_timer_is_named_for_what_it_ends() -> None:
    names = [
        timer("timed_out", "GROUP_1"),
        timer("timed_out", "LOADING"),
        timer("escalate", "ASKING"),
        timer("forget", "X"),
    ]

    assert names == [
        "the deadline of the group of EXPORTING, TIDYING",
        "the deadline of LOADING",
        "the escalation of the approval of ASKING",
        "the time to live of a waiting event",
    ]


def timer(outcome: str, level: str) -> str:
    """How an overdue timer is called that nobody can take."""
    row = Task("run.9", "timer", level, 1, 0, due_at=NOON, outcome=outcome)
    held = replace(lease(begin(BY_HAND)), tasks=(*lease(begin(BY_HAND)).tasks, row))
    return first(BY_HAND, held, workers=()).removeprefix("W01 ").partition(" is due since")[0]


def test_what_a_worker_cannot_record_is_said_as_long_as_it_lives_and_holds_something() -> None:
    run, kept = lease(begin(MIGRATE)), (Kept("W25", "what came of it cannot be recorded", NOON),)
    codes = {
        name: [reason.code for reason in why(MIGRATE, run, around(findings=kept, tasks={"run.1": Attempt(holder)}))]
        for name, holder in {
            "alive": ALIVE,
            "silent": with_(ALIVE, lease_until=NOON - HOUR),
            "gone": with_(ALIVE, is_gone=True),
            "ended": with_(ALIVE, ended_at=NOON),
            "nobody": None,
        }.items()
    }
    assert codes.pop("alive") == ["W25", "W00"]
    assert not [name for name, found in codes.items() if "W25" in found]
    ended = replace(run, status="completed")
    assert [reason.code for reason in why(MIGRATE, ended, around(findings=kept, tasks={"run.1": Attempt(ALIVE)}))] == [
        "W25"
    ], "a notice of its end"


def test_a_fresh_look_outranks_what_the_keeper_saw() -> None:
    kept = (Kept("W01", "no live worker serves the queue default", NOON - HOUR),)

    assert told(MIGRATE, begin(MIGRATE), findings=kept).startswith("W00 EXPORTING is due")
    assert (
        told(MIGRATE, begin(MIGRATE), findings=kept, workers=None)
        == """\
W01 no live worker serves the queue default
  seen since 11:00:00 UTC
  > saga doctor: looks again, at the store and the workers
W00 EXPORTING is due since 12:00:00 UTC
"""
    )


def test_without_the_saga_its_file_is_the_first_thing_needed() -> None:
    failed = broken(POLL, loading(), "PermissionError: no", final=True)
    load = "  > saga --workflows … why migrate-7f3k2: migrate v1 is not loaded here; its file tells what helps"

    assert told(None, failed).splitlines()[0::2] == ["W22 LOADING cannot go on by itself: PermissionError: no", load]
    assert told(None, polled()).splitlines() == [
        "W06 WAITING waits for an event; gives up at 20:00:00 UTC (in 8 h)",
        "  no other event waits for this run",
        load,
    ]
    assert told(None, asking()).splitlines()[-1] == load
    assert told(None, begin(POLL), workers=()).splitlines()[1:] == ["  > saga worker: starts a worker here"]
    assert told(None, waits(polled())).splitlines()[1] == (
        "  the event abort by bob has arrived and waits for a state that takes it"
    )
    assert waiting_on(None, polled(), around()) == "an event"


def test_a_live_run_in_which_nothing_is_open_is_the_engines_fault_and_said_to_be() -> None:
    assert (
        told(MIGRATE, replace(begin(MIGRATE), tasks=()))
        == """\
W22 the run is live and nothing in it is due, awaited or set aside: that should never be, and nothing moves it
  state EXPORTING, revision 1
  > saga doctor: lists such runs and checks the store
"""
    )
    held: Task = replace(begin(MIGRATE).tasks[0], due_at=None)
    assert first(MIGRATE, replace(begin(MIGRATE), tasks=(held,))).startswith("W22 the run is live and nothing")


def test_a_rollback_that_was_to_stop_somewhere_can_still_go_the_whole_way() -> None:
    run = tell(MIGRATE, done(MIGRATE, begin(MIGRATE), '{"rows":1}'), e.RollbackRequested("ann", to="EXPORTING"))
    back = broken(MIGRATE, run, "OSError: locked", now=at(run))

    assert told(MIGRATE, back).splitlines()[2:] == [
        "  > saga retry migrate-7f3k2: tries it now, with a new budget",
        "  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan",
        "  > saga cancel migrate-7f3k2: gives the run up",
    ]


def at(run: Snapshot) -> datetime:
    head = run.head()
    assert head is not None
    assert head.due_at is not None
    return head.due_at
