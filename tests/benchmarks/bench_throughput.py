"""How many durable transitions a second, with many runs in flight and one at a time, beside the peers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmarks import flow, peers, places
from tests.benchmarks.places import TIMES, on_each, scaled
from tests.support.servers import Server

Measured = Callable[..., float]
SEQUENCE_RUNS: Final = 100
RAW: Final = {"sqlite": "wal, the machine's SQLite", "postgresql": "PostgreSQL"}
"""The journal of the raw loop. No store may keep a WAL with a library that has the WAL-reset bug; a reference may."""
on_both = pytest.mark.parametrize("store", ["sqlite", "postgresql"])


def flowed(store: str, disk: Path, request: pytest.FixtureRequest, kind: str, runs: int) -> dict[str, Any]:
    """One measurement in a process of its own, on a fresh store."""
    with places.fresh(store, disk, request) as url:
        return places.flow(store, url, kind, "--runs", runs)


def admin(store: str, request: pytest.FixtureRequest) -> str | None:
    """Where the peers may make databases."""
    if store == "sqlite":
        return None
    server: Server = request.getfixturevalue("postgres_server")
    return server.url.set(drivername="postgresql").render_as_string(hide_password=False)


@on_both
def test_the_raw_limit(store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    found: dict[int, list[float]] = {}
    for _ in range(TIMES):
        for row in peers.raw_loop(store, admin(store, request), disk, "1,100,200", scaled(10_000)):
            found.setdefault(row["batch"], []).append(row["steps_s"])
    for batch, values in found.items():
        work = "sequence" if batch == 1 else "concurrent"
        facts = {"store": store, "journal": RAW[store], "concurrency": batch}
        measured(values, "steps/s", name=f"raw loop, batches of {batch}, {store}", work=work, who="raw", **facts)


@pytest.mark.parametrize("runs", [scaled(1_000), scaled(10_000)])
@on_each
def test_many_runs_in_flight(
    store: str, runs: int, disk: Path, request: pytest.FixtureRequest, measured: Measured
) -> None:
    rows = [flowed(store, disk, request, "throughput", runs) for _ in range(TIMES)]
    facts = {"store": store, "in_flight": runs, **_held(rows)}
    name = f"saga_engine, {runs:,} runs in flight, {store}"
    measured([row["per_s"] for row in rows], "transitions/s", name=name, work="concurrent", who="saga_engine", **facts)
    measured([row["cpu_us"] for row in rows], "µs CPU each", name=name, **facts)
    measured([row["starts_per_s"] for row in rows], "starts/s", name=name, **facts)
    measured([row["rss_mb"] for row in rows], "MB", name=f"{name}, memory", **facts)
    measured([row["bytes"] / runs / 1_000 for row in rows], "MB/1,000 runs", name=f"{name}, store", **facts)


@on_each
def test_one_run_at_a_time(store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    rows = [flowed(store, disk, request, "sequence", scaled(SEQUENCE_RUNS)) for _ in range(TIMES)]
    name, facts = f"saga_engine, one run at a time, {store}", {"store": store, "in_flight": 1, **_held(rows)}
    measured([row["per_s"] for row in rows], "steps/s", name=name, work="sequence", who="saga_engine", **facts)
    measured([row["p50_ms"] for row in rows], "ms p50", name=f"{name}, a run of {flow.STEPS} steps", **facts)
    measured([row["p99_ms"] for row in rows], "ms p99", name=f"{name}, a run of {flow.STEPS} steps", **facts)


def _held(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: rows[0][key] for key in ("journal", "concurrency")}


@pytest.mark.parametrize(("store", "name"), [(store, name) for store, names in peers.PEERS.items() for name in names])
def test_a_peer(store: str, name: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    rows = [peers.peer(name, store, admin(store, request), disk) for _ in range(TIMES)]
    for work, key in (("sequence", "sequential_steps_s"), ("concurrent", "concurrent_steps_s")):
        values = [row[key] for row in rows]
        measured(values, "steps/s", name=f"{name}, {work}, {store}", store=store, work=work, who=name)
