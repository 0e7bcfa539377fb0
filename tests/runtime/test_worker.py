"""The worker: until idle, draining, losing its lease, losing the store, hanging threads, and its neighbours."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Retry, seconds
from saga_engine.errors import OutcomeUnknown, StoreUnreachable
from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.worker import Worker
from saga_engine.store import claims, incarnations
from saga_engine.store.schema import incarnations as lives
from saga_engine.store.schema import tasks
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import S, Value


def status(engine: Engine, runs: list[str]) -> Counter[str]:
    return Counter(engine.get(run).status for run in runs)


def ends(engine: Engine) -> list[str | None]:
    """How the workers of this store have ended, in the order of their beginning."""
    with engine.store.read() as db:
        return list(db.execute(sa.select(lives.c.ended_how).order_by(lives.c.started_at)).scalars())


def holders(engine: Engine) -> list[str | None]:
    with engine.store.read() as db:
        return list(db.execute(sa.select(tasks.c.leased_by)).scalars())


def crashes(engine: Engine) -> list[int]:
    with engine.store.read() as db:
        return list(db.execute(sa.select(tasks.c.crashes)).scalars())


# --- until idle


def test_idle_is_when_only_people_are_waited_for(opened: Opened) -> None:
    engine = opened(plays.gated(), plays.waiting())
    runs = [engine.start(saga, {}).id for saga in ("gated", "waiting")]
    begun = time.monotonic()
    assert engine.work(until_idle=True) == 0
    assert status(engine, runs) == {"waiting": 2}
    assert time.monotonic() - begun < 10


def test_idle_is_not_before_the_last_back_off_is_over(opened: Opened) -> None:
    engine = opened(plays.saga(retry=Retry(3, first=seconds(0.3))))
    with plays.playing("p", one=plays.raising(ValueError("bad"), 2)):
        run = engine.start("play", {"name": "p"}).id
        begun = time.monotonic()
        engine.work(until_idle=True)
        took = time.monotonic() - begun
    assert (engine.get(run).status, took > 0.9) == ("completed", True)


def test_an_empty_store_is_idle_at_once(opened: Opened) -> None:
    engine = opened(plays.saga(), poll_seconds=30)
    begun = time.monotonic()
    assert engine.work(until_idle=True) == 0
    assert time.monotonic() - begun < 5


def test_what_another_process_starts_is_found_by_polling(opened: Opened) -> None:
    here, there = opened(plays.saga()), opened(plays.saga())
    with working(here):
        run = there.start("play", {}).id
        plays.until(lambda: there.get(run).ended, 10)


# --- ends and leaks


def test_a_worker_leaves_no_thread_and_no_lease_and_an_engine_no_connection(opened: Opened, made_url: str) -> None:
    before = set(threading.enumerate())  # some may be of an earlier test, and about to end
    engine = opened(plays.saga())
    runs = [engine.start("play", {}).id for _ in range(20)]
    assert engine.work(concurrency=5, until_idle=True) == 0
    plays.until(lambda: set(threading.enumerate()) <= before, 5)
    assert status(engine, runs) == {"completed": 20}
    assert (ends(engine), holders(engine)) == (["released"], [])
    engine.close()
    if made_url.startswith("postgresql"):
        database = sa.create_engine(made_url, poolclass=sa.NullPool)
        others = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

        def alone() -> bool:
            with database.connect() as db:
                return int(db.execute(others).scalar_one()) == 0

        plays.until(alone, 5)


def test_a_worker_that_is_stopped_hands_back_what_ends_in_time_and_counts_nothing(opened: Opened) -> None:
    engine = opened(plays.saga(retry=Retry(1)))
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            begun = time.monotonic()
        took = time.monotonic() - begun
    (task,) = engine.get(run).tasks
    assert (play.told, took < 5) == (["one", "cancelled"], True)
    assert (task.leased_by, task.failures, task.crashes, task.attempt, engine.get(run).revision) == (None, 0, 0, 1, 1)
    assert ends(engine) == ["released"]


def stopped_in_the_middle(engine: Engine, one: plays.Act) -> str:
    """A run whose worker is stopped when its first step has begun; *one* sees it to its end within the grace."""

    def begun(step: Any) -> Any:
        play.began.set()
        # Later tests have runs of this name, too.
        return Value(n=step.input.n) if play.gate.is_set() else one(step)

    with plays.playing("p", one=begun) as play:
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
    assert (play.told, holders(engine)) == (["one"], [None])
    return run


def until_cancelled(step: Any) -> Value:
    while not step.cancelled:
        time.sleep(0.005)
    return Value(n=4)


def test_a_worker_that_is_stopped_records_what_succeeds_in_time_and_never_looked(opened: Opened) -> None:
    engine = opened(plays.saga(), grace_seconds=5)

    def one(step: Any) -> Value:
        assert not step.cancelled, "it looked before"
        time.sleep(0.3)
        return Value(n=4)

    run = stopped_in_the_middle(engine, one)
    assert (engine.get(run).state, engine.get(run).results["ONE"]["n"]) == ("TWO", 4)


def test_what_returns_because_it_was_told_that_nobody_wants_it_is_not_done_and_counts_nothing(opened: Opened) -> None:
    engine = opened(plays.saga(retry=Retry(1)), grace_seconds=5)
    run = stopped_in_the_middle(engine, until_cancelled)
    found = engine.get(run)
    (task,) = found.tasks
    assert (found.state, found.results, found.revision) == ("ONE", {}, 1)
    assert (task.failures, task.crashes, task.attempt) == (0, 0, 1)
    with plays.playing("p"):
        engine.work(until_idle=True)
    assert (engine.get(run).status, engine.get(run).results["ONE"]["n"]) == ("completed", 0)


def test_what_may_not_begin_twice_is_recorded_whatever_it_was_told(opened: Opened) -> None:
    engine = opened(plays.saga(promise="manual"), grace_seconds=5)
    run = stopped_in_the_middle(engine, until_cancelled)
    assert (engine.get(run).state, engine.get(run).results["ONE"]["n"]) == ("TWO", 4)


@pytest.mark.parametrize("times", [1, 10**9])
def test_what_may_not_begin_twice_is_not_begun_again_though_the_store_was_away_in_the_end(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Once: it is recorded at the next try. All the time: whoever takes it over knows that it may have been done."""
    engine = opened(plays.saga(promise="manual"), grace_seconds=3)
    now, left = engine.store.now, [times]
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        run = engine.start("play", {"name": "p"}).id
        with working(engine) as worker:

            def away() -> datetime:
                if worker._stopping and left[0]:
                    left[0] -= 1
                    raise errors.StoreUnreachable(url=engine.store.url, reason="injected")
                return now()

            monkeypatch.setattr(engine.store, "now", away)
            assert play.began.wait(10)
            worker.stop()
            play.gate.set()
        monkeypatch.undo()
        engine.work(until_idle=True)
    found = engine.get(run)
    assert play.told.count("one") == 1
    assert (found.status, [task.parked for task in found.tasks if task.parked]) == (
        ("completed", []) if times == 1 else ("parked", ["W23"])
    )


