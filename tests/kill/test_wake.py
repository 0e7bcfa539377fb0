"""A worker of another process begins what was made due at once; with every hint lost it begins at its next poll."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from tests.kill.conftest import Projects
from tests.kill.project import Project
from tests.support.nursery import Forked

EVENTS: Final = 50
POLL_SECONDS: Final = 20.0
"""So long that nothing here can be owed to a poll."""
START_SECONDS_MAX: Final = 5.0
MEDIAN_SECONDS_MAX: Final = {"sqlite": 0.25, "postgresql": 0.1}
"""Many times what a quiet machine takes."""
IDLE_SECONDS: Final = 5.0
IDLE_TIMES_MAX: Final = 4.0
"""What a worker that has nothing to do may cost, in times of what it costs to wake up 250 times a second."""
WAKES = "import os, time\nwhile True: time.sleep(0.004); os.stat('.')"
"""The measure: what one waking costs is the machine's, and on a crowded one it is several times that of a quiet one."""
IDLE_LOOKS: Final = 3
"""What a worker does once in its life may fall into one of them; what it does all the time falls into each."""


def begun(project: Project) -> Forked:
    """A worker that has begun its life, and has looked once."""
    worker = project.worker()
    first = project.start("holding", how="short")
    project.ended(first)
    return worker


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def waking_up() -> Iterator[int]:
    """A process that does nothing but wake up 250 times a second."""
    with subprocess.Popen([sys.executable, "-c", WAKES]) as process:
        try:
            time.sleep(0.5)  # what a beginning costs is not measured
            yield process.pid
        finally:
            process.kill()


@pytest.mark.serial
def test_what_another_process_makes_due_begins_at_once_though_the_poll_is_far_away(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, poll_seconds=POLL_SECONDS)
    worker = begun(project)
    took = []
    for _ in range(EVENTS):
        run = project.start("holding", how="short")
        acknowledged = time.monotonic()
        took.append(project.seen(run, 1, START_SECONDS_MAX)["at"] - acknowledged)
        project.ended(run)
    took.sort()
    p50, p99 = took[len(took) // 2], took[-1]
    print(f"{store}: {EVENTS} starts, first action after p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")  # noqa: T201  the measurement
    assert p50 <= MEDIAN_SECONDS_MAX[store], took
    assert worker.state() == "alive"


@pytest.mark.serial
def test_a_worker_that_has_nothing_to_do_costs_next_to_nothing(project_of: Projects, store: str) -> None:
    project = project_of(store, poll_seconds=0.5)
    worker = begun(project)
    times: list[float] = []
    with waking_up() as measure:
        while len(times) < IDLE_LOOKS and min(times, default=IDLE_TIMES_MAX) >= IDLE_TIMES_MAX:
            before = processor_seconds(worker.pid), processor_seconds(measure)
            time.sleep(IDLE_SECONDS)
            used, wakes = processor_seconds(worker.pid) - before[0], processor_seconds(measure) - before[1]
            times.append(used / max(wakes, 1 / os.sysconf("SC_CLK_TCK")))
            print(f"{store}: idle {used / IDLE_SECONDS:.2%} of a core, {times[-1]:.1f} times 250 wakings")  # noqa: T201  the measurement
    assert min(times) < IDLE_TIMES_MAX, times


def test_with_every_hint_lost_nothing_is_stuck(project_of: Projects, store: str) -> None:
    project = project_of(store, poll_seconds=0.2)
    worker = project.worker(planted=["deaf"])
    for _ in range(5):
        assert project.ended(project.start("trip")).state == "BOOKED"
    assert worker.state() == "alive"


def test_a_worker_whose_listening_session_is_ended_goes_on_and_listens_again(project_of: Projects) -> None:
    project = project_of("postgresql", poll_seconds=0.2)
    worker = begun(project)
    [listener] = listeners(project)
    with project.engine.store.write() as db:
        db.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": listener})
    assert project.ended(project.start("trip")).state == "BOOKED"
    end = time.monotonic() + START_SECONDS_MAX * 4
    while listeners(project) in ([], [listener]):
        assert time.monotonic() < end, "nobody listens any more"
        time.sleep(0.02)
    assert worker.state() == "alive"


def listeners(project: Project) -> list[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    return [int(pid) for (pid,) in project.store_rows(query)]
