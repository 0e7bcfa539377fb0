"""Processes of a project: workers as people start them, and people who decide at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.nursery import CHECKOUT, WAIT_SECONDS, Forked, Nursery


class Command:
    """``saga worker``, as people start it, in a process of its own; what it says goes to a file."""

    def __init__(self, folder: Path, *arguments: str, points: str = "", **more: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
        with (folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saga_engine", "worker", *arguments],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**environment, "PYTHONPATH": str(CHECKOUT), "SAGA_FAILPOINTS": points, **more},
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; when, on the monotonic clock."""
        self._process.send_signal(number)
        return time.monotonic()

    def ended(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait until it has ended; its exit code."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def voters(nursery: Nursery, **how: Any) -> Sequence[Forked]:
    """Start processes of people who decide."""
    return [Forked(nursery, int(pid)) for pid in nursery.ask(vote=how).split()]
