"""Processes as the tests see them: started, killed, stopped, continued, asked to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).parents[2]
LOOK_SECONDS: Final = 0.01
WAIT_SECONDS: Final = 40.0
"""Longer than anything here takes on a busy machine."""


class Nursery:
    """The process behind ``nursery.py``. All tests of the room share it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.nursery"],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **order: Any) -> str:
        """Give one order; the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, "the nursery has ended"
        return answer

    def close(self) -> None:
        """End it, and every child with it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Forked:
    """A child of the nursery."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def state(self) -> str:
        """ "alive", or how it ended: "killed", or "exit N"."""
        return self._nursery.ask(look=self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it has not ended."""
        if self.state() == "alive":
            os.kill(self.pid, number)

    def kill(self) -> str:
        """SIGKILL; how it ended."""
        self.signal(signal.SIGKILL)
        return self.ended()

    def ended(self, seconds: float = WAIT_SECONDS) -> str:
        """Wait until it has ended; how."""
        end = time.monotonic() + seconds
        while (state := self.state()) == "alive":
            assert time.monotonic() < end, f"process {self.pid} is still there after {seconds} s"
            time.sleep(LOOK_SECONDS)
        return state

    def stopped(self, seconds: float = WAIT_SECONDS) -> bool:
        """Wait until it is stopped by SIGSTOP: True; or has ended: False."""
        end = time.monotonic() + seconds
        while self.state() == "alive":
            if Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
            assert time.monotonic() < end, f"process {self.pid} has not come to its failpoint after {seconds} s"
            time.sleep(LOOK_SECONDS)
        return False


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
