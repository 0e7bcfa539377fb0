"""`make bench` collects bench_*.py; each prints what it measured, and fails only where a limit is promised."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Final

import pytest

RESULTS: Final[list[str]] = []


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[list[float], str], float]:
    """Call `measured(values, unit)` with repeated measurements; gives their median and prints it at the end."""

    def note(values: list[float], unit: str) -> float:
        median = statistics.median(values)
        spread = f"{min(values):.1f} to {max(values):.1f}"
        RESULTS.append(f"{median:10.1f} {unit:12} {request.node.name}  ({len(values)} times, {spread})")
        return median

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if RESULTS:
        terminalreporter.section("measured")
    for line in RESULTS:
        terminalreporter.write_line(line)
