"""What single operations cost on a store with many parked runs: a third waits for events, a third for people."""

from __future__ import annotations

import argparse
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Engine
from saga_engine.cli.look import PARKED_SHOWN
from saga_engine.runtime.life import host
from saga_engine.store import claims, findings, incarnations
from saga_engine.store import schema as s
from saga_engine.store.claims import Menu
from tests.benchmarks import sagas
from tests.benchmarks.fill import fill
from tests.benchmarks.flow import Input, working
from tests.benchmarks.flow import saga as chain
from tests.benchmarks.gauges import percentile

LEASE: Final = timedelta(minutes=10)
LOOKS: Final = 5
"""How often what takes long is done."""
STARTS_AT_ONCE: Final = 50


def growth(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, p50, of each operation; ``--times`` of each of the short ones."""
    first = fill(engine, order.store, {"quiet": order.times})
    with engine.store.read() as db:
        waiting = sa.select(s.runs.c.id).where(s.runs.c.saga == "parks", s.runs.c.state == "HOLD")
        runs = random.sample(list(db.execute(waiting).scalars()), order.times)
        counted = {
            "runs": db.execute(sa.select(sa.func.count()).select_from(s.runs)).scalar_one(),
            "journal_rows": db.execute(sa.select(sa.func.count()).select_from(s.journal)).scalar_one(),
        }
    _begin(engine)
    menu = Menu(("default",), tuple(engine.door.pins().values()), host())
    row = {
        "look": _each(lambda: _look(engine, menu), order.times),
        "claim": _each(lambda: _claim(engine, menu), order.times),
        "deliver": [_timed(lambda run=run: engine.send(run, sagas.go, {}, dedup_key="go")) for run in runs],  # type: ignore[misc]
        "snapshot": [_timed(lambda run=run: engine.get(run)) for run in runs],  # type: ignore[misc]
        "why": [_timed(lambda run=run: engine.why(run)) for run in runs],  # type: ignore[misc]
        "count": _each(engine.status, LOOKS),
        "parked": _each(lambda: engine.find(status="parked", limit=PARKED_SHOWN), LOOKS),
        "approvals": _each(engine.approvals, LOOKS),
        "workers": _each(engine.workers, LOOKS),
        "list": _each(engine.find, LOOKS),
        "keeper": _each(lambda: _keep(engine), LOOKS),
    }
    times = {name: round(1_000 * percentile(laps, 0.5), 3) for name, laps in row.items()}
    times["status"] = sum(times[name] for name in ("count", "parked", "approvals", "workers"))
    assert first["quiet"], "what is claimed was due"
    return {"concurrency": 1, **counted, "p50_ms": times}


def churn(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """Start runs and bring them to their end, all the time, for so many seconds."""
    ended, until = 0, time.monotonic() + order.seconds
    with working(engine, order.slots):
        while time.monotonic() < until:
            runs = [engine.start(chain, Input()) for _ in range(STARTS_AT_ONCE)]
            while not all(engine.get(run.id).ended for run in runs):
                time.sleep(0.01)
            ended += len(runs)
    return {"concurrency": order.slots, "churned_runs": ended, "threads": threading.active_count()}


def _begin(engine: Engine) -> None:
    """A life that holds what is claimed here; its death lock is nobody's, its lease is long."""
    birth = incarnations.Birth(ME, host(), 1, "/", 0, 0, "", ("default",), engine_loads(engine), {}, 1)
    with engine.store.write() as db:
        incarnations.begin(db, birth, engine.store.clock(db), LEASE)


ME: Final = secrets.token_hex(6)


def engine_loads(engine: Engine) -> dict[str, int]:
    """The rows of what is loaded here."""
    pins = engine.door.pins()
    return {f"{chart.name} v{chart.version}": pins[chart.digest] for chart in engine.registry}


def _look(engine: Engine, menu: Menu) -> None:
    with engine.store.read() as db:
        assert claims.look(db, menu).action is not None


def _claim(engine: Engine, menu: Menu) -> None:
    with engine.store.write() as db:
        assert len(claims.claim(db, ME, menu, "action", 1, engine.store.clock(db))) == 1


def _keep(engine: Engine) -> None:
    """What each keeper does every ten seconds."""
    with engine.store.write() as db:
        findings.renew(db, engine.store.clock(db))


def _each(act: Callable[[], object], times: int) -> Sequence[float]:
    return [_timed(act) for _ in range(times)]


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
