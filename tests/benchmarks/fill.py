"""A store of any size within minutes: real runs, brought where they are by a worker, and copies of each."""

from __future__ import annotations

import time
from typing import Any, Final

from saga_engine import Engine
from saga_engine.domain.definition.saga import Saga
from tests.benchmarks import flow, sagas
from tests.support.copies import copy, copying

WAYS: Final = ("hold", "gate", "park")
DUE: Final[dict[str, Saga[Any, Any]]] = {
    "chain": flow.saga, "busy": sagas.busy, "quiet": sagas.quiet, "held": sagas.holds,
}  # fmt: skip


def fill(engine: Engine, url: str, wanted: dict[str, int]) -> dict[str, str]:
    """Make so many runs of each kind: *hold*, *gate*, *park* wait, the others are due. The first of each, by kind."""
    first = {way: engine.start(sagas.parks, {"way": way}).id for way in WAYS if wanted.get(way)}
    if first:
        engine.work(until_idle=True)
    first |= {kind: engine.start(saga, {}).id for kind, saga in DUE.items() if wanted.get(kind)}
    with copying(url) as db:
        for kind, run in first.items():
            copy(db, run, wanted[kind] - 1)
    return first


def filled(engine: Engine, order: Any) -> dict[str, Any]:
    """``--fill hold=300,gate=300``: how long it took, and the first run of each kind."""
    began = time.perf_counter()
    wanted = {kind: int(number) for kind, _, number in (part.partition("=") for part in order.fill.split(","))}
    first = fill(engine, order.store, wanted)
    return {"first": first, "fill_s": round(time.perf_counter() - began, 1)}
