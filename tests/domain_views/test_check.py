"""``saga check``: every rule, its examples, and what a finding says."""

from __future__ import annotations

import pytest

from saga_engine.domain.chart import Chart
from saga_engine.domain.check import Finding, check, check_module, explain
from saga_engine.domain.checks.rules import RULES
from saga_engine.errors import NotFound
from tests.domain_views.checking import ROLES, codes, only
from tests.domain_views.sagas import MIGRATE, read, saga_of


@pytest.mark.parametrize("code", RULES)
def test_the_bad_example_of_a_rule_breaks_that_rule_and_no_other(code: str) -> None:
    found = check_module(read(RULES[code].bad), ROLES)

    assert [finding.code for finding in found] == [code]


@pytest.mark.parametrize("code", RULES)
def test_the_good_example_of_a_rule_breaks_none(code: str) -> None:
    assert check_module(read(RULES[code].good), ROLES) == []


@pytest.mark.parametrize("code", RULES)
def test_what_the_engine_refuses_to_load_is_an_error_and_good_examples_load(code: str) -> None:
    assert Chart(saga_of(RULES[code].good)).name == "migrate"
    if "error" not in {finding.severity for finding in check(saga_of(RULES[code].bad), ROLES)}:
        assert Chart(saga_of(RULES[code].bad)).name == "migrate"


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
