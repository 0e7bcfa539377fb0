"""A process that forks workers and voters, so that each is a process of its own and none has a slow start.

Orders come as JSON, one a line; the answer is a line too. {"work": {...}} starts a worker and answers its pid;
{"vote": {...}} starts processes of people who decide at the same moments, and answers their pids; {"send": {...}}
starts one that sends events; {"look": pid} answers "alive" or how it ended. When the orders end, no child is left.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg  # noqa: F401  SQLAlchemy would import it in each child

from saga_engine import failpoints, log
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.settings import load
from tests.kill import planted, senders, votes

WORKFLOWS: Final = Path(__file__).parent / "workflows"
BROKE: Final = 70


def enter(folder: str) -> None:
    """Be in the project in *folder*; what this process logs goes to a file there."""
    os.chdir(folder)
    log_file = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    log.configure()


def opened(folder: str) -> Engine:
    """The engine of the project in *folder*."""
    enter(folder)
    return engine_here()


def engine_here() -> Engine:
    settings = load(Path.cwd())
    return Engine(settings=settings, registry=registry.load(settings.workflows), create=False)


def work(order: dict[str, Any]) -> int:
    """Be a worker."""
    enter(order["folder"])
    prefork()
    with engine_here() as engine, failpoints.switched_on(order["points"]):
        for bug in order["planted"]:
            planted.BUGS[bug]()
        worker = engine.worker(concurrency=order["concurrency"])
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        return worker.run(until_idle=order["until_idle"])


class Nursery:
    """The children that were started here."""

    def __init__(self) -> None:
        self._ended: dict[int, str] = {}
        self._alive: set[int] = set()

    def answer(self, order: dict[str, Any]) -> object:
        match order:
            case {"work": how}:
                return self._start(lambda: work(how))
            case {"vote": how}:
                return self._vote(how)
            case {"send": how}:
                return self._start(lambda: senders.send(opened(how["folder"]), how))
            case _:
                return self._look(order["look"])

    def close(self) -> None:
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)

    def _vote(self, how: dict[str, Any]) -> str:
        together = multiprocessing.get_context("fork").Barrier(how["processes"] * how["threads"])

        def voter(number: int) -> Callable[[], int]:
            return lambda: votes.vote(opened(how["folder"]), how, number, together.wait)

        return " ".join(str(self._start(voter(number))) for number in range(how["processes"]))

    def _start(self, child: Callable[[], int]) -> int:
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

    def _look(self, pid: int) -> str:
        if pid in self._alive:
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                return "alive"
            self._alive.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self._ended[pid] = "killed" if code == -signal.SIGKILL else f"exit {code}"
        return self._ended[pid]


def main() -> None:
    registry.load(WORKFLOWS)  # compiled and imported once
    nursery = Nursery()
    try:
        for line in sys.stdin:
            sys.stdout.write(f"{nursery.answer(json.loads(line))}\n")
            sys.stdout.flush()
    finally:
        nursery.close()


if __name__ == "__main__":
    main()
