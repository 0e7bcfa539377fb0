"""How many durable transitions a second, with many runs in flight and one at a time, beside the peers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.benchmarks import flow, peers
from tests.support.servers import Server

Measured = Callable[..., float]
TIMES: Final = 3
SEQUENCE_RUNS: Final = 100
on_both = pytest.mark.parametrize("store", ["sqlite", "postgresql"])


@contextmanager
def fresh(store: str, disk: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty store on the disk."""
    if store == "sqlite":
        file = disk / "bench.db"
        yield f"sqlite:///{file}"
        for left in disk.glob("bench.db*"):
            left.unlink()
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield url


def flowed(store: str, disk: Path, request: pytest.FixtureRequest, *arguments: str) -> dict[str, Any]:
    """One measurement in a process of its own, on a fresh store."""
    with fresh(store, disk, request) as url:
        command = [sys.executable, "-m", "tests.benchmarks.flow", arguments[0], url, *arguments[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return row


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
        for row in peers.raw_loop(store, admin(store, request), disk, "1,100,200", 10_000):
            found.setdefault(row["batch"], []).append(row["steps_s"])
    for batch, values in found.items():
        work = "sequence" if batch == 1 else "concurrent"
        measured(values, "steps/s", name=f"raw loop, batches of {batch}, {store}", store=store, work=work, who="raw")


@pytest.mark.parametrize("runs", [1_000, 10_000])
@on_both
def test_many_runs_in_flight(
    store: str, runs: int, disk: Path, request: pytest.FixtureRequest, measured: Measured
) -> None:
    rows = [flowed(store, disk, request, "throughput", "--runs", str(runs)) for _ in range(TIMES)]
    facts = {"store": store, "in_flight": runs}
    name = f"saga_engine, {runs:,} runs in flight, {store}"
    measured([row["per_s"] for row in rows], "transitions/s", name=name, work="concurrent", who="saga_engine", **facts)
    measured([row["cpu_us"] for row in rows], "µs CPU each", name=name, **facts)
    measured([row["starts_per_s"] for row in rows], "starts/s", name=name, **facts)
    measured([row["rss_mb"] for row in rows], "MB", name=f"{name}, memory", **facts)
    measured([row["bytes"] / runs for row in rows], "KB/1,000 runs", name=f"{name}, store", **facts)


@on_both
def test_one_run_at_a_time(store: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    rows = [flowed(store, disk, request, "sequence", "--runs", str(SEQUENCE_RUNS)) for _ in range(TIMES)]
    name = f"saga_engine, one run at a time, {store}"
    measured([row["per_s"] for row in rows], "steps/s", name=name, store=store, work="sequence", who="saga_engine")
    measured([row["p50_ms"] for row in rows], "ms p50", name=f"{name}, a run of {flow.STEPS} steps", store=store)
    measured([row["p99_ms"] for row in rows], "ms p99", name=f"{name}, a run of {flow.STEPS} steps", store=store)


@pytest.mark.parametrize(("store", "name"), [(store, name) for store, names in peers.PEERS.items() for name in names])
def test_a_peer(store: str, name: str, disk: Path, request: pytest.FixtureRequest, measured: Measured) -> None:
    rows = [peers.peer(name, store, admin(store, request), disk) for _ in range(TIMES)]
    for work, key in (("sequence", "sequential_steps_s"), ("concurrent", "concurrent_steps_s")):
        values = [row[key] for row in rows]
        measured(values, "steps/s", name=f"{name}, {work}, {store}", store=store, work=work, who=name)
