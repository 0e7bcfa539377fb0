"""A process that forks workers, so that one can be killed and replaced several times a second.

Everything a worker imports is imported here, once; each worker is a process of its own that opens the store for
itself and is killed for good. Orders come as JSON, one a line; the answer is a line too. {"work": {...}} starts a
worker and answers its pid; {"kill": pid} kills it and answers how it ended; {"look": pid} answers "alive", or how it
ended. When the orders end, no worker is left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import psycopg  # noqa: F401  SQLAlchemy would import it in each worker

from saga_engine import failpoints, log
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.settings import load
from tests.migration.points import KillOnce

SHIPPED: Final = Path(__file__).parents[2] / "workflows"
BROKE: Final = 70


def work(order: dict[str, Any]) -> None:
    """Be a worker of the project in the folder; what it logs goes to a file there."""
    os.chdir(order["folder"])
    log_file = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    log.configure()
    prefork()
    settings = load(Path.cwd())
    with Engine(settings=settings, registry=registry.load(settings.workflows), create=False) as engine:
        if order["points"]:
            with failpoints.switched_on(KillOnce(Path.cwd(), order["points"])):
                engine.work(concurrency=order["concurrency"])
        else:
            engine.work(concurrency=order["concurrency"])


class Nursery:
    """The workers that were started here."""

    def __init__(self) -> None:
        self._ended: dict[int, str] = {}
        self._alive: set[int] = set()

    def answer(self, order: dict[str, Any]) -> object:
        match order:
            case {"work": how}:
                return self._start(how)
            case {"kill": pid}:
                self._signal(pid)
                return self._look(pid, 0)
            case _:
                return self._look(order["look"], os.WNOHANG)

    def close(self) -> None:
        for pid in self._alive:
            self._signal(pid)

    def _start(self, how: dict[str, Any]) -> int:
        pid = os.fork()
        if pid == 0:
            status = BROKE
            try:
                work(how)
                status = 0
            except BaseException as error:  # noqa: BLE001  whatever it was, the log says it and nobody runs on here
                print(f"the worker broke: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
            finally:
                os._exit(status)
        self._alive.add(pid)
        return pid

    def _signal(self, pid: int) -> None:
        if pid in self._alive:  # one that was waited for has given its number back
            os.kill(pid, signal.SIGKILL)

    def _look(self, pid: int, flags: int) -> str:
        if pid in self._alive:
            found, status = os.waitpid(pid, flags)
            if not found:
                return "alive"
            self._alive.discard(pid)
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            self._ended[pid] = "killed" if killed else f"exit {os.waitstatus_to_exitcode(status)}"
        return self._ended[pid]


def main() -> None:
    registry.load(SHIPPED)  # compiled and imported once
    nursery = Nursery()
    try:
        for line in sys.stdin:
            sys.stdout.write(f"{nursery.answer(json.loads(line))}\n")
            sys.stdout.flush()
    finally:
        nursery.close()


if __name__ == "__main__":
    main()
