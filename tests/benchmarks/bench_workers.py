"""Several workers on one PostgreSQL, what one has in memory, and many clients at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmarks.places import TIMES, child, fresh, on_each, scaled

Measured = Callable[..., float]
RUNS: Final = 10_000
PARKED: Final = 100_000
ACTIVE: Final = 1_000
CLIENTS: Final = [(1, 1), (1, 8), (4, 8)]
"""Processes, and threads of each."""


def test_workers_on_one_postgresql(disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    store, alone = "postgresql", 0.0
    for workers in (1, 2, 4, 8):
        rows = []
        for _ in range(TIMES):
            with fresh(store, disk, request) as url:
                rows.append(child(store, url, "workers", "--processes", workers, "--runs", scaled(RUNS)))
        facts = {"store": store, **{key: rows[0][key] for key in ("journal", "concurrency", "processes", "in_flight")}}
        name = f"{workers} worker processes, {store}"
        found = measured([row["per_s"] for row in rows], "transitions/s", name=name, **facts)
        alone = alone or found
        measured([row["per_s"] / alone for row in rows], "× one worker", name=name, **facts)
        measured([row["deadlocks"] for row in rows], "deadlocks", name=name, **facts)
        refused = [_conflicts(row["refused"]) for row in rows]
        measured(refused, "conflicts", name=name, codes=[row["refused"] for row in rows], **facts)


def _conflicts(refused: dict[str, int]) -> float:
    """Serialization failures, deadlocks and lock timeouts that reached a worker: what it has to do again."""
    return sum(refused.get(code, 0) for code in ("40001", "40P01", "55P03"))


@on_each
def test_the_memory_of_a_worker(
    store: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    third, rows = scaled(PARKED) // 3, []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            child(store, url, "fill", "--fill", f"hold={third},gate={third},park={third},busy={scaled(ACTIVE)}")
            rows.append(child(store, url, "memory"))
    name = f"a worker with {scaled(PARKED):,} parked and {scaled(ACTIVE):,} active runs"
    noted(rows, name, store, rss_mb="MB")


@pytest.mark.parametrize("what", ["send", "approve"])
@on_each
def test_many_clients(
    store: str, what: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    for processes, threads in CLIENTS:
        rows: list[dict[str, Any]] = []
        for _ in range(TIMES):
            with fresh(store, disk, request) as url:
                by = ("--processes", processes, "--threads", threads)
                rows.append(child(store, url, "clients", "--what", what, "--runs", scaled(2_000), *by))
        name = f"{what} by {processes} × {threads} clients"
        noted(rows, name, store, per_s=f"{what}s/s", p50_ms="ms p50", p99_ms="ms p99")
