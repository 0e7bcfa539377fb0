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


def test_after_the_first_death_a_suspect_takes_its_own_process_along_and_after_the_second_it_runs_alone(
    project_of: Projects, store: str
) -> None:
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


def test_workers_that_are_killed_while_others_recover_count_no_innocent_to_the_end(
    project_of: Projects, store: str
) -> None:
    """Two kills in the middle of everything, with a poison among it: it alone is set aside."""
    project = project_of(store, store)
    poison = project.start("holding", how="dies")
    runs = [project.start("trip", slow_seconds=0.1) for _ in range(2 * NEIGHBOURS)]
    assert project.worker(concurrency=len(runs) + 1).ended() == "killed"
    second = project.worker(concurrency=len(runs))
    project.seen(poison, 2)
    second.kill()
    assert project.worker(concurrency=len(runs), until_idle=True).ended() == "exit 0"
    project.parked(poison, "W24")
    assert [project.engine.get(run).state for run in runs] == ["BOOKED"] * len(runs)
    assert project.booked() == dict.fromkeys(runs, GOING)
    for one in [poison, *runs]:
        project.check_journal(one)


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
