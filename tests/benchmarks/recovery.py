"""A worker is killed with its runs in flight; another one takes them over. It held all, or as many as it has slots."""

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
DUE: Final = "due"
"""``--what due``: it has as many in its hands as the next one has slots, and the other runs wait for theirs."""
LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 120.0
SECONDS_EACH: Final = 0.2
"""More patience for each run: what a slow recovery takes is a figure, too."""


def recovery(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Seconds from when the first worker is known dead until what it ran has begun again, all have begun, and ended."""
    held = min(order.runs, order.slots if order.what == DUE else THREADS_MAX)
    os.environ[sagas.BEGUN] = tempfile.mkstemp("begun")[1]
    fill(engine, order.store, {"held": held})
    first = Beside("serve", order.store, "--slots", held, "--held")
    first.count("held", held)
    first.kill()
    in_hands = {run for what, run in first.told if what == "held"}
    if order.runs > held:
        more, left = next(iter(in_hands)), order.runs - held
        if order.what == DUE:
            more, left = engine.start(sagas.holds, {}).id, left - 1
        with copying(order.store) as db:
            copy(db, more, left)
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
    begun = _begun(order.runs, in_hands)
    known = dead.astimezone(UTC).timestamp()
    return {
        "concurrency": order.slots,
        "again_s": round(max(at for run, at in begun.items() if run in in_hands) - known, 3),
        "begun_s": round(max(begun.values()) - known, 3),
        "ended_s": round(ended.astimezone(UTC).timestamp() - known, 3),
    }


def _begun(runs: int, in_hands: set[str]) -> dict[str, float]:
    """When each of the runs began after the kill: those that the worker had *in hands* for a second time."""
    lines = [line.split() for line in Path(os.environ[sagas.BEGUN]).read_text().splitlines()]
    again = {run: float(at) for run, attempt, at in lines if int(attempt) > 1 or run not in in_hands}
    assert len(again) == runs, f"{len(again)} of {runs} have begun again"
    return again
