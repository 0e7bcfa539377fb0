"""The same work by others, and the raw limit of the driver: scripts beside the checkout, used where they are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER: Final = Path(os.environ.get("SAGA_BENCH_PEERS") or Path(__file__).parents[3] / "shared" / "bench")
CACHE: Final = Path(os.environ.get("SAGA_BENCH_CACHE") or Path.home() / ".cache" / "saga-bench")
PEERS: Final = {
    "sqlite": ["dbos", "huey"],
    "postgresql": ["dbos", "restate", "pgqueuer"],
}
TIMEOUT_SECONDS: Final = 900


def _rows(script: str, *arguments: str) -> list[dict[str, Any]]:
    if not (FOLDER / script).exists():
        pytest.skip(f"{FOLDER / script} is not there: name the folder of the peers in SAGA_BENCH_PEERS")
    command = [sys.executable, script, *arguments, "--venvs", str(CACHE), "--json"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert found, done.stderr[-2000:]
    return found


def raw_loop(store: str, url: str | None, disk: Path, batches: str, workflows: int) -> list[dict[str, Any]]:
    """Claim and result with the same rows, straight on the driver: ``steps_s`` for each batch."""
    where = ["--url", url] if url else []
    given = ["--store", store, "--batches", batches, "--workflows", str(workflows), "--work-dir", str(disk), *where]
    return [row for row in _rows("raw_loop.py", *given) if row["row"] == "raw_loop"]


def peer(name: str, store: str, url: str | None, disk: Path) -> dict[str, Any]:
    """What a peer does: ``sequential_steps_s`` and ``concurrent_steps_s``; skips where it cannot be had here."""
    where = ["--url", url] if url else []
    [row] = [
        row
        for row in _rows("peers.py", "--store", store, "--peers", name, "--work-dir", str(disk), *where)
        if row["row"] == "peer"
    ]
    if "error" in row or "skipped" in row:
        pytest.skip(f"{name}: {row.get('error') or row['skipped']}")
    return row
