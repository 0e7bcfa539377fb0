"""isolation="process": whatever a step does, it ends, with all it has started, and its run goes on."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tests.kill.conftest import Projects
from tests.kill.project import Project
from tests.kill.workers import Command
from tests.support.family import MARK, family, wait_until_alone
from tests.support.nursery import LOOK_SECONDS, WAIT_SECONDS

WORKFLOWS: Final = Path(__file__).parent / "isolated"
GRACE_SECONDS: Final = 0.5
MORE_SECONDS: Final = 1.0
"""What the end of a process may take beyond the grace."""
MEMORY_MIB: Final = 256
CHILDREN: Final = 40
"""So many are forked by ``fork_many`` alone."""
KILLED: Final = "it did not end within the grace of 0.5 s, and its process was killed"

ENDLESS: Final = [
    "loop",
    "read_a_socket",
    "wait_for_a_lock",
    "sleep_in_c",
    "fork_one_that_loops",
    "fork_many",
    "daemonize",
    "run_a_program",
    "fork_without_an_end",
    "ignore_signals",
    "stop_itself",
    "flood_the_output",
    "flood_the_log",
]
BRIEF: Final[dict[str, str | None]] = {
    "close_its_files": "its process closed its line to the worker, lived on, and was killed",
    "write_to_all_files": "its process was killed: nobody understands what it says "
    "(a frame of 4294967295 bytes is longer than 4194304)",
    "kill_its_parent": "its process was lost",
    "eat_memory": "MemoryError: ",
    "exit_at_once": "its process ended with exit code 0 in the middle of it",
    "crash": "its process ended by signal 11 (SIGSEGV)",
    "kill_itself": "its process ended by signal 9 (SIGKILL)",
    "leave_a_thread": None,
    "leave_a_child": None,
    "return_twice": None,
}
"""How the first attempt ends, where it does not succeed."""


@pytest.fixture
def isolating(project_of: Projects) -> Any:
    """A project whose steps run in processes of their own."""

    def isolating(store: str, target: str = "sqlite", **limits: float) -> Project:
        return project_of(store, target, workflows=WORKFLOWS, **{"grace_seconds": GRACE_SECONDS, **limits})

    return isolating


def marked(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str, points: str = "") -> tuple[Command, str]:
    """``saga worker``, and the mark that all its processes bear."""
    mark = secrets.token_hex(8)
    monkeypatch.setenv(MARK, mark)
    return project.command(*arguments, points=points), mark


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """The table that a step waits for."""
    with project.target.begin() as db:
        db.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        db.execute(sa.text("LOCK TABLE booked"))
        yield


def failures(project: Project, run: str) -> list[tuple[str, str]]:
    return [
        (line.kind, line.event["error"])
        for line in project.engine.history(run)
        if line.kind in ("ActionFailed", "AttemptTimedOut", "AttemptLost")
    ]


def took(project: Project, run: str) -> timedelta:
    """From the end of the attempt's time to its end."""
    at = {
        line.kind: line.at for line in project.engine.history(run) if line.kind in ("AttemptTimedOut", "ActionFailed")
    }
    return at["ActionFailed"] - at["AttemptTimedOut"]


