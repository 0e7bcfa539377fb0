"""A step that kills its worker gets a process of its own, is set aside at the third time, and takes nobody with it."""

from __future__ import annotations

import re
from typing import Final

from tests.kill.conftest import Projects
from tests.kill.project import GOING

NEIGHBOURS: Final = 3


def test_a_step_that_kills_its_worker_dies_alone_from_then_on_and_is_parked_at_the_third_time(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, store)
    neighbours = [project.start("trip", slow_seconds=0.2) for _ in range(NEIGHBOURS)]
    run = project.start("holding", how="dies")
    first = project.worker(concurrency=NEIGHBOURS + 1, until_idle=True)
    assert first.ended() == "killed"
    other = project.worker(concurrency=NEIGHBOURS + 1, until_idle=True)
    assert other.ended() == "exit 0", "only the first death took a worker along"
    parked = project.parked(run, "W24")
    task = project.task(run)
    assert (task["crashes"], task["failures"]) == (3, 0)
    [error] = [task.error for task in parked.tasks if task.parked]
    assert re.fullmatch(
        r"3 processes died with this task; last: \S+ pid \d+: its process ended by signal 9 \(SIGKILL\)", error
    )
    assert [project.engine.get(neighbour).state for neighbour in neighbours] == ["BOOKED"] * NEIGHBOURS
    assert project.booked() == dict.fromkeys(neighbours, GOING)
    pids = [line["pid"] for line in project.lines() if line["run"] == run]
    assert pids[0] == first.pid
    assert len(set(pids)) == 3
    assert other.pid not in pids
    assert project.events(run, "ActionFailed") == []
    for one in [run, *neighbours]:
        project.check_journal(one)


def test_after_the_first_death_a_suspect_runs_alone(project_of: Projects, store: str) -> None:
    """In a process of its own it harms nobody; but nobody knows, so nothing else begins meanwhile."""
    project = project_of(store, store)
    run = project.start("holding", how="dies")
    assert project.worker(concurrency=4).ended() == "killed"
    neighbours = [project.start("trip", slow_seconds=0.2) for _ in range(NEIGHBOURS)]
    assert project.worker(concurrency=4, until_idle=True).ended() == "exit 0"
    assert project.task(run)["parked_code"] == "W24"
    lost = [event for neighbour in neighbours for event in project.events(neighbour, "AttemptLost")]
    attempts = [line["attempt"] for line in project.lines() if line["run"] in neighbours]
    assert (lost, attempts) == ([], [1] * NEIGHBOURS)
    assert project.booked() == dict.fromkeys(neighbours, GOING)
    last_death = max(line["at"] for line in project.lines() if line["run"] == run)
    first_neighbour = min(line["at"] for line in project.lines() if line["run"] in neighbours)
    assert last_death < first_neighbour


def test_a_suspect_that_did_not_kill_its_worker_is_cleared_by_its_success(project_of: Projects, store: str) -> None:
    project = project_of(store, store)
    run = project.start("holding", how="hangs")
    worker = project.worker()
    project.seen(run, 1)
    worker.kill()
    other = project.worker(until_idle=True)
    assert other.ended() == "exit 0"
    assert project.engine.get(run).results == {"HOLDING": {"attempt": 2, "cancelled": False}}
    assert project.seen(run, 2)["pid"] != other.pid
    assert project.events(run, "ActionFailed") == []
