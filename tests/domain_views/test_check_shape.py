"""``saga check``: the shape of a table."""

from __future__ import annotations

from datetime import timedelta

from saga_engine.domain.check import check
from saga_engine.domain.definition.table import Row, Run
from saga_engine.domain.definition.values import Retry
from tests.domain_views.checking import codes, only
from tests.domain_views.sagas import load, saga_of


def test_a_state_with_no_visits_cannot_be_entered() -> None:
    lines = """
saga.at(S.EXPORTING, visits=0).run(export, timeout=hours(1)).reads_only().then(S.LOADING)
saga.at(S.LOADING, visits=0).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
"""

    assert only(lines).text == "LOADING allows 0 visits: a run parks in front of it"


def test_a_rolling_back_state_that_only_a_cancel_leads_to_is_reachable() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""

    assert codes(lines) == []


def test_a_cancel_does_not_lead_back_from_behind_a_pivot() -> None:
    lines = """
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.TIDYING)
saga.at(S.TIDYING).run(tidy, timeout=hours(1)).then(S.COMPLETED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""

    assert codes(lines) == []


def test_a_rollback_that_only_a_cancel_behind_the_pivot_would_take_is_out_of_reach() -> None:
    lines = """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.WAITING)
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=S.COMPLETED)
saga.group(S.WAITING).then(failed=S.BACK)
saga.rolls_back(S.BACK).to(S.COMPLETED)
saga.rolls_back(S.OTHER).to(S.COMPLETED)
"""

    assert codes(lines) == [("SG001", "error", "BACK"), ("SG001", "error", "OTHER")]


def test_while_a_line_is_missing_nothing_is_called_unreachable() -> None:
    lines = """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only()
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
"""

    found = check(saga_of(lines))

    assert [(f.code, f.state, f.where, f.path) for f in found] == [("SG003", "EXPORTING", "", ("EXPORTING",))]


def test_a_missing_line_that_nothing_leads_to_is_shown_at_the_start() -> None:
    lines = """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only()
"""

    assert (only(lines).code, only(lines).where, only(lines).path) == ("SG003", "orders.py:2", ())


def test_a_row_without_a_way_out_is_a_dead_end() -> None:
    saga = saga_of("saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING)")
    step = Run(load, None, Retry(), timedelta(hours=1), None, None, "thread", "idempotent", safety="reads_only")
    saga.rows[saga.states["LOADING"]] = Row(saga.states["LOADING"], step)

    (found,) = check(saga)

    assert (found.code, found.text, found.path) == ("SG003", "LOADING has no way out", ("EXPORTING", "LOADING"))


def test_two_steps_with_one_name_are_found() -> None:
    lines = """
def wrap(step) -> None: ...
saga.at(S.EXPORTING).run(wrap, timeout=hours(1)).reads_only().then(S.LOADING)
def wrap(step) -> None: ...
saga.at(S.LOADING).run(wrap, timeout=hours(1)).reads_only().then(S.COMPLETED)
"""

    assert (only(lines).code, only(lines).state) == ("SG005", "LOADING")
    assert only(lines).text == "two steps are called wrap; results are stored by name"


def test_a_circle_that_only_a_failure_leaves_is_an_error() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.LOADING, failed=S.COMPLETED)
"""

    found = only(lines)

    assert (found.code, found.severity, found.path) == ("SG020", "error", ("LOADING", "VALIDATING", "LOADING"))
    assert found.text == (
        "only a failure leaves LOADING → VALIDATING → LOADING: a run that succeeds goes round 100 times and parks"
    )


def test_a_circle_of_reminders_has_no_bound_either() -> None:
    lines = """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=S.REMINDING)
saga.at(S.REMINDING).run(tidy, timeout=hours(1)).reads_only().then(S.WAITING)
"""

    assert codes(lines) == [("SG020", "warning", "WAITING")]


def test_a_circle_that_needs_an_event_in_each_round_is_left_alone() -> None:
    lines = """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.LOADING, timed_out=S.COMPLETED)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.WAITING)
"""

    assert codes(lines) == []


def test_trying_again_from_the_rollback_is_a_circle() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED, failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.LOADING)
"""

    assert codes(lines) == [("SG020", "warning", "LOADING")]


def test_a_group_may_write_a_deadline_way_that_nothing_brings_or_a_way_that_is_never_asked() -> None:
    lines = """
abort = Event("abort", Abort, unhandled="reject")
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
(saga.group(S.EXPORTING, S.LOADING)
     .on(abort, S.STOPPED).on(abort, S.COMPLETED).then(timed_out=S.STOPPED))
"""

    found = check(saga_of(lines))

    assert [(f.code, f.state, f.where, f.text) for f in found] == [
        (
            "SG070", "EXPORTING", "orders.py:5",
            "the way to COMPLETED on abort is never asked: the one before it has no guard",
        ),
        (
            "SG023", "EXPORTING", "orders.py:5",
            "timed_out is written for the group of EXPORTING, LOADING, and no deadline can bring it",
        ),
    ]  # fmt: skip
