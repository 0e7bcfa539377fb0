"""A process that forks workers (``tests.support.nursery``): one can be killed and replaced several times a second.

{"work": {...}} starts a worker, which opens the store for itself and is killed for good, and answers its pid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg  # noqa: F401  SQLAlchemy would import it in each worker

from saga_engine import failpoints
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.settings import load
from tests.migration.points import KillOnce
from tests.support.nursery import Children, enter, serve

SHIPPED: Final = Path(__file__).parents[2] / "workflows"


def work(order: dict[str, Any]) -> int:
    """Be a worker of the project in the folder."""
    enter(order["folder"])
    prefork()
    settings = load(Path.cwd())
    points = KillOnce(Path.cwd(), order["points"]) if order["points"] else ""
    with (
        Engine(settings=settings, registry=registry.load(settings.workflows), create=False) as engine,
        failpoints.switched_on(points),
    ):
        engine.work(concurrency=order["concurrency"])
    return 0


def start(children: Children, order: dict[str, Any]) -> int:
    return children.start(lambda: work(order["work"]))


if __name__ == "__main__":
    registry.load(SHIPPED)  # compiled and imported once
    serve(start)
