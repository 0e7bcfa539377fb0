"""A worker is killed with all its runs in flight; another one takes them over."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Engine
from saga_engine.store import schema as s
from tests.benchmarks import sagas
from tests.benchmarks.fill import fill
from tests.benchmarks.serving import Beside
from tests.support.copies import copy, copying

THREADS_MAX: Final = 1_000
"""So many runs a worker of the trial really has in its hands; more are copies of one of them, leased to it as well."""
LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 120.0
SECONDS_EACH: Final = 0.2
"""More patience for each run: what a slow recovery takes is a figure, too."""


def recovery(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the moment the first worker is known dead until all of its runs have begun again, and ended."""
    held = min(order.runs, THREADS_MAX)
    os.environ[sagas.BEGUN] = tempfile.mkstemp("begun")[1]
    fill(engine, order.store, {"held": held})
    first = Beside("serve", order.store, "--slots", held, "--held")
    first.count("held", held)
    first.kill()
    if order.runs > held:
        with copying(order.store) as db:
            copy(db, next(run for what, run in first.told if what == "held"), order.runs - held)
    second = Beside("serve", order.store, "--slots", order.slots)
    end = time.monotonic() + PATIENCE_SECONDS + SECONDS_EACH * order.runs
    while engine.find(live=True, limit=1).items:
        assert time.monotonic() < end, f"{sum(line.runs for line in engine.status())} of {order.runs} are still live"
        time.sleep(LOOK_SECONDS)
    second.stop()
    with engine.store.read() as db:
        dead = db.execute(
            sa.select(s.incarnations.c.ended_at).where(
                s.incarnations.c.pid == first.pid, s.incarnations.c.ended_how == "dead"
            )
        ).scalar_one()
        ended = db.execute(sa.select(sa.func.max(s.runs.c.ended_at))).scalar_one()
    begun = _begun(order.runs)
    known = dead.astimezone(UTC).timestamp()
    return {
        "concurrency": order.slots,
        "begun_s": round(begun - known, 3),
        "ended_s": round(ended.astimezone(UTC).timestamp() - known, 3),
    }


def _begun(runs: int) -> float:
    """When the last of the runs began again."""
    lines = [line.split() for line in Path(os.environ[sagas.BEGUN]).read_text().splitlines()]
    again = {run: float(at) for run, attempt, at in lines if int(attempt) > 1}
    assert len(again) == runs, f"{len(again)} of {runs} have begun again"
    return max(again.values())