def test_what_does_not_end_in_the_grace_is_handed_back_with_the_name_of_its_runner(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        engine.start("play", {"name": "p"})
        with working(engine):
            assert play.began.wait(10)
            begun = time.monotonic()
        assert 0.4 <= time.monotonic() - begun < 5
        with engine.store.read() as db:
            (row,) = db.execute(sa.select(tasks.c.leased_by, tasks.c.lost_by, tasks.c.lost_dead, tasks.c.crashes))
        assert (row.leased_by, row.lost_dead, row.crashes, " pid " in row.lost_by) == (None, False, 0, True)
        assert ends(engine) == ["released"]


def test_half_of_the_slots_hanging_is_an_exit_of_75_and_the_rest_is_handed_back(opened: Opened) -> None:
    engine = opened(plays.saga(timeout=seconds(0.1), retry=Retry(1)))
    with plays.playing("p") as play:
        play.acts["one"] = play.hangs
        engine.start("play", {"name": "p"})
        assert engine.work(concurrency=2) == 75
        assert holders(engine) == [None]


def _sleep(step: Any, limit: float) -> Value:
    until = time.monotonic() + limit
    while not step.cancelled and time.monotonic() < until:
        time.sleep(0.01)
    return Value()


# --- leases


def test_a_worker_whose_life_was_ended_drops_what_it_held_and_begins_a_new_one(opened: Opened) -> None:
    engine = opened(plays.saga(), renew_seconds=0.1)
    seen: list[bool] = []

    def one(step: Any) -> Value:
        play.began.set()
        if step.attempt == 1:
            plays.until(lambda: step.cancelled)
            seen.append(step.cancelled)
        return Value(n=step.attempt)

    with plays.playing("p", one=one) as play:
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            _end_all(engine, "expired")
            plays.until(lambda: engine.get(run).ended)
    assert (engine.get(run).results["ONE"]["n"], seen, play.told) == (2, [True], ["one", "one", "two"])
    assert ends(engine) == ["expired", "released"]
    assert [line.event["attempt"] for line in engine.history(run) if line.kind == "ActionSucceeded"] == [2, 1]


def _end_all(engine: Engine, how: str) -> None:
    with engine.store.write() as db:
        for row in incarnations.living(db):
            incarnations.end(db, row.id, engine.store.clock(db), how)


def test_a_lost_lease_is_no_reason_to_give_up_though_all_slots_were_busy(opened: Opened) -> None:
    engine = opened(plays.saga(), renew_seconds=0.1, grace_seconds=5)
    with plays.playing("p") as play:
        play.acts["one"] = lambda step: play.waits(step) if step.attempt == 1 else Value()
        runs = [engine.start("play", {"name": "p"}).id for _ in range(2)]
        with working(engine, concurrency=2):
            plays.until(lambda: play.told.count("one") == 2)
            _end_all(engine, "expired")
            plays.until(lambda: all(engine.get(run).ended for run in runs))
    assert status(engine, runs) == {"completed": 2}
    assert ends(engine) == ["expired", "released"]


def test_a_worker_takes_over_what_an_ended_one_held(opened: Opened) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", {})
    with engine.store.write() as db:
        now = engine.store.clock(db)
        birth = incarnations.Birth("gone", "db-9", 1, "/nowhere", 1, 1, "", ("default",), {}, {}, 8)
        incarnations.begin(db, birth, now - timedelta(seconds=60), timedelta(seconds=15))
        menu = claims.Menu(("default",), (engine.door.pin(next(iter(engine.registry))),))
        assert len(claims.claim(db, "gone", menu, "action", 10, now)) == 1
    engine.work(until_idle=True)
    assert engine.get(run.id).status == "completed"
    assert ends(engine) == ["expired", "released"]


def test_a_claim_whose_answer_was_lost_is_handed_back_by_the_renewals(opened: Opened) -> None:
    """T1 committed and nobody heard of it: the worker holds a task that it does not know."""
    engine = opened(plays.saga(), renew_seconds=0.1)
    with working(engine) as worker:
        plays.until(lambda: hasattr(worker, "_claiming"))
        setattr(worker._claiming, "claim", lambda *_: [])  # noqa: B010  it looks no more
        time.sleep(0.2)
        run = opened(plays.saga()).start("play", {}).id  # as in another process: this one would place it at its worker
        with engine.store.write() as db:
            now = engine.store.clock(db)
            menu = worker._claiming._menu
            assert len(claims.claim(db, worker._me.id, menu, "action", 10, now)) == 1
        plays.until(lambda: holders(engine) == [None], 10)
        assert crashes(engine) == [0]
        delattr(worker._claiming, "claim")
        plays.until(lambda: engine.get(run).ended)
    assert engine.get(run).status == "completed"


def test_a_late_attempt_does_not_take_the_place_of_the_one_that_follows_it(opened: Opened) -> None:
    """Both run in one worker, under one task's name; the first comes back while the second is at it."""
    engine = opened(plays.saga(timeout=seconds(0.3), retry=Retry(3, first=seconds(0.01))))
    first, second = threading.Event(), threading.Event()

    def one(step: Any) -> Value:
        if step.attempt == 1:
            first.wait(20)
            return Value(n=1)
        play.began.set()
        second.wait(0.25)
        return Value(n=step.attempt)

    with plays.playing("p", one=one) as play:
        run = engine.start("play", {"name": "p"}).id
        with working(engine, concurrency=4):
            assert play.began.wait(15)
            first.set()
            plays.until(lambda: engine.get(run).ended, 10)
    assert (engine.get(run).status, engine.get(run).results["ONE"]["n"], play.told) == (
        "completed",
        2,
        ["one", "one", "two"],
    )


def test_an_end_that_was_asked_for_is_not_asked_of_the_next_attempt(opened: Opened) -> None:
    """Renewals tell which attempts are to end; the next attempt has the same task and another number."""
    engine = opened(plays.saga(timeout=seconds(0.15), retry=Retry(3, first=seconds(0.01))), renew_seconds=0.1)

    def one(step: Any) -> Value:
        if step.attempt == 1:
            return play.waits(step)
        time.sleep(0.1)
        return Value(n=99 if step.cancelled else step.attempt)

    with plays.playing("p", one=one) as play:
        run = engine.start("play", {"name": "p"}).id
        engine.work(until_idle=True)
    assert engine.get(run).results["ONE"]["n"] == 2


def test_a_person_who_parks_the_attempt_ends_it(opened: Opened) -> None:
    """A cancel reaches a step that somebody else's worker runs: it sees `cancelled` at the next renewal."""
    here, there = opened(plays.saga(), renew_seconds=0.1), opened(plays.saga())
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = here.start("play", {"name": "p"}).id
        with working(here):
            assert play.began.wait(10)
            there.cancel(run)
            plays.until(lambda: there.get(run).ended, 10)
    assert (there.get(run).status, play.told) == ("cancelled", ["one", "cancelled", "undo one"])


# --- suspects


def test_a_task_that_killed_its_worker_runs_alone(opened: Opened) -> None:
    engine = opened(plays.saga())
    together: list[int] = []

    def one(step: Any) -> Value:
        running.add(step.run_id)
        time.sleep(0.05)
        if step.run_id == suspect:
            together.append(len(running))
        time.sleep(0.05)
        running.discard(step.run_id)
        return Value()

    running: set[str] = set()
    with plays.playing("p", one=one):
        suspect = engine.start("play", {"name": "p"}).id
        with engine.store.write() as db:
            db.execute(
                sa.update(tasks)
                .where(tasks.c.kind == "step")
                .values(crashes=1, lost_by="db-1 pid 7", lost_dead=True, attempt=1)
            )
        runs = [suspect, *(engine.start("play", {"name": "p"}).id for _ in range(6))]
        engine.work(concurrency=8, until_idle=True)
    assert (together, status(engine, runs)) == ([1], {"completed": 7})


def test_others_do_not_starve_while_a_suspect_waits_for_an_empty_worker(opened: Opened) -> None:
    """What runs may take hours: the free slots wait for the suspect no longer than a lease at a time."""
    engine = opened(plays.saga(), lease_seconds=0.6, renew_seconds=0.2)
    with plays.playing("p") as play, plays.playing("q"):
        play.acts["one"] = play.hangs
        long = engine.start("play", {"name": "p"}).id
        suspect = engine.start("play", {"name": "q"}).id
        engine.pause(suspect)
        with engine.store.write() as db:
            db.execute(sa.update(tasks).where(tasks.c.run_id == suspect).values(crashes=1, attempt=1))
        with working(engine, concurrency=4):
            assert play.began.wait(10)
            engine.resume(suspect)
            other = engine.start("play", {"name": "q"}).id
            plays.until(lambda: engine.get(other).ended, 10)
            assert not engine.get(suspect).ended
            play.gate.set()
            plays.until(lambda: engine.get(suspect).ended and engine.get(long).ended, 20)


def test_a_suspect_is_not_starved_by_steps_that_take_longer_than_a_lease(opened: Opened) -> None:
    """There is always one that began before the free slots were kept free: until they are for long enough."""
    engine = opened(plays.saga(), lease_seconds=0.6, renew_seconds=0.2)

    def one(_: Any) -> Value:
        time.sleep(0.9)
        return Value()

    with plays.playing("p", one=one), plays.playing("q"):
        suspect = engine.start("play", {"name": "q"}).id
        engine.pause(suspect)
        with engine.store.write() as db:
            db.execute(sa.update(tasks).values(crashes=1, attempt=1))
        first = engine.start("play", {"name": "p"}).id
        with working(engine, concurrency=2):
            plays.until(lambda: engine.get(first).tasks[0].leased_by)
            for _ in range(30):
                engine.start("play", {"name": "p"})
            engine.resume(suspect)
            plays.until(lambda: engine.get(suspect).state != "ONE", 12)


def test_a_task_with_which_three_workers_died_waits_for_a_person(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        run = engine.start("play", {"name": "p"}).id
        with engine.store.write() as db:
            db.execute(sa.update(tasks).values(crashes=3, lost_by="db-1 pid 7", lost_dead=True, attempt=3))
        engine.work(until_idle=True)
        (task,) = engine.get(run).tasks
        assert (task.parked, play.told) == ("W24", [])
        assert task.error == "3 processes died with this task; last: db-1 pid 7"
        engine.retry(run, actor="ann")
        engine.work(until_idle=True)
    assert engine.get(run).status == "completed"


# --- the store goes away


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_worker_goes_on_when_the_server_ended_its_connections(opened: Opened, made_url: str) -> None:
    engine = opened(plays.saga())
    database = sa.create_engine(made_url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with plays.playing("p", one=lambda step: _sleep(step, 0.02)):
        runs = [engine.start("play", {"name": "p"}).id for _ in range(60)]
        with working(engine):
            while not all(engine.get(run).ended for run in runs):
                with database.connect() as db:
                    db.exec_driver_sql(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                        "AND application_name LIKE 'saga%%'"
                    )
                time.sleep(0.2)
    assert status(engine, runs) == {"completed": 60}
    for run in runs:
        assert [line.kind for line in engine.history(run)] == ["RunStarted", "ActionSucceeded", "ActionSucceeded"]


def test_a_worker_waits_for_a_store_that_is_away_and_goes_on_with_what_it_held(opened: Opened, made_url: str) -> None:
    """Longer than a lease; nobody else has ended its life, so that nothing is lost and nothing done twice."""
    engine = opened(plays.saga(), lease_seconds=1, renew_seconds=0.2)
    away = Away(made_url)
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            with away:
                play.gate.set()
                time.sleep(2)
            plays.until(lambda: engine.get(run).ended, 40)
    assert (engine.get(run).status, play.told) == ("completed", ["one", "two"])
    assert ends(engine) == ["released"]


class Away:
    """A store that nobody can write to: locked by another on SQLite, with no connection allowed on PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        self._name = self._engine.url.database

    def __enter__(self) -> None:
        self._db = self._engine.connect()
        if self._engine.dialect.name == "sqlite":
            self._db.exec_driver_sql("BEGIN EXCLUSIVE")
            return
        self._db.exec_driver_sql(f"ALTER DATABASE {self._name} CONNECTION LIMIT 0")
        self._allowed(allowed=False)
        self._db.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def _allowed(self, *, allowed: bool) -> None:
        admin = sa.create_engine(
            self._engine.url.set(database="postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as db:
            db.exec_driver_sql(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS {str(allowed).lower()}")

    def __exit__(self, *_: object) -> None:
        if self._engine.dialect.name == "sqlite":
            self._db.exec_driver_sql("ROLLBACK")
        else:
            self._allowed(allowed=True)
            self._db.exec_driver_sql(f"ALTER DATABASE {self._name} CONNECTION LIMIT -1")
        self._db.close()


def test_a_worker_that_is_asked_to_stop_claims_nothing_more(opened: Opened) -> None:
    """A timer that it took on its way out would fire in the drain, and move a run on that was to stop."""
    engine = opened(plays.saga())
    seen: list[str] = []

    def stops(name: str) -> None:
        seen.append(name)
        if name == "runtime.recorder.recorded":
            worker.stop()

    with plays.playing("p"), switched_on(stops):
        for _ in range(3):
            engine.start("play", {"name": "p"})
        worker = engine.worker(concurrency=1)
        assert worker.run() == 0
    assert "store.claim.before_commit" not in seen[seen.index("runtime.recorder.recorded") :]


def test_an_answer_to_commit_that_never_came_is_asked_for_and_nothing_is_done_twice(opened: Opened) -> None:
    """A third of the worker's COMMITs take effect, and their answers are lost: by chance, as every third one claims."""
    engine = opened(plays.saga(), renew_seconds=0.1)
    chance = Random(3)

    def lossy(point: str) -> None:
        if point == "store.write.after_commit" and chance.random() < 1 / 3:
            raise OutcomeUnknown(url="the store", reason="the test lost it")

    with plays.playing("p") as play:
        runs = [engine.start("play", {"name": "p"}).id for _ in range(10)]
        with switched_on(lossy):
            engine.work(until_idle=True)
    assert status(engine, runs) == {"completed": 10}
    for run in runs:
        lines = engine.history(run)
        assert [line.revision for line in lines] == list(range(1, len(lines) + 1))
        assert [line.kind for line in lines].count("ActionSucceeded") == 2
    assert Counter(play.told) == {"one": 10, "two": 10}


def test_a_store_error_in_the_middle_of_a_batch_loses_nothing(opened: Opened) -> None:
    engine = opened(plays.saga())
    runs = [engine.start("play", {}).id for _ in range(10)]
    left = [6]

    def fails(name: str) -> None:
        if name in {"store.record.before_write", "store.write.before_commit"} and left[0] > 0:
            left[0] -= 1
            raise StoreUnreachable(url="the store", reason="the test says so")

    with switched_on(fails):
        engine.work(until_idle=True)
    assert status(engine, runs) == {"completed": 10}


def manual_second() -> Saga[S, plays.Input]:
    """ONE, then TWO, which must never begin twice."""
    made = Saga("second", version=1, states=S, input=plays.Input, start=S.ONE)
    made.at(S.ONE).run(plays.one).undo(plays.undo_one).then(S.TWO, failed=S.BACK)
    made.at(S.TWO).run(plays.two, promise="manual").undo(plays.undo_two).then(S.DONE, failed=S.BACK)
    return plays.finished(made)


class Losing:
    """A store that takes a COMMIT and loses its answer: the next one behind a failpoint that was named."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._wanted: str | None = None
        self._loser: int | None = None

    def behind(self, point: str) -> None:
        self._wanted = point

    def hit(self, name: str) -> None:
        if name == self._wanted:
            self._wanted, self._loser = None, threading.get_ident()
            self.told.append(name)
        # Not a renewal, which comes when it will.
        if name == "store.write.after_commit" and self._loser == threading.get_ident():
            self._loser = None
            raise OutcomeUnknown(url="the store", reason="the test lost it")


def rounds(worker: Worker, until: Callable[[], object]) -> None:
    """Let it make rounds until something is so."""

    def made() -> object:
        worker._round(until_idle=True)
        return until()

    plays.until(made)


@pytest.mark.parametrize("meanwhile", ["another had it", "paused"])
def test_what_must_be_asked_first_is_asked_though_its_claim_was_not_heard(opened: Opened, meanwhile: str) -> None:
    """It is read back with a report of its run, and begun by nobody before its claim was handed back and made anew."""
    engine = opened(manual_second(), renew_seconds=0.1, poll_seconds=60)
    losing = Losing()
    with plays.playing("p") as play, switched_on(losing.hit):
        run = engine.start("second", {"name": "p"}).id
        worker = engine.worker(concurrency=4)
        worker._begin()
        losing.behind("store.record.before_write")
        rounds(worker, lambda: losing.told)
        if meanwhile == "another had it":
            with engine.store.write() as db:
                db.execute(sa.update(tasks).values(attempt=1, lost_by="another pid 1", lost_dead=False))
        losing.behind("store.claim.before_commit")
        worker._claiming.soon()
        worker._claim()
        assert (len(worker._reports), holders(engine)) == (1, [worker._me.id])
        if meanwhile == "paused":
            engine.pause(run)
        worker._runs.clear()  # as after the store was away
        rounds(worker, lambda: not worker._reports and holders(engine) == [None])
        worker._round(until_idle=True)
        worker._drain()
    assert (play.told, [task.parked for task in engine.get(run).tasks]) == (
        ["one"], ["W23" if meanwhile == "another had it" else None]
    )  # fmt: skip
