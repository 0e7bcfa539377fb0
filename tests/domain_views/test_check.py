"""``saga check``: what each rule finds in a table, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from typing import Any

import pytest

from saga_engine.domain.check import Finding, check, check_module, explain
from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Row, Run
from saga_engine.domain.definition.values import Retry
from saga_engine.errors import NotFound
from tests.domain_views.sagas import MIGRATE, Input, load, read, saga_of

ROLES = {"dba": ["ann", "bob"], "lead": ["cleo"]}


def codes(lines: str, roles: dict[str, list[str]] | None = None) -> list[tuple[str, str, str]]:
    return [(found.code, found.severity, found.state) for found in check(saga_of(lines), roles)]


def only(lines: str, roles: dict[str, list[str]] | None = None) -> Finding:
    (found,) = check(saga_of(lines), roles)
    return found


# --- every rule


@pytest.mark.parametrize("code", RULES)
def test_the_bad_example_of_a_rule_breaks_that_rule_and_no_other(code: str) -> None:
    found = check_module(read(RULES[code].bad), ROLES)

    assert [finding.code for finding in found] == [code]


@pytest.mark.parametrize("code", RULES)
def test_the_good_example_of_a_rule_breaks_none(code: str) -> None:
    assert check_module(read(RULES[code].good), ROLES) == []


@pytest.mark.parametrize("code", RULES)
def test_a_rule_fits_a_terminal(code: str) -> None:
    why, _, examples = explain(code).partition("\nBad\n")

    assert [line for line in why.splitlines() if len(line) > 80] == []
    assert [line for line in examples.splitlines() if len(line) > 120] == []


def test_the_rules_are_those_of_the_command_line() -> None:
    assert list(RULES) == [
        "SG001", "SG002", "SG003", "SG005", "SG010", "SG012", "SG013", "SG014", "SG020", "SG021", "SG022", "SG023",
        "SG030", "SG031", "SG032", "SG033", "SG034", "SG070", "SG080", "SG110",
    ]  # fmt: skip


def test_explain_prints_why_then_a_bad_and_a_good_line() -> None:
    assert explain("sg080") == (
        "SG080  a step without a time limit\n"
        "\n"
        "A connection that hangs, a lock that is never granted: an attempt may take for\n"
        "ever, and holds its worker's slot as long. timeout= ends one attempt and counts\n"
        "it as failed; a deadline= of the state or its group is a limit too, but not at a\n"
        "pivot. heartbeat= is none: it bounds how long an attempt may be silent. A\n"
        "timeout of 0 or less is an error.\n"
        "\n"
        "Bad\n"
        "    saga.at(S.LOADING).run(load).reads_only().then(S.COMPLETED)\n"
        "\n"
        "Good\n"
        "    saga.at(S.LOADING).run(load, timeout=hours(6), heartbeat=seconds(30)).reads_only().then(S.COMPLETED)\n"
    )


def test_explaining_a_code_that_no_rule_has_names_those_that_exist() -> None:
    with pytest.raises(NotFound, match="no rule is called SG999; the rules are SG001, SG002, "):
        explain("SG999")


def test_nothing_is_wrong_with_the_example_of_the_definition_api() -> None:
    assert check(saga_of(MIGRATE), ROLES) == []


def test_a_finding_says_where_what_and_how_to_mend_it() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.DONE).then(S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""

    assert only(lines) == Finding(
        code="SG010",
        severity="error",
        saga="migrate",
        state="LOADING",
        where="orders.py:2",
        text="LOADING has no undo and can be rolled back: LOADING → VALIDATING → ROLLING_BACK",
        help="add .undo(…), .reads_only() or .pivot()",
        path=("LOADING", "VALIDATING", "ROLLING_BACK"),
    )


def test_errors_come_before_warnings_then_states_in_their_order() -> None:
    lines = """
saga.at(S.EXPORTING).run(export).reads_only().then(S.LOADING)
saga.at(S.LOADING).run(load, deadline=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate).then(S.COMPLETED, failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
"""

    assert codes(lines) == [
        ("SG022", "error", "LOADING"),
        ("SG010", "error", "VALIDATING"),
        ("SG080", "warning", "EXPORTING"),
        ("SG080", "warning", "VALIDATING"),
    ]


# --- the shape of the table


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


# --- undo and the point of no return


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


def test_a_failed_way_of_a_pivots_group_that_leads_forward_is_no_way_back() -> None:
    lines = """
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.CUTTING_OVER).then(failed=S.PAGED)
"""

    assert codes(lines) == []


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


def test_a_groups_deadline_may_not_lead_out_of_a_rollback() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED, failed=S.BACK)
saga.rolls_back(S.BACK).to(S.ROLLED_BACK)
saga.group(S.LOADING, S.BACK, deadline=hours(3)).then(timed_out=S.STOPPED)
"""

    found = only(lines)

    assert (found.code, found.where) == ("SG014", "orders.py:4")
    assert found.text == "timed_out leads from BACK to STOPPED before everything is undone"


# --- times


@pytest.mark.parametrize(
    ("deadline", "finding"),
    [
        ("None", ("warning", "WAITING has no deadline: a lost event leaves the run there for ever")),
        ("hours(10**6)", ("warning", "WAITING has no deadline: a lost event leaves the run there for ever")),
        ("hours(-1)", ("error", "the deadline of WAITING has passed before the wait begins (-1 day, 23:00:00)")),
    ],
)
def test_a_wait_needs_a_deadline_that_comes(deadline: str, finding: tuple[str, str]) -> None:
    lines = f"""
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline={deadline}).then(S.COMPLETED, timed_out=S.COMPLETED)
"""

    found = {found.code: (found.severity, found.text) for found in check(saga_of(lines))}

    assert found["SG021"] == finding


