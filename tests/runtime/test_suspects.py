"""Tasks with which a worker has died: each in a process, one after the other in the same, several beside others."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from saga_engine.runtime import claiming, keeper
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation import spares
from saga_engine.store import incarnations
from saga_engine.store.schema import tasks
from tests.runtime import plays, suspected
from tests.runtime.conftest import Opened, working
from tests.runtime.test_isolation import at_file
from tests.runtime.test_worker import holders

LOST: Final = {"lost_by": "db-1 pid 7", "lost_dead": True, "attempt": 1, "crashes": 1}
LONG: Final = 60.0


@pytest.fixture
def engine(opened: Opened) -> Engine:
    return opened(suspected.suspected, lease_seconds=20, renew_seconds=1)


def suspects(engine: Engine, *hows: str, folder: Path | None = None, paused: bool = False) -> list[str]:
    """Runs in whose first step a worker has died; *paused*: until the test has a worker and resumes them."""
    given = [{"how": how, "folder": str(folder or "")} for how in hows]
    runs = [engine.start("suspected", one).id for one in given]
    with engine.store.write() as db:
        db.execute(sa.update(tasks).where(tasks.c.run_id.in_(runs)).values(**LOST))
    for run in runs if paused else []:
        engine.pause(run)
    return runs


def first(engine: Engine, run: str) -> tuple[int, int]:
    """The process and the attempt that the first step succeeded in."""
    value = engine.get(run).results["ONE"]
    return value["pid"], value["attempt"]


def counted(engine: Engine, run: str) -> tuple[int, int]:
    """Crashes and failures of the run's task."""
    with engine.store.read() as db:
        row = db.execute(sa.select(tasks.c.crashes, tasks.c.failures).where(tasks.c.run_id == run)).one()
    return row.crashes, row.failures


def done(engine: Engine, runs: list[str]) -> Callable[[], bool]:
    return lambda: all(engine.get(run).ended for run in runs)


def begun(folder: Path, run: str, attempt: int = 2) -> int:
    """The process in which the attempt has begun; waits until it has."""
    file = folder / f"{run}.{attempt}"
    plays.until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


def lost(engine: Engine, run: str) -> list[str]:
    return [line.kind for line in engine.history(run) if line.kind in ("AttemptLost", "ActionFailed")]


def test_a_poison_among_fifty_is_parked_at_the_third_time_and_nobody_else_is_counted(engine: Engine) -> None:
    runs = suspects(engine, *["returns"] * 25, "kills its process", *["returns"] * 25)
    poison = runs.pop(25)
    engine.work(concurrency=8, until_idle=True)
    assert {(engine.get(run).state, first(engine, run)[1], *lost(engine, run)) for run in runs} == {("DONE", 2)}
    processes = {first(engine, run)[0] for run in runs}
    assert os.getpid() not in processes
    assert len(processes) < len(runs) / 2, "one process serves several"
    [task] = engine.get(poison).tasks
    assert (task.parked, counted(engine, poison)) == ("W24", (3, 0))
    assert "ended by signal 9 (SIGKILL)" in task.error


def test_after_its_success_a_run_goes_on_as_any_other(engine: Engine) -> None:
    [run] = suspects(engine, "returns")
    engine.work(until_idle=True)
    assert engine.get(run).results["TWO"]["pid"] == os.getpid()
    with engine.store.read() as db:
        assert db.execute(sa.select(tasks.c.crashes)).all() == []


def test_suspects_run_at_once_beside_what_is_none(engine: Engine, tmp_path: Path) -> None:
    runs = suspects(engine, *["waits"] * 3, folder=tmp_path)
    with working(engine, concurrency=4):
        processes = {begun(tmp_path, run) for run in runs}
        assert len(processes) == len(runs), "one attempt at a time in each"
        other = engine.start("suspected", {}).id
        plays.until(done(engine, [other]))
        assert first(engine, other) == (os.getpid(), 1)
        assert not any(engine.get(run).ended for run in runs)
        (tmp_path / "go").touch()
        plays.until(done(engine, runs))
    assert {first(engine, run)[0] for run in runs} == processes


