"""A process that forks workers, voters and senders (``tests.support.nursery``).

{"work": {...}} starts a worker and answers its pid; {"vote": {...}} starts processes of people who decide at the same
moments, and answers their pids; {"send": {...}} starts one that sends events.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg  # noqa: F401  SQLAlchemy would import it in each child

from saga_engine import failpoints
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.settings import load
from tests.kill import planted, senders, votes
from tests.support.nursery import Children, enter, serve

WORKFLOWS: Final = Path(__file__).parent / "workflows"


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


def start(children: Children, order: dict[str, Any]) -> object:
    match order:
        case {"work": how}:
            return children.start(lambda: work(how))
        case {"vote": how}:
            return _vote(children, how)
        case _:
            how = order["send"]
            return children.start(lambda: senders.send(opened(how["folder"]), how))


def _vote(children: Children, how: dict[str, Any]) -> str:
    together = multiprocessing.get_context("fork").Barrier(how["processes"] * how["threads"])

    def voter(number: int) -> Callable[[], int]:
        return lambda: votes.vote(opened(how["folder"]), how, number, together.wait)

    return " ".join(str(children.start(voter(number))) for number in range(how["processes"]))


if __name__ == "__main__":
    registry.load(WORKFLOWS)  # compiled and imported once
    serve(start)
