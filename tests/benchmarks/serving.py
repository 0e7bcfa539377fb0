"""A worker in a process beside: started, listened to, stopped or killed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from saga_engine import Engine
from tests.benchmarks import sagas

WAIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.002
SETTLE_SECONDS: Final = 1.5
"""After the first sign of a worker: until it does what it does all the time."""


def serve(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Work until standard input ends; a line for each step that says it has begun, of busy runs for the first alone."""
    worker, first = engine.worker(concurrency=order.slots), threading.Event()

    def tell(what: str, run: str, at: float) -> None:
        if what == "busy" and first.is_set():
            return
        first.set()
        os.write(1, f"{what} {run} {at!r}\n".encode())

    def until_closed() -> None:
        sys.stdin.read()
        worker.stop()

    sagas.listen(tell)
    threading.Thread(target=until_closed, daemon=True).start()
    os.write(1, f"up - {time.time()!r}\n".encode())
    return {"exit": worker.run()}


class Beside:
    """The process of ``serve``, or of another kind: what it has told, by word and run."""

    def __init__(self, kind: str, url: str, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.child", kind, url, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told: dict[tuple[str, str], float] = {}
        self.last = ""
        """The last line: what the process has measured, as JSON."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait(self, what: str, run: str) -> float:
        """When it said so; waits until it does."""
        end = time.monotonic() + WAIT_SECONDS
        while (at := self.told.get((what, run))) is None:
            assert time.monotonic() < end, f"{what} {run} was not told"
            time.sleep(LOOK_SECONDS)
        return at

    def count(self, what: str, number: int, seconds: float = WAIT_SECONDS) -> float:
        """Wait until so many runs have said *what*; when the last of them did."""
        end = time.monotonic() + seconds
        while len(found := [at for (word, _), at in [*self.told.items()] if word == what]) < number:
            assert time.monotonic() < end, f"{len(found)} of {number} have said {what}"
            time.sleep(LOOK_SECONDS * 10)
        return max(found)

    def say(self, line: str) -> None:
        """A line for its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Let it drain; returns when it has ended."""
        self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.last = line
            else:
                what, run, at = line.split()
                self.told.setdefault((what, run), float(at))


@contextmanager
def beside(url: str, slots: int, *, busy: bool) -> Iterator[Beside]:
    """A worker in a process beside, which has settled; killed at the end where it is *busy*."""
    worker = Beside("serve", url, "--slots", slots)
    try:
        worker.count("busy" if busy else "up", 1)
        time.sleep(SETTLE_SECONDS)
        yield worker
    finally:
        if busy:
            worker.kill()
        else:
            worker.stop()


def together_from_go(all_of: Sequence[Beside], ending: str) -> float:
    """Let numbered processes go at once, when each is up; seconds until the last of them has said *ending*."""
    for number, one in enumerate(all_of):
        one.wait("up", str(number))
    began = time.time()
    for one in all_of:
        one.say("go")
    for one in all_of:
        one.stop()
    return max(one.told[ending, str(number)] for number, one in enumerate(all_of)) - began
