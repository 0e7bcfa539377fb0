"""Python processes of a test: started together, told to go, killed at the end whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SECONDS_MAX: Final = 60


class Process:
    """A script with its arguments. It says "ready" when it is, and begins at the first line it is sent."""

    def __init__(
        self, script: str, *arguments: object, failpoints: str = "", env: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SAGA_FAILPOINTS": failpoints, **(env or {})},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def until(self, line: str) -> list[str]:
        """What it prints, up to that line."""
        assert self._process.stdout is not None
        said: list[str] = []
        for raw in self._process.stdout:
            said.append(raw.rstrip("\n"))
            if said[-1] == line:
                return said
        raise AssertionError(f"it ended before it said {line!r}: {said}")

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, list[str]]:
        """Its exit code, and what it printed."""
        said, _ = self._process.communicate(timeout=SECONDS_MAX)
        return self._process.returncode, said.splitlines()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float = SECONDS_MAX) -> int:
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(SECONDS_MAX)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@contextmanager
def started(*processes: Process) -> Iterator[list[Process]]:
    """The processes, ready; all are killed at the end."""
    try:
        for process in processes:
            process.until("ready")
        yield list(processes)
    finally:
        for process in processes:
            process.kill()


def together(*processes: Process) -> list[list[str]]:
    """What each printed, all told to go at the same moment; each has to end well."""
    with started(*processes):
        for process in processes:
            process.go()
        ended = [process.end() for process in processes]
    assert [code for code, _ in ended] == [0] * len(processes), ended
    return [said for _, said in ended]
