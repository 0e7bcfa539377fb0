"""A worker that dies is missed at once on its own host, by its death lock; without the lock when its lease is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from saga_engine.settings import Limits
from tests.kill.conftest import Projects
from tests.kill.project import Project
from tests.support.nursery import Forked

pytestmark = pytest.mark.serial

KILLS: Final = 20
SECONDS_MAX: Final = 1.0
"""From the kill to the next attempt, at the default poll of half a second."""
EXPIRIES: Final = 3
LEASE_SECONDS: Final = 2.0
LEASES_MAX: Final = 1.5
POLL_SECONDS: Final = 0.1


def test_the_next_attempt_begins_within_a_second_of_kill_9(project_of: Projects, store: str) -> None:
    project = project_of(store, poll_seconds=Limits().poll_seconds)
    waiting = project.worker(concurrency=1)
    took = []
    for _ in range(KILLS):
        run = project.start("holding", how="hangs")
        project.seen(run, 1)
        # It has just had its first look: the worst moment, for the next one is a whole poll away.
        [holding, waiting] = [waiting, begun(project)]
        killed = time.monotonic()
        assert holding.kill() == "killed"
        took.append(project.seen(run, 2)["at"] - killed)
        assert project.ended(run).state == "HELD"
        project.check_journal(run)
    took.sort()
    p50, p99 = took[len(took) // 2], took[-1]
    print(f"{store}: {KILLS} kills, next attempt after p50 {p50:.3f} s, p99 {p99:.3f} s")  # noqa: T201  the measurement
    assert p99 <= SECONDS_MAX, took


def begun(project: Project) -> Forked:
    """A worker that has begun its life."""
    before = lives(project)
    worker = project.worker(concurrency=1)
    end = time.monotonic() + 20
    while lives(project) == before:
        assert time.monotonic() < end, "the worker has not begun"
        time.sleep(0.01)
    return worker


def lives(project: Project) -> int:
    return int(project.store_rows("SELECT count(*) FROM saga_incarnations")[0][0])


def test_without_the_death_lock_the_next_attempt_begins_when_the_lease_is_over(
    project_of: Projects, store: str
) -> None:
    limits = {"lease_seconds": LEASE_SECONDS, "renew_seconds": LEASE_SECONDS / 3, "poll_seconds": POLL_SECONDS}
    project = project_of(store, **limits)
    waiting = project.worker(concurrency=1)
    took = []
    for _ in range(EXPIRIES):
        run = project.start("holding", how="hangs")
        project.seen(run, 1)
        [holding, waiting] = [waiting, begun(project)]
        [(lock_file,)] = project.store_rows("SELECT lock_file FROM saga_incarnations WHERE pid = :p", p=holding.pid)
        Path(lock_file).unlink()  # as on another host
        killed = time.monotonic()
        assert holding.kill() == "killed"
        # Nobody knows whether it is dead, so an idempotent step waits no longer than for its lease, and is tried again.
        took.append(project.seen(run, 2)["at"] - killed)
        assert project.ended(run).state == "HELD"
        [(how,)] = project.store_rows("SELECT ended_how FROM saga_incarnations WHERE lock_file = :f", f=lock_file)
        assert how == "expired"
    leases = [seconds / LEASE_SECONDS for seconds in sorted(took)]
    print(f"{store}: {EXPIRIES} expiries, next attempt after {leases[0]:.2f} to {leases[-1]:.2f} leases")  # noqa: T201  the measurement
    assert leases[0] > 1 / 2, took
    assert leases[-1] <= LEASES_MAX, took
