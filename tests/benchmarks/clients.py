"""Events and approvals by many clients at once, each for a run of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from saga_engine import Engine
from saga_engine.store import schema as s
from tests.benchmarks import sagas
from tests.benchmarks.fill import fill
from tests.benchmarks.gauges import spread
from tests.benchmarks.serving import Beside, together_from_go

WAY = {"send": "hold", "approve": "gate"}


def client(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Wait for a line, then send to this process's share of the runs, by so many threads."""
    with engine.store.read() as db:
        query = sa.select(s.runs.c.id).where(s.runs.c.state == WAY[order.what].upper()).order_by(s.runs.c.id)
        mine = list(db.execute(query).scalars())[order.number :: order.processes]
        digest = db.execute(sa.select(s.approvals.c.digest).limit(1)).scalar()
    acts: dict[str, Callable[[str], object]] = {
        "send": lambda run: engine.send(run, sagas.go, {}, dedup_key="go"),
        "approve": lambda run: engine.approve(run, shown=digest or "", actor="ann"),
    }

    def one(run: str) -> float:
        began = time.perf_counter()
        acts[order.what](run)
        return time.perf_counter() - began

    os.write(1, f"up {order.number} {time.time()!r}\n".encode())
    sys.stdin.readline()
    with ThreadPoolExecutor(order.threads) as pool:
        laps = list(pool.map(one, mine))
    os.write(1, f"done {order.number} {time.time()!r}\n".encode())
    return {"laps": laps}


def together(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """So many processes with so many threads each: acknowledged ones a second, and how long each took."""
    fill(engine, order.store, {WAY[order.what]: order.runs})
    each = ("--what", order.what, "--processes", order.processes, "--threads", order.threads)
    all_of = [Beside("client", order.store, *each, "--number", number) for number in range(order.processes)]
    wall = together_from_go(all_of, "done")
    laps = [lap for one in all_of for lap in json.loads(one.last)["laps"]]
    assert len(laps) == order.runs, "each run was sent to once"
    clients = order.processes * order.threads
    return {"concurrency": clients, "per_s": round(order.runs / wall, 1), **spread(laps)}
