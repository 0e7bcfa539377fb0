"""A worker that is stopped past its lease, and continued later, changes nothing wrongly; it begins a new life."""

from __future__ import annotations

import json
import signal
import time
from typing import Final

import pytest
import sqlalchemy as sa

from tests.kill.conftest import Projects
from tests.kill.project import GOING, Project
from tests.support.nursery import Forked

LIMITS: Final = {"lease_seconds": 1.5, "renew_seconds": 0.5, "poll_seconds": 0.1}
LOST: Final = "worker.lost_lease"
ON_SQLITE: Final = [
    "runtime.action.before:2",
    "runtime.action.after:1",
    "runtime.recorder.recorded:1",
    "ledger.part.after_commit:1",
]
"""Between transactions: a stopped process that holds a lock of the file stops the store until it goes on (PROTOCOL)."""
ON_POSTGRES: Final = [
    "store.record.locked:1",
    "store.record.journal:1",
    "store.record.before_write:2",
    "store.touch.before_write:1",
    "ledger.head.after_commit:2",
    "ledger.part.after_work:3",
]
BETWEEN: Final = ["stops between transactions"]


def stopped_at(project: Project, point: str) -> tuple[Forked, str]:
    """A run, and its worker, which is stopped at the failpoint and will not be known for dead."""
    planted = BETWEEN if project.engine.store.dialect == "sqlite" else []
    worker = project.worker(f"{point}=stop", concurrency=1, planted=planted)
    run = project.start("trip")
    assert worker.stopped(), f"{point} was not hit: {project.told(run)}"
    return worker, run


def goes_on(project: Project, late: Forked) -> None:
    """The late worker, continued and alone, takes the next run to its end."""
    run = project.start("trip")
    assert project.ended(run).state == "BOOKED"
    assert set(pids(project, run)) == {late.pid}
    assert late.state() == "alive"
    assert lives(project, late) == ["expired", None]
    assert LOST in logged(project)


def lives(project: Project, worker: Forked) -> list[str | None]:
    """How each life of the worker has ended, in order."""
    rows = project.store_rows(
        "SELECT ended_how FROM saga_incarnations WHERE pid = :pid ORDER BY started_at", pid=worker.pid
    )
    return [how for (how,) in rows]


def pids(project: Project, run: str) -> list[int]:
    """Who booked what, for a run."""
    with project.target.connect() as db:
        return list(db.execute(sa.text("SELECT pid FROM booked WHERE run = :run ORDER BY id"), {"run": run}).scalars())


def logged(project: Project) -> list[str]:
    lines = (project.folder / "worker.log").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines if line.startswith("{")]


def stop_and_go(project: Project, point: str) -> None:
    late, run = stopped_at(project, point)
    other = project.worker(concurrency=1)
    assert project.ended(run).state == "BOOKED"
    assert lives(project, late) == ["expired"]
    history = project.engine.history(run)
    late.signal(signal.SIGCONT)
    assert other.kill() == "killed"
    goes_on(project, late)
    assert (project.booked()[run], project.engine.history(run)) == (GOING, history)
    project.check_journal(run)
    late.kill()


@pytest.mark.parametrize("point", ON_SQLITE)
def test_a_worker_stopped_between_transactions_changes_nothing_when_it_goes_on(
    project_of: Projects, point: str
) -> None:
    stop_and_go(project_of("sqlite", "sqlite", **LIMITS), point)


@pytest.mark.parametrize("point", ON_POSTGRES)
def test_a_worker_stopped_anywhere_on_postgresql_holds_nobody_up_and_changes_nothing_when_it_goes_on(
    project_of: Projects, point: str
) -> None:
    stop_and_go(project_of("postgresql", "postgresql", **LIMITS), point)


def succeeded_attempts(project: Project, *planted: str) -> list[int]:
    """The attempts whose success the journal holds, where a late report comes while the second attempt still runs."""
    planted = ("slow renewal", *BETWEEN, *planted)
    late = project.worker("runtime.action.after:1=stop", concurrency=1, planted=planted)
    run = project.start("holding", how="second waits")
    assert late.stopped(), project.told(run)
    other = project.worker(concurrency=1)
    project.seen(run, 2)
    late.signal(signal.SIGCONT)
    time.sleep(1.0)
    (project.folder / "go").touch()
    project.ended(run)
    project.check_journal(run)
    assert other.state() == "alive"
    return [event["attempt"] for event in project.events(run, "ActionSucceeded")]


def test_the_report_of_an_attempt_that_was_taken_over_is_refused_by_the_fence(project_of: Projects, store: str) -> None:
    assert succeeded_attempts(project_of(store, **LIMITS)) == [2]


def test_a_fence_that_compares_revisions_only_is_caught(project_of: Projects, store: str) -> None:
    assert succeeded_attempts(project_of(store, **LIMITS), "revision alone") == [1]