def test_a_wait_that_times_out_by_its_groups_failed_way_has_somewhere_to_go() -> None:
    lines = """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=None)
saga.group(S.WAITING).then(failed=S.LATE)
"""

    assert codes(lines) == []


def test_the_deadline_of_a_group_needs_a_way_and_that_of_a_pivot_does_nothing() -> None:
    lines = """
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, deadline=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.LOADING, S.CUTTING_OVER, deadline=hours(3)).then()
"""

    assert [(f.code, f.severity, f.state, f.text) for f in check(saga_of(lines))] == [
        (
            "SG022", "error", "LOADING",
            "when the deadline of the group of LOADING, CUTTING_OVER passes, no way leads on and the run parks",
        ),
        (
            "SG022", "warning", "CUTTING_OVER",
            "CUTTING_OVER is a pivot: nothing leaves it once it has begun, so its deadline is only noted",
        ),
        ("SG080", "warning", "CUTTING_OVER", "an attempt of CUTTING_OVER may take for ever"),
    ]  # fmt: skip


def test_a_deadline_is_a_time_limit_of_a_step_and_a_timeout_of_nothing_is_none() -> None:
    lines = """
saga.at(S.LOADING).run(load, deadline=hours(1)).reads_only().then(S.VALIDATING, timed_out=S.LATE)
saga.at(S.VALIDATING).run(validate, timeout=hours(0)).reads_only().then(S.COMPLETED)
"""

    assert only(lines).text == "every attempt of VALIDATING has timed out before it begins (0:00:00)"


# --- people


def gate(approval: str) -> str:
    return f"""
go_live = Approval({approval})
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
"""


@pytest.mark.parametrize(
    ("approval", "code", "text"),
    [
        ('"dba", shows=validate, expires=None', "SG030",
         "the approval of ASKING never expires: without an answer the run waits for ever"),
        ('"dba", shows=validate, expires=hours(-1)', "SG030",
         "the approval of ASKING has expired before anybody can answer (-1 day, 23:00:00)"),
        ('"dba", shows=validate, expires=hours(1), quorum=0', "SG034", "the approval of ASKING asks for 0 people"),
        ('"dba", shows=load, expires=hours(1)', "SG033", "ASKING shows load, which is no step of this saga"),
        ('"dba", shows=validate, expires=hours(1), escalate=("boss", hours(1))', "SG032",
         "ASKING asks role boss, which has no members"),
        ('"lead", shows=validate, expires=hours(1), escalate=("dba", hours(1)), quorum=4', "SG034",
         "ASKING needs 4 people, and lead, dba has 3"),
    ],
)  # fmt: skip
def test_an_approval_can_be_given(approval: str, code: str, text: str) -> None:
    found = only(gate(approval), ROLES)

    assert (found.code, found.severity, found.text) == (code, "error", text)


def test_who_is_in_a_role_is_not_asked_where_the_settings_are_not_known() -> None:
    assert codes(gate('"nobody", shows=validate, expires=hours(1), quorum=7')) == []


def test_what_an_approval_shows_is_gone_after_a_rollback_that_leads_forward_again() -> None:
    lines = """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING, visits=3).approval(go_live).then(approved=S.COMPLETED, rejected=S.BACK, expired=S.STOPPED)
saga.rolls_back(S.BACK).to(S.ASKING)
"""

    found = only(lines)

    assert (found.code, found.path) == ("SG033", ("VALIDATING", "BACK", "ASKING"))


# --- events


def test_an_event_that_only_an_end_or_an_unreachable_state_lists_is_taken_by_none() -> None:
    lines = """
abort = Event("abort", Abort, unhandled="defer")
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.at(S.LOST).run(tidy, timeout=hours(1)).reads_only().on(abort, S.COMPLETED).then(S.COMPLETED)
saga.group(S.COMPLETED).on(abort, S.LOADING).then()
"""

    assert codes(lines) == [("SG001", "error", "LOST"), ("SG110", "warning", "LOST")]


def test_an_event_that_a_group_of_working_states_lists_is_taken() -> None:
    lines = """
abort = Event("abort", Abort, unhandled="defer")
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.group(S.LOADING, S.COMPLETED).on(abort, S.COMPLETED).then()
"""

    assert codes(lines) == []


def test_an_event_of_the_file_that_no_table_uses_is_found_once() -> None:
    namespace = read("""
abort = Event("abort", Abort, unhandled="reject")
same = abort
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
again = saga
""")

    (found,) = check_module(namespace)

    assert (found.code, found.severity, found.state, found.where) == ("SG110", "warning", "LOADING", "orders.py:4")
    assert found.text == "the event abort is declared, and no state takes it: whoever sends it is refused"


def test_an_event_that_another_saga_of_the_file_takes_is_left_alone() -> None:
    namespace = read("""
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=S.COMPLETED)
""")
    namespace["other"] = saga_of("saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)")

    assert check_module(namespace) == []


def test_a_file_of_events_without_a_saga_is_not_judged() -> None:
    assert check_module({"abort": read("abort = Event('abort', Abort, unhandled='reject')\nS.X")["abort"]}) == []


class Empty(Enum):
    START = auto()
    END = auto()


def test_a_saga_without_a_single_line_is_reported_not_refused() -> None:
    saga: Any = Saga("bare", version=1, states=Empty, input=Input, start=Empty.START)

    assert [(f.code, f.state, f.where) for f in check(saga)] == [("SG003", "START", ""), ("SG003", "END", "")]
