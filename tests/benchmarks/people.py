"""What somebody feels who acts or looks while a worker beside records as fast as it can."""

from __future__ import annotations

import argparse
import random
import time
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Engine
from saga_engine.store import schema as s
from tests.benchmarks import sagas
from tests.benchmarks.fill import fill
from tests.benchmarks.gauges import percentile, spread
from tests.benchmarks.serving import beside

PAUSE_SECONDS: Final = 0.02
"""At most, between two commands."""


def act_and_look(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """``saga approve`` and ``saga show``, from this process, beside so many busy runs: each as its command does it."""
    fill(engine, order.store, {"gate": order.times, "busy": order.busy})
    with engine.store.read() as db:
        gates = db.execute(sa.select(s.approvals.c.run_id, s.approvals.c.digest)).all()
    approve, show = [], []
    with beside(order.store, order.slots, busy=True):
        before, began = _moves(engine), time.perf_counter()
        for run, digest in gates:
            approve.append(_timed(lambda: _approve(engine, run, digest)))  # noqa: B023  called at once
            show.append(_timed(lambda: _show(engine, run)))  # noqa: B023
            time.sleep(random.uniform(0, PAUSE_SECONDS))
        moves, wall = _moves(engine) - before, time.perf_counter() - began
    assert moves > len(gates), "the worker was busy meanwhile"
    load = {"concurrency": order.slots, "busy_runs": order.busy, "recorded_per_s": round(moves / wall, 1)}
    return {**load, **spread(approve, "approve_"), **spread(show, "show_")}


def quiet_beside_busy(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the start of a run of a quiet saga until its step begins, beside so many busy runs."""
    fill(engine, order.store, {"busy": order.busy})
    with beside(order.store, order.slots, busy=True) as worker:
        before, began = _moves(engine), time.perf_counter()
        asked: dict[str, float] = {}
        for _ in range(order.times):
            at = time.time()
            asked[engine.start(sagas.quiet, {}).id] = at
            time.sleep(random.uniform(0, PAUSE_SECONDS))
        waited = [worker.wait("quiet", run) - at for run, at in asked.items()]
        moves, wall = _moves(engine) - before, time.perf_counter() - began
    assert moves > order.times, "the worker was busy meanwhile"
    load = {"concurrency": order.slots, "busy_runs": order.busy, "recorded_per_s": round(moves / wall, 1)}
    return {**load, "p50_s": round(percentile(waited, 0.5), 3), "max_s": round(max(waited), 3)}


def _approve(engine: Engine, run: str, digest: str) -> None:
    run_id = engine.resolve_name(run)
    engine.approvals(run_id)
    engine.approve(run_id, shown=digest, actor="ann")


def _show(engine: Engine, run: str) -> None:
    run_id = engine.resolve_name(run)
    engine.get(run_id)
    engine.picture(run_id)


def _timed(act: Any) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _moves(engine: Engine) -> int:
    """Transitions of all runs."""
    with engine.store.read() as db:
        return int(db.execute(sa.select(sa.func.sum(s.runs.c.transitions))).scalar_one())
