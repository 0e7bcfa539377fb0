"""``saga check``: times, people and events."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import pytest

from saga_engine.domain.check import check, check_module
from saga_engine.domain.definition.saga import Saga
from tests.domain_views.checking import ROLES, codes, only
from tests.domain_views.sagas import Input, read, saga_of


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


def test_a_step_that_returns_nothing_is_nothing_to_show() -> None:
    lines = """
go_live = Approval("dba", shows=load, expires=hours(24))
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
"""

    found = only(lines)

    assert (found.code, found.severity, found.state, found.text, found.help) == (
        "SG033", "error", "ASKING",
        "ASKING shows load, which returns nothing: people would decide on nothing",
        "give shows= a step that returns what they decide on",
    )  # fmt: skip


def test_what_an_approval_shows_is_gone_after_a_rollback_that_leads_forward_again() -> None:
    lines = """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING, visits=3).approval(go_live).then(approved=S.COMPLETED, rejected=S.BACK, expired=S.OTHER)
saga.rolls_back(S.BACK).to(S.ASKING)
saga.rolls_back(S.OTHER).to(S.COMPLETED)
"""

    found = only(lines)

    assert (found.code, found.path) == ("SG033", ("VALIDATING", "ASKING", "BACK", "ASKING"))


def test_a_cancel_may_lead_to_the_gate_without_what_it_shows() -> None:
    lines = """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING, visits=3).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
saga.rolls_back(S.BACK).to(S.ASKING)
"""

    assert (only(lines).code, only(lines).path) == ("SG033", ("VALIDATING", "BACK", "ASKING"))


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
