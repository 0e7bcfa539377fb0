"""What `saga test` compares of a run that was killed with two that were left alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from saga_engine.testing.everywhere.judging import End, Yardstick
from saga_engine.testing.everywhere.tables import Table


def table(*rows: tuple[Any, ...]) -> Table:
    return Table(("id", "n"), Counter(rows))


def end(parts: tuple[str, ...] = (), notices: tuple[str, ...] = (), **tables: Table) -> End:
    named = {name.replace("__", ".", 1): content for name, content in tables.items()}
    return End("DONE", "completed", {}, [*parts], named, [*notices])


KEPT = table((1, 1), (2, 2))


def test_tables_that_are_named_by_the_run_are_compared_by_what_they_hold() -> None:
    yardstick = Yardstick.of(end(dw__before_a=KEPT), end(dw__before_b=KEPT))
    assert yardstick.not_compared == ()
    assert list(yardstick.differences(end(dw__before_c=KEPT))) == []
    assert list(yardstick.differences(end())) == ["a table such as dw.before_a was gone"]
    assert list(yardstick.differences(end(dw__before_c=KEPT, dw__staging_c=table()))) == [
        "the table dw.staging_c was left behind"
    ]
    assert list(yardstick.differences(end(dw__before_c=table((1, 1))))) == [
        "the table dw.before_c was not as dw.before_a without the kill"
    ]
    assert list(yardstick.differences(end(other__before_c=KEPT))) == [
        "the table other.before_c was not as dw.before_a without the kill"
    ]


def test_tables_that_are_named_by_the_run_and_hold_other_rows_each_time_are_not_compared() -> None:
    yardstick = Yardstick.of(end(dw__a=table((1, 1)), dw__facts=KEPT), end(dw__b=table((1, 2)), dw__facts=KEPT))
    assert yardstick.not_compared == ("tables of dw whose names and rows are others in each run",)
    assert list(yardstick.differences(end(dw__c=table((1, 3)), dw__facts=KEPT))) == []
    assert list(yardstick.differences(end(dw__c=table((1, 3))))) == ["the table dw.facts was gone"]


def test_a_table_that_only_the_killed_run_has_was_left_behind() -> None:
    yardstick = Yardstick.of(end(dw__facts=KEPT), end(dw__facts=KEPT))
    assert list(yardstick.differences(end(dw__facts=KEPT, dw__staging=table()))) == [
        "the table dw.staging was left behind"
    ]


def test_parts_that_are_named_by_the_run_are_not_compared() -> None:
    yardstick = Yardstick.of(end(parts=("dw a applied",)), end(parts=("dw b applied",)))
    assert yardstick.not_compared == ("the parts of the ledgers",)
    assert list(yardstick.differences(end(parts=("dw c applied",)))) == []


def test_a_notice_that_is_left_is_a_difference() -> None:
    yardstick = Yardstick.of(end(), end())
    assert list(yardstick.differences(end(notices=("entering of DONE: ValueError: no",)))) == [
        "left undone was entering of DONE: ValueError: no, not nothing"
    ]
