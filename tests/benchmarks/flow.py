"""One measurement in a process of its own: ``python -m tests.benchmarks.flow KIND STORE ...`` prints one JSON object.

The work is that of every peer: a run is a chain of five steps that do nothing, each durable.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final

from saga_engine import Engine, Frozen, Retry, Saga, Step, log, minutes
from saga_engine.settings import Settings
from tests.benchmarks.gauges import journal, memory_mb, size, spread

STEPS: Final = 5
WAIT_SECONDS: Final = 60.0


class S(Enum):
    """A chain."""

    EXPORTING = 1
    LOADING = 2
    VALIDATING = 3
    FINALIZING = 4
    PUBLISHING = 5
    COMPLETED = 6


class Input(Frozen):
    """What a run is given."""

    rows: int = 1_000
    source: str = "a"
    target: str = "b"


class Moved(Frozen):
    """What a step returns."""

    rows: int


def export(step: Step[Input]) -> Moved:
    return Moved(rows=step.input.rows)


def load(step: Step[Input]) -> Moved:
    return Moved(rows=step.input.rows)


def validate(step: Step[Input]) -> Moved:
    return Moved(rows=step.input.rows)


def finalize(step: Step[Input]) -> Moved:
    return Moved(rows=step.input.rows)


def publish(step: Step[Input]) -> Moved:
    return Moved(rows=step.input.rows)


saga = Saga("chain", version=1, states=S, input=Input, start=S.EXPORTING)
_works = (export, load, validate, finalize, publish)
for _here, _work, _next in zip(list(S)[:STEPS], _works, list(S)[1:], strict=True):
    saga.at(_here).run(_work, retry=Retry(3), timeout=minutes(5)).reads_only().then(_next)
saga.final(S.COMPLETED)


@contextmanager
def timed(row: dict[str, Any], transitions: int) -> Iterator[None]:
    """Add wall and processor time of the block to *row*, for each of so many transitions."""
    began, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    row |= {"wall_s": round(wall, 3), "per_s": round(transitions / wall, 1), "cpu_us": round(1e6 * cpu / transitions)}


def throughput(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """So many runs in flight, from the start of the worker until all have ended."""
    row: dict[str, Any] = {}
    empty = size(engine.store, order.store)
    began = time.perf_counter()
    for number in range(order.runs):
        engine.start(saga, Input(rows=number))
    row["starts_per_s"] = round(order.runs / (time.perf_counter() - began), 1)
    with timed(row, order.runs * STEPS):
        engine.work(concurrency=order.slots, until_idle=True)
    assert not engine.find(live=True, limit=1).items, "every run has ended"
    return {**row, "rss_mb": memory_mb(), "bytes": size(engine.store, order.store) - empty}


def sequence(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """One run after the other: the next starts when the one before has ended."""
    row: dict[str, Any] = {}
    laps: list[float] = []
    with working(engine, order.slots):
        _through(engine)
        with timed(row, order.runs * STEPS):
            for _ in range(order.runs):
                began = time.perf_counter()
                _through(engine)
                laps.append(time.perf_counter() - began)
    return {**row, **spread(laps)}


def first(engine: Engine, order: argparse.Namespace) -> dict[str, Any]:
    """On a store that is there: the first run from its start to its end."""
    row: dict[str, Any] = {}
    with timed(row, STEPS):
        engine.start(saga, Input())
        engine.work(concurrency=order.slots, until_idle=True)
    return row


@contextmanager
def working(engine: Engine, slots: int) -> Iterator[None]:
    """A worker in a thread beside."""
    worker = engine.worker(concurrency=slots)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def _through(engine: Engine) -> None:
    run = engine.wait(engine.start(saga, Input()).id, seconds=WAIT_SECONDS)
    assert run.ended, f"{run.id} is in {run.state}"


KINDS: Final[dict[str, Callable[[Engine, argparse.Namespace], dict[str, Any]]]] = {
    "throughput": throughput,
    "sequence": sequence,
    "first": first,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("store")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--slots", type=int, default=100)
    order = parser.parse_args()
    log.configure(verbosity=-1)
    began = time.time()
    with Engine(settings=Settings(store=order.store), sagas=[saga]) as engine:
        facts = {"kind": order.kind, "runs": order.runs, "concurrency": order.slots, "journal": journal(engine.store)}
        row = KINDS[order.kind](engine, order)
    sys.stdout.write(json.dumps({**facts, **row, "process_s": time.time() - began}) + "\n")


if __name__ == "__main__":
    main()
