"""What a process pays before it does anything: imports, settings, a log line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import structlog

from saga_engine import log, settings
from tests.benchmarks.places import child, environment, flow, fresh, on_each, scaled

Measured = Callable[..., float]
TIMES: Final = 7
RUNS: Final = 1_000
LOG_LINES: Final = 2_000


@pytest.mark.parametrize("module", ["saga_engine", "saga_engine.errors", "saga_engine.settings", "saga_engine.log"])
def test_a_process_that_imports(module: str, measured: Measured) -> None:
    def start(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return 1000 * (time.perf_counter() - begin)

    measured([start(f"import {module}") for _ in range(TIMES)], "ms")


def test_reading_the_settings(measured: Measured) -> None:
    def read() -> float:
        begin = time.perf_counter()
        settings.load()
        return 1000 * (time.perf_counter() - begin)

    measured([read() for _ in range(TIMES)], "ms")


def test_a_log_line_in_json(measured: Measured) -> None:
    def write() -> float:
        logger = structlog.get_logger()
        begin = time.perf_counter()
        with log.bound("orders-7f3k2", "LOADING", 1):
            for number in range(LOG_LINES):
                logger.info("run.moved", source="EXPORTING", target="LOADING", revision=number)
        return 1e6 * (time.perf_counter() - begin) / LOG_LINES

    log.configure(stream=io.StringIO())
    measured([write() for _ in range(TIMES)], "µs a line")
    structlog.reset_defaults()


def test_help_as_a_process(measured: Measured) -> None:
    measured([_seconds(dict(os.environ), "--help") for _ in range(TIMES)], "s", name="saga --help as a process")


@on_each
def test_looking_as_a_process(store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    """On a store with a thousand parked runs, with the saga files of this checkout."""
    with fresh(store, disk, request) as url:
        third = scaled(RUNS) // 3
        filled = child(store, url, "fill", "--fill", f"hold={third},gate={third},park={third}")
        facts = {"store": store, "journal": filled["journal"], "concurrency": 1}
        run = filled["first"]["hold"]
        for command in (["status"], ["why", run], ["show", run], ["list"]):
            times = [_seconds(environment(store), "--store", url, *command) for _ in range(TIMES)]
            measured(times, "s", name=f"saga {command[0]} as a process, {store}", **facts)


@on_each
def test_from_import_to_the_end_of_the_first_run(
    store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured
) -> None:
    with fresh(store, disk, request) as url:
        flow(store, url, "first")
        times = []
        for _ in range(TIMES):
            begin = time.perf_counter()
            row = flow(store, url, "first")
            times.append(time.perf_counter() - begin)
    facts = {"store": store, "journal": row["journal"], "concurrency": 1}
    measured(times, "s", name=f"a process: import, first run of five steps, end, {store}", **facts)


def _seconds(env: dict[str, str], *arguments: str) -> float:
    begin = time.perf_counter()
    command = [sys.executable, "-m", "saga_engine", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - begin
