"""Several worker processes on one store, and what one has in memory."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext

from saga_engine import Engine
from tests.benchmarks.fill import fill
from tests.benchmarks.flow import STEPS
from tests.benchmarks.gauges import memory_mb
from tests.benchmarks.serving import Beside, together_from_go


def drain(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Wait for a line, then work until nothing is due: what the database refused meanwhile, by its code."""
    refused: Counter[str] = Counter()

    def note(context: ExceptionContext) -> None:
        found = context.original_exception
        refused[str(getattr(found, "sqlstate", None) or getattr(found, "sqlite_errorname", "?"))] += 1

    sa.event.listen(sa.Engine, "handle_error", note)
    os.write(1, f"up {order.number} {time.time()!r}\n".encode())
    sys.stdin.readline()
    engine.work(concurrency=order.slots, until_idle=True)
    os.write(1, f"idle {order.number} {time.time()!r}\n".encode())
    return {"refused": dict(refused), "rss_mb": memory_mb()}


def together(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """So many workers for so many five-step runs that are due: transitions a second until the last has ended."""
    fill(engine, order.store, {"chain": order.runs})
    before = _trouble(engine)
    all_of = [
        Beside("drain", order.store, "--slots", order.slots, "--number", number) for number in range(order.processes)
    ]
    wall = together_from_go(all_of, "idle")
    assert not engine.find(live=True, limit=1).items, "every run has ended"
    rows = [json.loads(one.last) for one in all_of]
    refused: Counter[str] = Counter()
    for row in rows:
        refused.update(row["refused"])
    return {
        "processes": order.processes,
        "concurrency": order.slots,
        "in_flight": order.runs,
        "per_s": round(order.runs * STEPS / wall, 1),
        "refused": dict(refused),
        **{name: count - before[name] for name, count in _trouble(engine).items()},
    }


def memory(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """The memory of a worker that is done with what is due, on a store that was filled before."""
    engine.work(concurrency=order.slots, until_idle=True)
    return {"concurrency": order.slots, "rss_mb": memory_mb()}


def _trouble(engine: Engine) -> dict[str, int]:
    """Deadlocks so far, as PostgreSQL counts them."""
    if engine.store.dialect == "sqlite":
        return {}
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with engine.store.read() as db:
        return {"deadlocks": int(db.exec_driver_sql(query).scalar_one())}