def test_what_no_worker_has_died_with_gets_its_turn_among_many_that_begin_again(engine: Engine, tmp_path: Path) -> None:
    runs = suspects(engine, *["returns"] * 40, folder=tmp_path)
    engine.start("suspected", {"folder": str(tmp_path)})
    engine.work(concurrency=1, until_idle=True)
    begun = sorted(tmp_path.glob("*.[0-9]"), key=lambda file: file.stat().st_mtime_ns)
    assert len(begun) == len(runs) + 1
    [turn] = [number for number, file in enumerate(begun) if file.suffix == ".1"]
    assert turn < len(runs) / 2
    assert sum(file.suffix == ".2" for file in begun[: len(runs) // 2]) == len(runs) // 2 - 1


def test_a_process_that_is_killed_from_outside_costs_its_own_attempt_alone(engine: Engine, tmp_path: Path) -> None:
    runs = suspects(engine, *["waits once"] * 3, folder=tmp_path)
    with working(engine, concurrency=3):
        processes = {run: begun(tmp_path, run) for run in runs}
        os.kill(processes[runs[1]], signal.SIGKILL)
        plays.until(lambda: counted(engine, runs[1])[0] == 2)
        (tmp_path / "go").touch()
        plays.until(done(engine, runs))
    assert [first(engine, run)[1] for run in runs] == [2, 3, 2]
    assert first(engine, runs[1])[0] not in processes.values(), "the second time it has one that is new"


def test_one_that_died_while_it_waited_is_nobodys_fault(engine: Engine, tmp_path: Path) -> None:
    runs = suspects(engine, "returns", "returns", folder=tmp_path, paused=True)
    with working(engine):
        for run in runs:
            engine.resume(run)
            plays.until(done(engine, [run]))
            child = begun(tmp_path, run)
            os.kill(child, signal.SIGKILL)
            plays.until(partial(gone, child))
    assert [first(engine, run)[1] for run in runs] == [2, 2]


def test_a_second_crash_makes_it_run_with_nothing_beside_it(engine: Engine, tmp_path: Path) -> None:
    [twice] = suspects(engine, "waits", folder=tmp_path)
    with engine.store.write() as db:
        db.execute(sa.update(tasks).values(crashes=2))
    [once] = suspects(engine, "returns", folder=tmp_path)
    with working(engine, concurrency=4):
        begun(tmp_path, twice)
        time.sleep(0.5)
        assert not (tmp_path / f"{once}.2").exists()
        (tmp_path / "go").touch()
        plays.until(done(engine, [once, twice]))


def test_a_drain_in_the_middle_counts_nothing(engine: Engine, tmp_path: Path) -> None:
    runs = suspects(engine, *["waits politely"] * 6, folder=tmp_path)
    with working(engine, concurrency=6):
        begun(tmp_path, runs[0])
    assert holders(engine) == [None] * 6
    assert {counted(engine, run) for run in runs} == {(1, 0)}
    assert [engine.get(run).revision for run in runs] == [1] * 6


def test_a_timeout_ends_its_own_process_and_no_other(engine: Engine, tmp_path: Path) -> None:
    late, *others = runs = suspects(engine, "loops once", *["waits once"] * 2, folder=tmp_path)
    with working(engine, concurrency=3):
        processes = [begun(tmp_path, run) for run in runs]
        time.sleep(0.5)
        (tmp_path / "go").touch()
        plays.until(done(engine, runs), LONG)
    assert [line.kind for line in engine.history(late)][1:3] == ["AttemptTimedOut", "ActionFailed"]
    assert first(engine, late)[1] == 3
    assert [first(engine, run) for run in others] == [(pid, 2) for pid in processes[1:]]


def test_a_failure_leaves_the_process_whole_and_clears_the_task(engine: Engine, tmp_path: Path) -> None:
    run, other = suspects(engine, "raises once", "returns", folder=tmp_path, paused=True)
    with working(engine):
        engine.resume(run)
        plays.until(done(engine, [run]))
        assert first(engine, run) == (os.getpid(), 3), "it has reported, so it is no suspect any more"
        engine.resume(other)
        plays.until(done(engine, [other]))
    assert begun(tmp_path, other) == begun(tmp_path, run)


@pytest.mark.parametrize("how", ["leaves a thread", "leaves a program"])
def test_a_process_in_which_something_is_left_ends_with_it(engine: Engine, tmp_path: Path, how: str) -> None:
    run, other = suspects(engine, how, "returns", folder=tmp_path, paused=True)
    with working(engine):
        engine.resume(run)
        plays.until(done(engine, [run]))
        assert not Path(f"/proc/{begun(tmp_path, run)}").exists()
        engine.resume(other)
        plays.until(done(engine, [other]))
    assert [first(engine, one)[1] for one in (run, other)] == [2, 2]
    assert begun(tmp_path, run) != begun(tmp_path, other)


def test_a_process_that_nobody_needs_any_more_ends(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "IDLE_SECONDS", 0.3)
    [run] = suspects(engine, "returns", folder=tmp_path)
    with working(engine):
        child = begun(tmp_path, run)
        plays.until(lambda: not Path(f"/proc/{child}").exists())
    assert first(engine, run) == (child, 2)


def test_slow_suspects_take_no_more_slots_than_there_may_be_processes(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PROCESSES_MAX", 2)
    runs = suspects(engine, *["waits"] * 4, folder=tmp_path)
    with working(engine, concurrency=4):
        plays.until(lambda: len([*tmp_path.glob("*.2")]) == 2)
        other = engine.start("suspected", {}).id
        plays.until(done(engine, [other]))
        assert len([*tmp_path.glob("*.2")]) == 2
        assert Counter(holders(engine))[None] == 2, "the others wait in the store"
        (tmp_path / "go").touch()
        plays.until(done(engine, runs))
    assert [first(engine, run)[1] for run in runs] == [2] * 4


def test_one_that_is_cancelled_before_it_has_a_process_does_not_begin(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "PATIENCE_SECONDS", LONG)
    runs = suspects(engine, "waits", "waits", folder=tmp_path)
    with capture_logs() as logged, working(engine, concurrency=2):
        plays.until(lambda: any(tmp_path.glob("*.2")) and None not in holders(engine))
        [waiting] = [run for run in runs if not (tmp_path / f"{run}.2").exists()]
        engine.cancel(waiting, actor="ann")
        plays.until(lambda: len(holders(engine)) == 1)
        assert "attempt.hangs" not in [line["event"] for line in logged]
        (tmp_path / "go").touch()
        plays.until(done(engine, runs))
    assert engine.get(waiting).status == "cancelled"
    assert not (tmp_path / f"{waiting}.2").exists()


FILE: Final = """
import os
from enum import Enum, auto
from saga_engine import Frozen, Saga, Step, minutes
class S(Enum):
    ONE = auto(); DONE = auto()
class Value(Frozen):
    pid: int = 0
def one(step: Step[Value]) -> Value:
    return Value(pid=os.getpid())
flow = Saga("flow", version=1, states=S, input=Value, start=S.ONE)
flow.at(S.ONE).run(one, timeout=minutes({minutes})).reads_only().then(S.DONE)
flow.final(S.DONE)
"""


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_where_no_process_can_be_had_suspects_run_alone_on_a_thread(made_url: str, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text(FILE.format(minutes=1))
    with at_file(made_url, file) as engine, capture_logs() as logged:
        file.write_text(FILE.format(minutes=2))
        runs = [engine.start("flow", {}).id for _ in range(3)]
        with engine.store.write() as db:
            db.execute(sa.update(tasks).where(tasks.c.run_id.in_(runs)).values(**LOST))
        engine.work(concurrency=3, until_idle=True)
        assert [engine.get(run).results["ONE"]["pid"] for run in runs] == [os.getpid()] * 3
    assert [line["event"] for line in logged].count("attempt.not_isolated") >= len(runs)


def test_all_that_a_dead_worker_held_comes_free_without_a_poll_between(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (keeper, claiming):
        monkeypatch.setattr(room, "FREED_AT_ONCE", 2)
    engine = opened(suspected.suspected, poll_seconds=LONG)
    runs = [engine.start("suspected", {}).id for _ in range(9)]
    other = engine.worker()
    other._begin()
    other._me.abandon()
    other._slots.close()
    with engine.store.write() as db:
        now = engine.store.clock(db)
        db.execute(sa.update(tasks).values(leased_by=other._me.id, leased_at=now, attempt=1))
        incarnations.end(db, other._me.id, now, "dead")
    with working(engine):
        plays.until(done(engine, runs), LONG / 2)
    assert {first(engine, run)[1] for run in runs} == {2}
