"""Where a scenario runs: an empty store on the disk, and the process that measures on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.servers import Server

CHECKOUT: Final = Path(__file__).parents[2]
NEWER: Final = os.environ.get("SAGA_BENCH_SQLITE", "")
"""A folder that holds the package pysqlite3: ``pip install --target FOLDER pysqlite3``."""
SCALE: Final = float(os.environ.get("SAGA_BENCH_SCALE", "1"))
"""0.01: everything a hundredth of its size, to see that it runs."""
TIMES: Final = int(os.environ.get("SAGA_BENCH_TIMES", "3"))
"""How often each scenario is run."""
STORES: Final = ("sqlite", *(["sqlite-newer"] if NEWER else []), "postgresql")
"""sqlite-newer: the same with the library of SAGA_BENCH_SQLITE, with which the store chooses another journal."""
on_each = pytest.mark.parametrize("store", STORES)


@contextmanager
def fresh(store: str, disk: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty store on the disk."""
    if store == "postgresql":
        server: Server = request.getfixturevalue("postgres_server")
        with server.database(durable=True) as url:
            yield url
    else:
        file = disk / "bench.db"
        yield f"sqlite:///{file}"
        for left in disk.glob("bench.db*"):
            left.unlink()


def scaled(number: int) -> int:
    """*number* as SAGA_BENCH_SCALE has it."""
    return max(2, int(number * SCALE))


def environment(store: str) -> dict[str, str]:
    """Of a process that works on such a store, and of all that it starts."""
    found = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    if store == "sqlite-newer":
        path = [Path(__file__).parent / "newer_sqlite", NEWER, CHECKOUT]
        found["PYTHONPATH"] = os.pathsep.join(map(str, path))
    return found


def child(store: str, url: str, kind: str, *arguments: object) -> dict[str, Any]:
    """What one process measures; its journal and concurrency are among it."""
    return _row(store, "tests.benchmarks.child", kind, url, *arguments)


def flow(store: str, url: str, kind: str, *arguments: object) -> dict[str, Any]:
    """The same, of the chain of five steps."""
    return _row(store, "tests.benchmarks.flow", kind, url, *arguments)


def _row(store: str, module: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=environment(store), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row
