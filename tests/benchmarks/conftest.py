"""`make bench` collects bench_*.py: each prints what it measured as JSON lines, then all as one table with ratios.

Nothing here fails for being slow. Figures count beside each other, in one run of a quiet machine: the first line says
how busy it was.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.servers import Server, ServerMissing, find_postgres

RESULTS: Final[list[dict[str, Any]]] = []
FILE: Final = Path(".bench.jsonl")
WORDS: Final = {
    "concurrency": "at a time",
    "processes": "processes",
    "in_flight": "in flight",
    "busy_runs": "busy runs",
}


def emit(row: dict[str, Any]) -> None:
    """One JSON line, to the screen and to the file."""
    line = json.dumps(row)
    with FILE.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.__stdout__.write(f"{line}\n")  # type: ignore[union-attr]  # past pytest's capture, while it happens
    sys.__stdout__.flush()  # type: ignore[union-attr]


def pytest_sessionstart() -> None:
    FILE.unlink(missing_ok=True)
    emit(
        {
            "row": "machine", "load": round(os.getloadavg()[0], 2), "cpus": os.cpu_count(),
            "python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "time": time.strftime("%FT%T"),
        }
    )  # fmt: skip


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[..., float]:
    """Call ``measured(values, unit, **facts)`` with repeated measurements; gives their median, prints it at the end."""

    def note(values: list[float], unit: str, **facts: Any) -> float:
        median = statistics.median(values)
        row = {"row": "measured", "name": facts.pop("name", request.node.name), "median": median, "unit": unit}
        RESULTS.append({"concurrency": 1, **row, "times": len(values), "min": min(values), "max": max(values), **facts})
        emit(RESULTS[-1])
        return median

    return note


@pytest.fixture
def noted(measured: Callable[..., float]) -> Callable[..., None]:
    """Call ``noted(rows, name, store=…, p50_ms="ms p50")``: the keys of rows of the same scenario, each with its unit.

    What the rows say of their journal and concurrency stands beside each figure.
    """

    def note(rows: list[dict[str, Any]], name: str, store: str, **units: str) -> None:
        held = {key: rows[0][key] for key in ("journal", "concurrency", "processes", "busy_runs") if key in rows[0]}
        for key, unit in units.items():
            measured([row[key] for row in rows], unit, name=f"{name}, {store}", store=store, **held)

    return note


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a real disk: on tmpfs a flush costs nothing, and nothing measured there is durable."""
    folder = tmp_path_factory.mktemp("disk")
    yield folder
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL with the settings that it came with: durable ones."""
    try:
        server = find_postgres(tmp_path_factory.getbasetemp())
    except ServerMissing as missing:
        pytest.skip(str(missing))
    yield server
    server.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name, median, spread; and how much of the raw limit and how many times each peer, by store."""
    if not RESULTS:
        return
    terminalreporter.section("measured (median of the times, smallest to largest)")
    for row in RESULTS:
        terminalreporter.write_line(told(row))
    for line in ratios():
        terminalreporter.write_line(line)


def told(row: dict[str, Any]) -> str:
    """The line of the table: what, how often and how far apart, with what journal and how many at a time."""
    spread = f"{row['times']} times, {row['min']:,.1f} to {row['max']:,.1f}"
    held = [row["journal"]] if "journal" in row else []
    held += [f"{row[key]:,} {word}" for key, word in WORDS.items() if row.get(key)]
    return f"{row['median']:14,.1f} {row['unit']:14} {row['name']}  ({'; '.join([spread, *held])})"


def ratios() -> Iterator[str]:
    """Our own rows against the references of the same store and kind of work."""
    for ours in (row for row in RESULTS if row.get("work") and row.get("who") == "saga_engine"):
        for other in (row for row in RESULTS if row.get("work") == ours["work"] and row.get("store") == ours["store"]):
            if other["who"] != "saga_engine":
                times = ours["median"] / other["median"]
                yield f"{times:14.2f} ×              {ours['name']}  against  {other['name']}"


def _kind(row: dict[str, Any]) -> str:
    """sqlite, with whatever library; or postgresql."""
    return str(row.get("store", "")).partition("-")[0]
