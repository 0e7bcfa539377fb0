"""``saga check``: undo and the point of no return."""

from __future__ import annotations

from saga_engine.domain.check import check
from tests.domain_views.checking import codes, only
from tests.domain_views.sagas import saga_of


def test_a_step_that_only_a_cancel_rolls_back_needs_an_undo_too() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).then(S.COMPLETED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""

    found = only(lines)

    assert found.text == "LOADING has no undo and can be rolled back: saga cancel: LOADING → ROLLING_BACK"
    assert found.path == ("LOADING", "ROLLING_BACK")


def test_a_pivot_stands_between_a_step_and_the_rollback_behind_it() -> None:
    lines = """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.TIDYING)
saga.at(S.TIDYING).run(tidy, timeout=hours(1)).reads_only().then(S.COMPLETED, failed=S.BACK)
saga.rolls_back(S.BACK).to(S.ROLLED_BACK)
"""

    found = check(saga_of(lines))

    assert [(f.code, f.state, f.text) for f in found] == [
        ("SG010", "EXPORTING", "EXPORTING has no undo and can be rolled back: saga cancel: EXPORTING → BACK"),
        (
            "SG012", "CUTTING_OVER",
            "CUTTING_OVER is the point of no return, yet a rollback can follow: CUTTING_OVER → TIDYING → BACK",
        ),
    ]  # fmt: skip


def test_nothing_is_said_of_the_undo_of_a_step_or_pivot_that_no_run_comes_to() -> None:
    lines = """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.at(S.LOADING).run(load, timeout=hours(1)).then(S.COMPLETED, failed=S.BACK)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.BACK)
saga.rolls_back(S.BACK).to(S.ROLLED_BACK)
"""

    assert codes(lines) == [("SG001", "error", "LOADING"), ("SG001", "error", "CUTTING_OVER")]


def test_where_nothing_was_done_yet_a_cancel_need_not_know_where_to() -> None:
    lines = """
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.EXPORTING)
saga.at(S.EXPORTING).run(export, timeout=hours(1)).undo(drop_export).then(S.LOADING, failed=S.DROPPING)
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.CUTTING_OVER, failed=S.UNLOADING)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.rolls_back(S.DROPPING).to(S.ROLLED_BACK)
saga.rolls_back(S.UNLOADING).to(S.ROLLED_BACK)
"""

    assert codes(lines) == []


def test_a_rolling_back_state_may_not_stand_in_a_group() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED)
saga.rolls_back(S.BACK).to(S.ROLLED_BACK)
saga.group(S.LOADING, S.BACK, deadline=hours(3)).then(timed_out=S.STOPPED)
"""

    found = only(lines)

    assert (found.code, found.where) == ("SG014", "orders.py:4")
    assert (
        found.text == "BACK undoes what the run did and stands in the group of LOADING, BACK, whose ways would end that"
    )


def test_the_failed_way_of_a_group_does_not_hold_for_a_pivot() -> None:
    lines = """
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.CUTTING_OVER).then(failed=S.PAGED)
"""

    assert codes(lines) == [("SG001", "error", "PAGED")]
