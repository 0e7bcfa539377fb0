"""SIGTERM to ``saga worker``: what has not begun is handed back at once, what runs gets the grace; nothing counts."""

from __future__ import annotations

import signal
import time
from typing import Any, Final

import pytest

from saga_engine.runtime.worker import GAVE_UP_EXIT
from tests.kill.conftest import Projects
from tests.kill.project import Project
from tests.kill.workers import Command
from tests.support.nursery import LOOK_SECONDS, WAIT_SECONDS

GRACE_SECONDS: Final = 2.0
ASLEEP_SECONDS: Final = 1.0
"""How long the worker's loop sleeps at a failpoint, for the signal to come in the middle."""
AT_ONCE_SECONDS: Final = 1.0
END_SECONDS: Final = 3.0
"""How long a process may take to end when its grace is over."""
NOTHING_COUNTED: Final = {"attempt": 1, "failures": 0, "crashes": 0, "leased_by": None, "parked_code": None}


def holding(project: Project, how: str, saga: str = "holding", points: str = "") -> tuple[Command, str]:
    """A worker in the middle of a step."""
    run = project.start(saga, how=how)
    worker = project.command("--concurrency", "2", points=points)
    project.seen(run, 1)
    return worker, run


def waits_for(project: Project, run: str, **facts: Any) -> None:
    """Wait until the task's row says so."""
    end = time.monotonic() + WAIT_SECONDS
    while not facts.items() <= project.task(run).items():
        assert time.monotonic() < end, (project.task(run), project.told(run))
        time.sleep(LOOK_SECONDS)


@pytest.mark.serial
def test_what_has_not_begun_is_handed_back_at_once_while_others_still_have_their_grace(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, grace_seconds=GRACE_SECONDS)
    points = f"runtime.attempt.start:2=sleep:{ASLEEP_SECONDS}"
    worker, running = holding(project, "hangs", points=points)
    waiting = project.start("holding", how="short")
    waits_for(project, waiting, attempt=1)
    asked = worker.signal(signal.SIGTERM)
    waits_for(project, waiting, leased_by=None)
    assert time.monotonic() - asked < ASLEEP_SECONDS + AT_ONCE_SECONDS
    assert project.task(waiting) == {**NOTHING_COUNTED, "lost_by": None}
    assert project.task(running)["leased_by"] is not None, "this one has its grace"
    assert worker.ended() == 0
    assert [line["run"] for line in project.lines()] == [running]


def test_a_step_that_sees_cancelled_and_returns_is_not_done_and_goes_on_elsewhere(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, grace_seconds=WAIT_SECONDS)
    worker, run = holding(project, "until cancelled")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert project.task(run) == {**NOTHING_COUNTED, "lost_by": None}
    project.worker()
    assert project.ended(run).results == {"HOLDING": {"attempt": 2, "cancelled": False}}
    project.check_journal(run)


def test_a_step_that_may_not_begin_twice_sees_cancelled_and_is_recorded(project_of: Projects, store: str) -> None:
    project = project_of(store, grace_seconds=WAIT_SECONDS)
    worker, run = holding(project, "until cancelled", saga="once")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    found = project.engine.get(run)
    assert (found.state, found.results) == ("HELD", {"HOLDING": {"attempt": 1, "cancelled": True}})
    project.check_journal(run)


def test_a_step_that_hangs_is_handed_back_after_the_grace_and_nothing_is_counted(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, grace_seconds=GRACE_SECONDS)
    worker, run = holding(project, "hangs")
    worker.signal(signal.SIGTERM)
    assert worker.ended(GRACE_SECONDS + END_SECONDS) == 0
    task = project.task(run)
    assert str(task.pop("lost_by")).endswith(f"pid {worker.pid}")
    assert task == NOTHING_COUNTED


@pytest.mark.serial
def test_a_step_that_hangs_is_taken_over_at_once_by_another_worker(project_of: Projects, store: str) -> None:
    project = project_of(store, grace_seconds=GRACE_SECONDS)
    worker, run = holding(project, "hangs")
    project.worker()
    asked = worker.signal(signal.SIGTERM)
    assert worker.ended(GRACE_SECONDS + END_SECONDS) == 0
    ended = time.monotonic()
    assert ended - asked >= GRACE_SECONDS
    assert project.seen(run, 2)["at"] - ended <= AT_ONCE_SECONDS
    found = project.ended(run)
    assert (found.state, found.results) == ("HELD", {"HOLDING": {"attempt": 2, "cancelled": False}})
    assert project.events(run, "ActionFailed") == []
    project.check_journal(run)


def test_a_step_that_may_not_begin_twice_and_hangs_is_parked(project_of: Projects, store: str) -> None:
    project = project_of(store, grace_seconds=GRACE_SECONDS)
    worker, run = holding(project, "hangs", saga="once")
    worker.signal(signal.SIGTERM)
    assert worker.ended(GRACE_SECONDS + END_SECONDS) == 0
    assert project.task(run)["parked_code"] == "W23"
    assert project.worker(until_idle=True).ended() == "exit 0"
    assert [line["attempt"] for line in project.lines()] == [1]


def test_the_release_is_the_last_write_of_a_worker(project_of: Projects, store: str) -> None:
    project = project_of(store)
    file = project.folder / "hits"
    worker, run = holding(project, "until cancelled", saga="once", points=f"store.*:*=trace:{file}")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    hits = file.read_text().splitlines()
    released = hits.index("store.incarnation.end")
    assert hits[:released].count("store.record.journal") == 1, "the step was recorded before"
    assert [hit for hit in hits[released:] if hit.startswith("store.write")] == [
        "store.write.before_commit",
        "store.write.after_commit",
    ]
    assert project.store_rows("SELECT ended_how FROM saga_incarnations") == [("released",)]
    assert project.engine.get(run).state == "HELD"


def test_a_worker_half_of_whose_slots_hang_exits_and_the_task_goes_on_elsewhere(
    project_of: Projects, store: str
) -> None:
    project = project_of(store, grace_seconds=0.5)
    worker, run = holding(project, "hangs", saga="brief")
    assert worker.ended(WAIT_SECONDS) == GAVE_UP_EXIT
    waits_for(project, run, attempt=1, failures=1, crashes=0, leased_by=None, parked_code=None)
    other = project.worker()
    assert project.ended(run).results == {"HOLDING": {"attempt": 2, "cancelled": False}}
    assert project.seen(run, 2)["pid"] == other.pid
    project.check_journal(run)


def test_a_step_that_may_not_begin_twice_and_hangs_beyond_its_time_is_parked(project_of: Projects, store: str) -> None:
    project = project_of(store, grace_seconds=0.5)
    worker, run = holding(project, "hangs", saga="once_brief")
    assert worker.ended(WAIT_SECONDS) == GAVE_UP_EXIT
    assert project.task(run)["parked_code"] == "W23"
    assert project.worker(until_idle=True).ended() == "exit 0"
    assert [line["attempt"] for line in project.lines()] == [1]
