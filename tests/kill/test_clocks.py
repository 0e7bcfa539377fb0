"""The clock of one worker jumps, hours and days, to and fro (libfaketime): no timer fires early, no lease is lost.

Not with SQLite: libfaketime turns CLOCK_BOOTTIME too, which nobody can do to a machine (`store/test_hostclock.py`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from tests.kill.conftest import Projects
from tests.kill.project import GOING, Project
from tests.kill.workers import Command
from tests.support.nursery import WAIT_SECONDS

LIBRARIES: Final = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
JUMPS: Final = ["+1h", "-1h", "+3d", "-3d", "+0"]
RUNS_AT_ONCE: Final = 3

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (Debian: apt install faketime)")


def set_clock(file: Path, offset: str) -> None:
    """As libfaketime reads it, at each look at the clock; in one move, so that it never reads half of it."""
    new = file.with_suffix(".new")
    new.write_text(offset + "\n")
    new.replace(file)


def jumping(project: Project, clock: Path) -> Command:
    """``saga worker`` whose clock can be set. What no one can set on a real machine stays as it is."""
    set_clock(clock, "+0")
    return project.command(
        LD_PRELOAD=str(LIBRARIES[-1]), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
        DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip


def fakes(project: Project) -> bool:
    """Whether a jump was seen by the worker: its log tells of attempts that failed, at its own clock's times."""
    days = {line.split('"at": "')[1][:10] for line in (project.folder / "worker.log").read_text().splitlines()
            if '"at": "' in line}  # fmt: skip
    return len(days) > 1


def lives(project: Project) -> list[str | None]:
    return [how for (how,) in project.store_rows("SELECT ended_how FROM saga_incarnations")]


def test_a_worker_whose_clock_jumps_changes_nothing_wrongly(project_of: Projects) -> None:
    project = project_of("postgresql", "postgresql", lease_seconds=6, renew_seconds=1)
    clock = project.folder / "clock"
    other = project.worker()
    worker = jumping(project, clock)
    end = time.monotonic() + WAIT_SECONDS
    while len(lives(project)) < len((other, worker)):
        assert time.monotonic() < end, "a worker has not begun"
        time.sleep(0.05)
    waiting = project.start("asking")  # its gate expires in an hour
    project.until(waiting, lambda found: found.status == "waiting")
    runs = []
    for jump in JUMPS:
        set_clock(clock, jump)
        some = [project.start("trip", fails=number == 0) for number in range(RUNS_AT_ONCE)]
        for run in some:
            project.ended(run)
        renewed(project)
        runs += some
    for number, run in enumerate(runs):
        fails = number % RUNS_AT_ONCE == 0
        assert project.engine.get(run).state == ("AT_HOME" if fails else "BOOKED"), project.told(run)
        assert project.booked().get(run, []) == ([] if fails else GOING)
        assert project.events(run, "AttemptLost") == project.events(run, "AttemptTimedOut") == []
        project.check_journal(run)
    assert project.engine.get(waiting).status == "waiting", "the gate has not expired"
    assert lives(project) == [None, None]
    assert (other.state(), worker.running) == ("alive", True)
    set_clock(clock, JUMPS[2])
    end = time.monotonic() + WAIT_SECONDS
    while not fakes(project):
        assert time.monotonic() < end, "libfaketime did nothing"
        project.ended(project.start("trip", fails=True))


def renewed(project: Project) -> None:
    """Wait until every worker has renewed its lease once more."""
    times = "SELECT renewed_at FROM saga_incarnations ORDER BY id"
    before, end = project.store_rows(times), time.monotonic() + WAIT_SECONDS
    while any(was == now for was, now in zip(before, project.store_rows(times), strict=True)):
        assert time.monotonic() < end, "a worker renews no more"
        time.sleep(0.05)
