"""The path line of a run, and how times are told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_engine.domain.chart import Chart
from saga_engine.domain.diagram import Stay, path_line
from saga_engine.domain.frozen import replace
from saga_engine.domain.lengths import clock, compact, spaced
from saga_engine.domain.snapshot import Result, Snapshot, UndoEntry
from saga_engine.domain.values import Status, UndoStatus
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import MIGRATE, saga_of


def a_run(state: str, status: Status = "running", **undo: UndoStatus) -> Snapshot:
    entries = tuple(UndoEntry(at, name, 1, f"r.{at}", at, fate) for at, (name, fate) in enumerate(undo.items(), 1))
    return Snapshot("r", "migrate", 1, "", "{}", "ann", state=state, status=status, undo=entries)


def stays(**seconds: int) -> list[Stay]:
    return [Stay(state, timedelta(seconds=length)) for state, length in seconds.items()]


def test_the_path_line_shows_what_was_passed_where_the_run_is_and_what_lies_ahead() -> None:
    run = a_run("LOADING", EXPORTING="done", LOADING="started")

    assert path_line(Chart(saga_of(MIGRATE)), run, stays(EXPORTING=843, LOADING=7085)) == (
        "EXPORTING ✓ 14m03s ─▶ LOADING ● 1h58m ─▶ VALIDATING ─▶ ⏸ AWAITING_CUTOVER ─▶ CUTTING_OVER ─▶ COMPLETED"
    )


def test_the_path_line_of_a_rollback_shows_what_failed_and_what_is_undone() -> None:
    run = a_run("ROLLING_BACK", EXPORTING="done", LOADING="undone", VALIDATING="started")
    lengths = stays(EXPORTING=60, LOADING=90_000, VALIDATING=1, ROLLING_BACK=2)

    assert path_line(Chart(saga_of(MIGRATE)), run, lengths, ascii_only=True) == (
        "EXPORTING ok 1m -> LOADING undone 1d01h -> VALIDATING failed 1s -> ROLLING_BACK * 2s -> ROLLED_BACK"
    )


def test_the_path_line_of_a_rollback_passes_what_had_nothing_to_undo() -> None:
    """Its entry is marked as undone, too: whether it had succeeded its result tells."""
    run = a_run("ROLLING_BACK", LOADING="undone", VALIDATING="undone")
    lengths = stays(LOADING=3, VALIDATING=1, ROLLING_BACK=2)
    checked = replace(run, results=(Result("VALIDATING", 1, "validate", "{}", 3),))

    assert path_line(Chart(saga_of(MIGRATE)), checked, lengths) == (
        "LOADING ↶ 3s ─▶ VALIDATING ✓ 1s ─▶ ROLLING_BACK ● 2s ─▶ ROLLED_BACK"
    )
    assert path_line(Chart(saga_of(MIGRATE)), run, lengths) == (
        "LOADING ↶ 3s ─▶ VALIDATING ✗ 1s ─▶ ROLLING_BACK ● 2s ─▶ ROLLED_BACK"
    )


def test_the_path_line_counts_the_visits_of_a_state() -> None:
    run = a_run("LOADING", LOADING="done")
    lengths = [*stays(LOADING=1, VALIDATING=2), *stays(LOADING=3, VALIDATING=4), *stays(LOADING=5)]

    assert path_line(None, run, lengths) == "LOADING ✓ ×2 4s ─▶ VALIDATING ✓ ×2 6s ─▶ LOADING ● 5s"


@pytest.mark.parametrize(
    ("state", "status", "line"),
    [
        ("COMPLETED", "completed", "LOADING ✓ 1s ─▶ COMPLETED ✓"),
        ("ROLLED_BACK", "rolled_back", "LOADING ✓ 1s ─▶ ROLLED_BACK ■"),
    ],
)
def test_the_path_line_of_an_ended_run_says_how_it_ended(state: str, status: Status, line: str) -> None:
    run = a_run(state, status, LOADING="sealed")

    assert path_line(Chart(saga_of(MIGRATE)), run, stays(LOADING=1, **{state: 0})) == line


def test_before_the_journal_was_read_the_path_line_shows_the_state_alone() -> None:
    assert path_line(None, replace(a_run("LOADING"), revision=1), []) == "LOADING ●"


STEP, NEXT = "saga.at(S.A).run(load).reads_only()", "saga.at(S.B).run(tidy).reads_only()"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (f"{STEP}.when(all_there, S.DONE).then(S.B)\n{NEXT}.then(S.DONE)", "A ● ─▶ B ─▶ DONE"),
        (f"{STEP}.then(S.B)\n{NEXT}.when(all_there, S.DONE).then(S.A)", "A ● ─▶ B ─▶ DONE"),
        (f"{STEP}.then(S.A, failed=S.DONE)", "A ● ─▶ DONE"),
        (f"{STEP}.then(S.A)", "A ●"),
    ],
)  # fmt: skip
def test_ahead_lies_the_way_without_a_guard_unless_only_another_leads_to_an_end(lines: str, line: str) -> None:
    assert path_line(Chart(saga_of(lines)), a_run("A"), []) == line


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (-5, "0s", "0 s"),
        (0.4, "0s", "0 s"),
        (59, "59s", "59 s"),
        (60, "1m", "1 m"),
        (843, "14m03s", "14 m 3 s"),
        (7_085, "1h58m", "1 h 58 m"),
        (86_400 + 59, "1d", "1 d"),
        (187_200, "2d04h", "2 d 4 h"),
    ],
)
def test_a_length_is_told_by_its_two_largest_units(seconds: float, short: str, long: str) -> None:
    length = timedelta(seconds=seconds)

    assert (compact(length), spaced(length)) == (short, long)


def test_a_moment_is_told_with_its_date_only_on_another_day() -> None:
    assert clock(NOON, NOON) == "12:00:00 UTC"
    assert clock(NOON - timedelta(days=1), NOON) == "2026-11-21 12:00:00 UTC"
