"""A step that kills its worker is set aside at the third time, and takes nobody with it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.kill.conftest import Projects
from tests.kill.project import GOING

NEIGHBOURS: Final = 3


def test_a_step_that_kills_three_workers_is_parked_and_its_neighbours_are_unharmed(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, store)
    neighbours = [project.start("trip", slow_seconds=0.2) for _ in range(NEIGHBOURS)]
    run = project.start("holding", how="dies")
    ends = [project.worker(concurrency=NEIGHBOURS + 1, until_idle=True).ended() for _ in range(4)]
    assert ends == ["killed", "killed", "killed", "exit 0"], project.told(run)
    task = project.task(run)
    assert (task["parked_code"], task["crashes"], task["failures"]) == ("W24", 3, 0)
    assert [project.engine.get(neighbour).state for neighbour in neighbours] == ["BOOKED"] * NEIGHBOURS
    assert project.booked() == dict.fromkeys(neighbours, GOING)
    attempts = Counter(line["run"] for line in project.lines())
    assert attempts[run] == 3
    assert project.events(run, "ActionFailed") == []
    for one in [run, *neighbours]:
        project.check_journal(one)


def test_after_the_first_death_a_suspect_runs_alone(project_of: Projects, store: str) -> None:
    """Else the second and the third death would hit those that run beside it, and park them too."""
    project = project_of(store, store)
    run = project.start("holding", how="dies")
    assert project.worker(concurrency=4).ended() == "killed"
    neighbours = [project.start("trip", slow_seconds=0.2) for _ in range(NEIGHBOURS)]
    ends = [project.worker(concurrency=4, until_idle=True).ended() for _ in range(3)]
    assert ends == ["killed", "killed", "exit 0"], project.told(run)
    assert project.task(run)["parked_code"] == "W24"
    lost = [event for neighbour in neighbours for event in project.events(neighbour, "AttemptLost")]
    attempts = [line["attempt"] for line in project.lines() if line["run"] in neighbours]
    assert (lost, attempts) == ([], [1] * NEIGHBOURS)
    assert project.booked() == dict.fromkeys(neighbours, GOING)
