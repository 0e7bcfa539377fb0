"""What a process pays before it does anything: imports, settings, a log line."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import pytest
import structlog

from saga_engine import log, settings

Measured = Callable[[list[float], str], float]
TIMES: Final = 7
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