@pytest.mark.serial
def test_whatever_a_step_does_it_is_ended_with_all_it_has_started(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolating("sqlite", "postgresql", memory_mib=MEMORY_MIB)
    with locked(project):
        endless = {how: project.start("hostile", how=how) for how in ENDLESS}
        brief = {how: project.start("patient", how=how) for how in BRIEF}
        once = project.start("once", how="crash")
        worker, mark = marked(project, monkeypatch, "--concurrency", "4")
        ended = {how: project.ended(run).state for how, run in {**endless, **brief}.items()}
    assert ended == {**dict.fromkeys(ENDLESS, "UNDONE"), **dict.fromkeys(BRIEF, "DONE")}
    for how, run in endless.items():
        expected = [("AttemptTimedOut", "no end within its timeout of 0:00:00.600000"), ("ActionFailed", KILLED)]
        assert (how, failures(project, run)) == (how, expected)
        assert [line["step"] for line in project.lines() if line["run"] == run] == ["act", "undo", "verify"]
    for how, run in brief.items():
        first = BRIEF[how]
        expected = [("ActionFailed", first)] if first else []
        assert (how, failures(project, run)) == (how, expected)
        assert project.engine.get(run).results["ACTING"]["attempt"] == len(expected) + 1
        attempts = [line["attempt"] for line in project.lines() if line["run"] == run]
        assert attempts == [*range(1, len(expected) + 2)]
    project.parked(once, "W23")
    assert failures(project, once) == [("ActionFailed", BRIEF["crash"])], "one that may not begin twice"
    times = {how: took(project, run).total_seconds() for how, run in endless.items()}
    print(f"ended after { ({how: round(seconds, 3) for how, seconds in times.items()}) }")  # noqa: T201  the measurement
    assert max(times.values()) <= GRACE_SECONDS + MORE_SECONDS, times
    assert min(times.values()) >= GRACE_SECONDS / 2, times
    assert [name for pid, name in family(mark).items() if pid != worker.pid] == ["saga-forks"]
    until(lambda: no_session_waits(project))
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert family(mark) == {}
    for run in [*endless.values(), *brief.values()]:
        project.check_journal(run)


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not there():
        assert time.monotonic() < end, "it never came true"
        time.sleep(LOOK_SECONDS)


def no_session_waits(project: Project) -> bool:
    """PostgreSQL has noticed that the client of the waiting statement is gone."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%booked FOR%'"
    with project.target.connect() as db:
        return bool(db.execute(sa.text(query)).scalar_one() == 1)  # that is this one


@pytest.mark.serial
def test_nothing_outlives_a_worker_that_is_killed_and_another_goes_on(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolating("postgresql", "postgresql")
    wait = project.folder / "wait"
    wait.touch()
    with locked(project):
        runs = [project.start("patient", how=how) for how in ENDLESS]
        worker, mark = marked(project, monkeypatch, "--concurrency", str(len(ENDLESS)))
        for run in runs:
            project.seen(run, 1)
        marked(project, monkeypatch)
        assert project.ended(project.start("patient", how="")).state == "DONE", "the other worker is ready"
        wait.unlink()
        until(lambda: len(family(mark)) > 2 * len(ENDLESS) + CHILDREN)
        killed = time.monotonic()
        worker.kill()
        gone, left = wait_until_alone(mark, frozenset(), 10 * MORE_SECONDS)
        for run in runs:
            project.seen(run, 2)
    ended = [project.ended(run) for run in runs]
    second = sorted(project.seen(run, 2)["at"] - killed for run in runs)
    print(f"all gone after {gone:.3f} s; second attempts after {second[0]:.3f} to {second[-1]:.3f} s")  # noqa: T201
    assert left == {}
    assert gone <= MORE_SECONDS
    assert second[0] <= MORE_SECONDS
    assert [(run.state, run.results["ACTING"]["attempt"]) for run in ended] == [("DONE", 2)] * len(runs)


def holding(project: Project, monkeypatch: pytest.MonkeyPatch, how: str, saga: str = "patient") -> tuple[Any, ...]:
    """A worker in the middle of a step, the run, and the mark of the family."""
    run = project.start(saga, how=how)
    worker, mark = marked(project, monkeypatch)
    project.seen(run, 1)
    return worker, run, mark


def test_a_drain_gives_the_grace_then_kills_and_hands_back_what_it_has_killed(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolating("sqlite", grace_seconds=2 * GRACE_SECONDS)
    polite = project.start("patient", how="until cancelled")
    worker, rude, mark = holding(project, monkeypatch, "daemonize")
    project.seen(polite, 1)
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert family(mark) == {}
    for run in (polite, rude):  # what the polite one returned when it was asked to end is not the end of its work
        assert project.task(run) == {
            "attempt": 1, "failures": 0, "crashes": 0, "leased_by": None, "lost_by": None, "parked_code": None
        }  # fmt: skip


@pytest.mark.serial
def test_a_step_that_holds_the_interpreter_for_five_leases_costs_its_worker_nothing(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is renewed, and a cancel is heard: what follows begins when the process is gone."""
    project = isolating("postgresql", lease_seconds=1.2, renew_seconds=0.3)
    run = project.start("holder", how="6")
    _, cancelled, _ = holding(project, monkeypatch, "read_a_socket")
    project.seen(run, 1)
    project.engine.cancel(cancelled, actor="ann")
    assert project.ended(cancelled).status == "cancelled"
    assert project.engine.get(run).state == "ACTING"
    assert failures(project, cancelled) == [("ActionFailed", KILLED)]
    assert [line["step"] for line in project.lines() if line["run"] == cancelled] == ["act", "undo"]
    assert project.ended(run).results["ACTING"]["attempt"] == 1
    assert project.store_rows("SELECT ended_how FROM saga_incarnations") == [(None,)]


POINTS: Final = [
    "ledger.head.after_commit:1",
    "ledger.part.after_insert:2",
    "ledger.part.after_work:2",
    "ledger.part.before_commit:2",
    "ledger.part.after_commit:2",
    "ledger.part.after_commit:3",
]


def test_effects_and_undos_of_processes_that_die_anywhere_take_place_once(
    isolating: Any, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolating(store, store)
    runs = [project.start("booking", how=point) for point in POINTS]
    undone = project.start("booking", how="fails")
    marked(project, monkeypatch, "--concurrency", "2")
    died = "its process ended by signal 9 (SIGKILL)"
    for point, run in zip(POINTS, runs, strict=True):
        assert (point, project.ended(run).results["ACTING"]["attempt"]) == (point, 2)
        assert failures(project, run) == [("ActionFailed", died)]
    assert project.ended(undone).state == "UNDONE"
    assert [error for _, error in failures(project, undone)] == [*["RuntimeError: no driving licence"] * 2, died]
    assert project.booked() == {run: ["out", "home", "hotel"] for run in runs}
    assert project.taken_back() == {undone: ["hotel", "home", "out"]}
    for run in [*runs, undone]:
        project.check_journal(run)


def wardens(mark: str) -> list[int]:
    return [pid for pid, name in family(mark).items() if name == "saga-warden"]


def test_a_worker_is_not_known_to_be_dead_while_anything_of_its_steps_lives(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warden is stopped, so that it cannot end the step: nobody begins it a second time beside it."""
    project = isolating("sqlite", lease_seconds=10 * WAIT_SECONDS)
    worker, run, mark = holding(project, monkeypatch, "loop")
    [warden] = wardens(mark)
    os.kill(warden, signal.SIGSTOP)
    worker.kill()
    marked(project, monkeypatch)
    try:
        assert project.ended(project.start("patient", how="")).state == "DONE", "the other worker has looked about"
        assert "saga-step" in family(mark).values()
        assert [line["attempt"] for line in project.lines() if line["run"] == run] == [1]
        assert project.task(run)["leased_by"] is not None
    finally:
        os.kill(warden, signal.SIGCONT)
    assert project.ended(run).results["ACTING"]["attempt"] == 2
    assert family(mark) == {}


def test_a_step_dies_with_its_worker_also_where_the_end_of_the_line_is_not_seen(
    isolating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = isolating("sqlite")
    worker, run, mark = holding(project, monkeypatch, "", saga="leaky")
    assert project.ended(run).state == "DONE"
    copies = [pid for pid, name in family(mark).items() if pid != worker.pid and not name.startswith("saga-")]
    assert len(copies) == 1, family(mark)
    try:
        project.seen(project.start("patient", how="daemonize"), 1)
        until(lambda: len([name for name in family(mark).values() if name == "saga-step"]) >= 2)
        worker.kill()
        _, left = wait_until_alone(mark, frozenset(copies), WAIT_SECONDS)
        assert left == {}
        assert [*family(mark)] == copies
    finally:
        for pid in copies:
            os.kill(pid, signal.SIGKILL)
