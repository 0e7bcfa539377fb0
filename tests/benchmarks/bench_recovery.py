"""How soon a dead worker's runs go on, from the moment it is known dead. SAGA_BENCH_RECOVERY=1000,100000 for more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks.places import TIMES, child, fresh, on_each, scaled
from tests.benchmarks.recovery import DUE

RUNS: Final = [scaled(int(number)) for number in os.environ.get("SAGA_BENCH_RECOVERY", "1000").split(",")]


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("what", ["held", DUE])
@on_each
def test_recovery_after_kill_9(  # noqa: PLR0917  fixtures
    store: str, runs: int, what: str, disk: Path, request: pytest.FixtureRequest, noted: Callable[..., None]
) -> None:
    rows = []
    for _ in range(TIMES):
        with fresh(store, disk, request) as url:
            rows.append(child(store, url, "recovery", "--runs", runs, "--what", what))
    title = f"{runs:,} runs after kill -9, {'100' if what == DUE else 'all'} of them in its hands"
    held = {"again_s": "s, those in its hands begun again"} if what == DUE else {}
    noted(rows, title, store, **held, begun_s="s, all begun", ended_s="s, all ended")
