"""The database is stopped as by a crash, under load: every acknowledged run ends, nothing is there twice.

Store and target lie in one cluster, which is the test's own. Workers and starters live through it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from saga_engine.errors import StoreError
from tests.kill.project import Project
from tests.support.cluster import Cluster, ClusterFailed, temporary_cluster
from tests.support.nursery import CHECKOUT, WAIT_SECONDS, Forked, Nursery

WORKERS: Final = 4
RUNS: Final = 500
STOPS: Final = 5
RUNS_LONG: Final = 5_000
STOPS_LONG: Final = 50
DOWN_SECONDS: Final = 0.5
ALL_SECONDS: Final = 200.0
"""On a machine that is busy with something else."""
BOOKED: Final = ["out", "car"]
SHORT_LEASE: Final = {"lease_seconds": 1.5, "renew_seconds": 0.5, "poll_seconds": 0.1}
SPINNING: Final = 0.3
"""Of one core, by a worker whose store is away."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        with temporary_cluster() as cluster:
            yield cluster
    except ClusterFailed as error:
        pytest.skip(f"no PostgreSQL that may be stopped: {error}")


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path, nursery: Nursery, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project whose databases are the cluster's; new ones for each test."""
    store, target = (_made(cluster, tmp_path / kind) for kind in ("store", "target"))
    project = Project(tmp_path / "project", nursery, store, target, **getattr(request, "param", {}))
    yield project
    project.close()


def _made(cluster: Cluster, secret: Path) -> str:
    """A new database, as a reference to the file that holds its URL."""
    admin = sa.create_engine(cluster.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as db:
        name = f"{secret.name}_{len(list(db.execute(sa.text('SELECT 1 FROM pg_database'))))}"
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    secret.touch(mode=0o600)
    secret.write_text(make_url(cluster.url).set(database=name).render_as_string(hide_password=False))
    return f"file:{secret}"


class Starters:
    """Threads that start runs, each under its key, until each is acknowledged."""

    def __init__(self, project: Project, runs: int, threads: int = 2) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused = 0
        self._project, self._runs = project, runs
        self._threads = [threading.Thread(target=self._start, args=(n, threads)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _start(self, first: int, step: int) -> None:
        for number in range(first, self._runs, step):
            while True:
                try:
                    given = {"folder": str(self._project.folder)}
                    self.acknowledged[f"k{number}"] = self._project.engine.start("ferry", given, key=f"k{number}").id
                except StoreError:
                    self.refused += 1
                    time.sleep(0.05)
                else:
                    break

    def join(self) -> None:
        for thread in self._threads:
            thread.join(ALL_SECONDS)


def effects(project: Project) -> int:
    with project.target.connect() as db:
        return int(db.execute(sa.text("SELECT count(*) FROM booked")).scalar_one())


def until_effects(project: Project, least: int, seconds: float = ALL_SECONDS) -> None:
    end = time.monotonic() + seconds
    while (found := effects(project)) < least:
        assert time.monotonic() < end, f"{found} of {least} effects: {log_end(project)}"
        time.sleep(0.05)


def log_end(project: Project) -> str:
    return (project.folder / "worker.log").read_text()[-3_000:]


def lives(project: Project) -> list[str | None]:
    return [how for (how,) in project.store_rows("SELECT ended_how FROM saga_incarnations")]


def processor_seconds(worker: Forked) -> float:
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def goes_through(project: Project, cluster: Cluster, seed: str, runs: int, stops: int) -> None:
    chance = Random(seed)
    workers = [project.worker(concurrency=4) for _ in range(WORKERS)]
    starters = Starters(project, runs)
    for stop in range(stops):
        until_effects(project, runs * len(BOOKED) * (stop + 1) // (stops + 2))
        cluster.stop("immediate")
        time.sleep(chance.uniform(0, DOWN_SECONDS))
        cluster.restart()
        assert [worker.state() for worker in workers] == ["alive"] * WORKERS, log_end(project)
    starters.join()
    assert len(starters.acknowledged) == runs
    until_effects(project, runs * len(BOOKED))
    for run in starters.acknowledged.values():
        assert project.ended(run).state == "DONE"
        project.check_journal(run)
    assert project.booked() == dict.fromkeys(starters.acknowledged.values(), BOOKED)
    assert project.store_rows("SELECT count(*) FROM saga_runs") == [(runs,)]
    assert [worker.state() for worker in workers] == ["alive"] * WORKERS
    assert lives(project) == [None] * WORKERS, "nobody was taken for dead"
    print(f"{stops} stops, {runs} runs, {starters.refused} calls refused meanwhile")  # noqa: T201  the measurement


@pytest.mark.timeout(300)
def test_every_run_ends_once_though_the_database_is_stopped_again_and_again(
    project: Project, cluster: Cluster, seed: str
) -> None:
    goes_through(project, cluster, seed, RUNS, STOPS)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_every_run_ends_once_though_the_database_is_stopped_fifty_times(
    project: Project, cluster: Cluster, seed: str
) -> None:
    goes_through(project, cluster, seed, RUNS_LONG, STOPS_LONG)


@pytest.mark.parametrize("project", [SHORT_LEASE], indirect=True)
def test_an_outage_longer_than_the_lease_ends_no_life_and_counts_no_crash(project: Project, cluster: Cluster) -> None:
    workers = [project.worker(concurrency=1) for _ in range(2)]
    runs = [project.start("ferry", slow_seconds=3 * SHORT_LEASE["lease_seconds"]) for _ in range(2)]
    for run in runs:
        project.seen(run, 1)
    before = [processor_seconds(worker) for worker in workers]
    cluster.stop("immediate")
    stopped = time.monotonic()
    said = command(project, "status")
    assert (said.returncode, "cannot be reached" in said.stderr, "Traceback" in said.stderr) == (9, True, False), said
    time.sleep(max(0.0, stopped + 2 * SHORT_LEASE["lease_seconds"] - time.monotonic()))
    used = [(processor_seconds(worker) - was) / (time.monotonic() - stopped)
            for worker, was in zip(workers, before, strict=True)]  # fmt: skip
    cluster.restart()
    for run in runs:
        assert project.ended(run, WAIT_SECONDS).state == "DONE"
        assert project.events(run, "AttemptLost") == []
    assert lives(project) == [None, None]
    assert [worker.state() for worker in workers] == ["alive", "alive"]
    assert max(used) < SPINNING, used
    assert command(project, "status").returncode == 0


def command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
    return subprocess.run(
        [sys.executable, "-m", "saga_engine", *arguments], cwd=project.folder, capture_output=True, text=True,
        env={**environment, "PYTHONPATH": str(CHECKOUT)}, check=False, timeout=WAIT_SECONDS,
    )  # fmt: skip
