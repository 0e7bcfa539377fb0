"""What operations cost with many parked runs, each with ten lines of history.

SAGA_BENCH_GROWTH is the most runs (1000000 for the whole), SAGA_BENCH_CHURN for how many seconds runs are started and
ended beside so many before all is measured again (1800 for the whole).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmarks.places import TIMES, child, fresh, on_each, scaled

Measured = Callable[..., float]
LARGEST: Final = int(os.environ.get("SAGA_BENCH_GROWTH", "100000"))
SIZES: Final = [scaled(size) for size in (1_000, 100_000, 1_000_000) if size <= LARGEST]
CHURN_SECONDS: Final = float(os.environ.get("SAGA_BENCH_CHURN", "20"))
OPERATIONS: Final = 100


@on_each
def test_growth(store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    """Each size beside the smallest: what stays flat has a ratio of 1."""
    small: dict[str, float] = {}
    for size in SIZES:
        with fresh(store, disk, request) as url:
            third = size // 3
            kinds = f"hold={third},gate={third},park={size - 2 * third}"
            filled = child(store, url, "fill", "--fill", kinds)
            measured([filled["fill_s"]], "s to fill", name=f"{size:,} parked runs, {store}", store=store)
            found = _note(f"{size:,} parked runs", store, url, small, measured)
            small = small or found
            if size == SIZES[-1]:
                churned = child(store, url, "churn", "--seconds", CHURN_SECONDS)["churned_runs"]
                after = f"{size:,} parked runs, after {churned:,} runs in {CHURN_SECONDS:.0f} s of churn"
                _note(after, store, url, small, measured)


def _note(name: str, store: str, url: str, small: dict[str, float], measured: Measured) -> dict[str, float]:
    rows: list[dict[str, Any]] = [child(store, url, "growth", "--times", scaled(OPERATIONS)) for _ in range(TIMES)]
    facts = {key: rows[0][key] for key in ("journal", "concurrency", "runs", "journal_rows")}
    found = {}
    for what in rows[0]["p50_ms"]:
        values = [row["p50_ms"][what] for row in rows]
        found[what] = measured(values, "ms p50", name=f"{what} with {name}, {store}", store=store, **facts)
        if what in small:
            measured([found[what] / small[what]], "× the smallest", name=f"{what} with {name}, {store}", store=store)
    return found
