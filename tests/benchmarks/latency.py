"""From an event to the first line of the step that it lets begin; and what one commit costs on that disk."""

from __future__ import annotations

import argparse
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Engine
from saga_engine.store import schema as s
from tests.benchmarks import sagas
from tests.benchmarks.fill import fill
from tests.benchmarks.flow import working
from tests.benchmarks.gauges import spread
from tests.benchmarks.serving import LOOK_SECONDS, SETTLE_SECONDS, WAIT_SECONDS, beside

PAUSE_SECONDS: Final = 0.1
"""At most, between two events: they meet the worker's polls at any phase."""

Began = Callable[[str], float]
"""When the step of a run began; waits for it."""


def commits(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """One row changed and committed by the driver alone, again and again: one writer, the store's own settings."""
    url = sa.make_url(order.store)
    if engine.store.dialect == "sqlite":
        with engine.store.read() as db:
            mode = db.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        path = Path(url.database or "").with_suffix(".raw.db")
        raw = sa.create_engine("sqlite://", creator=lambda: _durable(path, mode), poolclass=sa.StaticPool)
    else:
        raw = sa.create_engine(url)
    with raw.connect() as db:
        db.exec_driver_sql("CREATE TABLE bench_raw (id INTEGER PRIMARY KEY, n INTEGER)")
        db.exec_driver_sql("INSERT INTO bench_raw VALUES (1, 0)")
        db.commit()
        laps = [_lap(db) for _ in range(order.times)]
        db.exec_driver_sql("DROP TABLE bench_raw")
        db.commit()
    raw.dispose()
    return {"concurrency": 1, **spread(laps)}


def _durable(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA synchronous = FULL")
    return db


def _lap(db: sa.Connection) -> float:
    began = time.perf_counter()
    db.exec_driver_sql("UPDATE bench_raw SET n = n + 1 WHERE id = 1")
    db.commit()
    return time.perf_counter() - began


def events(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Send ``go`` to so many waiting runs, one after the other; the worker is here or *beside*, idle or ``--busy``."""
    fill(engine, order.store, {"hold": order.times, "busy": order.busy})
    with engine.store.read() as db:
        runs = list(db.execute(sa.select(s.runs.c.id).where(s.runs.c.state == "HOLD")).scalars())
    with _worker(engine, order) as began:
        laps = _all_at_once(engine, runs, began) if order.busy else [_one(engine, run, began) for run in runs]
    return {"concurrency": order.slots, "busy_runs": order.busy, **spread(laps)}


def _one(engine: Engine, run: str, began: Began) -> float:
    """The next event is sent when the step of the one before has begun."""
    sent = _send(engine, run)
    return began(run) - sent


def _all_at_once(engine: Engine, runs: list[str], began: Began) -> list[float]:
    """Beside a load that does not last for ever: the next event is sent while the one before may wait."""
    sent = {run: _send(engine, run) for run in runs}
    return [began(run) - at for run, at in sent.items()]


def _send(engine: Engine, run: str) -> float:
    time.sleep(random.uniform(0, PAUSE_SECONDS))
    at = time.time()
    engine.send(run, sagas.go, {}, dedup_key="go")
    return at


@contextmanager
def _worker(engine: Engine, order: argparse.Namespace) -> Iterator[Began]:
    if order.what == "beside":
        with beside(order.store, order.slots, busy=order.busy > 0) as worker:
            yield lambda run: worker.wait("act", run)
        return
    told: dict[str, float] = {}
    came = threading.Condition()

    def tell(what: str, run: str, at: float) -> None:
        if what == "act":
            with came:
                told[run] = at
                came.notify()

    def began(run: str) -> float:
        with came:
            assert came.wait_for(lambda: run in told, WAIT_SECONDS), f"{run} did not begin"
        return told[run]

    sagas.listen(tell)
    with working(engine, order.slots):
        time.sleep(SETTLE_SECONDS + LOOK_SECONDS)
        yield began
