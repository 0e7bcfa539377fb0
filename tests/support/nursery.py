"""A process that forks others, so that each is a process of its own and none has a slow start.

Everything they need is imported there, once. Orders come as JSON, one a line; the answer is a line too. {"look": pid}
answers "alive", or how it ended; all others are for the room whose process it is. When they end, no child is left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from saga_engine import log

CHECKOUT: Final = Path(__file__).parents[2]
LOOK_SECONDS: Final = 0.01
WAIT_SECONDS: Final = 40.0
"""Longer than anything that is waited for takes on a busy machine."""
BROKE: Final = 70


class Nursery:
    """The process that runs *module*, as the tests see it. All tests of a room share it."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

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

    @property
    def alive(self) -> bool:
        return self.state() == "alive"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it has not ended."""
        if self.alive:
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
        while self.alive:
            if Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
            assert time.monotonic() < end, f"process {self.pid} has not come to its failpoint after {seconds} s"
            time.sleep(LOOK_SECONDS)
        return False


class Children:
    """In the nursery itself: those that were forked here."""

    def __init__(self) -> None:
        self._ended: dict[int, str] = {}
        self._alive: set[int] = set()

    def start(self, child: Callable[[], int]) -> int:
        """Fork a process that ends with what *child* returns; its pid."""
        pid = os.fork()
        if pid == 0:
            status = BROKE
            try:
                status = child()
            except BaseException as error:  # noqa: BLE001  whatever it was, the log says it and nobody runs on here
                print(f"this process broke: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            finally:
                os._exit(status)
        self._alive.add(pid)
        return pid

    def look(self, pid: int) -> str:
        """ "alive", or how it ended."""
        if pid in self._alive:
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                return "alive"
            self._alive.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self._ended[pid] = "killed" if code == -signal.SIGKILL else f"exit {code}"
        return self._ended[pid]

    def close(self) -> None:
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)


def serve(start: Callable[[Children, dict[str, Any]], object]) -> None:
    """Be the nursery: obey the orders that come in, those to start something by *start*, until there are no more."""
    children = Children()
    try:
        for line in sys.stdin:
            order = json.loads(line)
            answer = children.look(order["look"]) if "look" in order else start(children, order)
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
    finally:
        children.close()


def enter(folder: str) -> None:
    """In a child: be in the project in *folder*; what this process logs goes to a file there."""
    os.chdir(folder)
    log_file = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    log.configure()
