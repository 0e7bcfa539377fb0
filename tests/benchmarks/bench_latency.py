"""How soon something begins, and how soon somebody gets an answer: idle, and beside a worker at its full rate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmarks.places import TIMES, child, fresh, on_each, scaled

EVENTS: Final = 200
BESIDE_BUSY: Final = 50
BUSY_RUNS: Final = 10_000
QUIET_RUNS: Final = 10


@pytest.mark.parametrize("worker", ["here", "beside"])
@on_each
def test_from_an_event_to_the_next_step(
    store: str, worker: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    """Beside what three commits cost the driver alone, on the same disk, a moment before."""
    raw, rows = [], []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            raw.append(child(store, url, "commits", "--times", scaled(EVENTS)))
            rows.append(child(store, url, "events", "--times", scaled(EVENTS), "--what", worker))
        rows[-1]["beyond_ms"] = rows[-1]["p50_ms"] - 3 * raw[-1]["p50_ms"]
    noted(raw, "one commit of the driver alone", store, p50_ms="ms p50", p99_ms="ms p99")
    where = "the same process" if worker == "here" else "another process"
    name = f"event -> next step begun, idle, from {where}"
    noted(rows, name, store, p50_ms="ms p50", p99_ms="ms p99", beyond_ms="ms beyond 3")


@pytest.mark.parametrize("worker", ["here", "beside"])
@on_each
def test_from_an_event_to_the_next_step_under_load(
    store: str, worker: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    rows: list[dict[str, Any]] = []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            load = ("--busy", scaled(BUSY_RUNS), "--times", scaled(BESIDE_BUSY))
            rows.append(child(store, url, "events", "--what", worker, *load))
    where = "the same process" if worker == "here" else "another process"
    noted(rows, f"event -> next step begun, busy, from {where}", store, p50_ms="ms p50", p99_ms="ms p99")


@on_each
def test_acting_and_looking_from_another_process(
    store: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    rows = []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            rows.append(child(store, url, "people", "--busy", scaled(BUSY_RUNS), "--times", scaled(EVENTS)))
    for what in ("approve", "show"):
        units = {f"{what}_p50_ms": "ms p50", f"{what}_p99_ms": "ms p99"}
        noted(rows, f"saga {what} beside a busy worker", store, **units)
    noted(rows, "what that worker records meanwhile", store, recorded_per_s="transitions/s")


@on_each
def test_a_task_of_a_quiet_saga_beside_busy_runs(
    store: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    rows = []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            rows.append(child(store, url, "quiet", "--busy", scaled(BUSY_RUNS), "--times", scaled(QUIET_RUNS)))
    noted(rows, "a quiet saga's task beside busy runs, until it begins", store, p50_s="s p50", max_s="s at most")
