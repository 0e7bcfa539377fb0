"""The servers of the tests themselves: empty, private, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from tests.support.cluster import temporary_cluster
from tests.support.rooms import BUDGET_SECONDS, RoomTimes
from tests.support.servers import Server, ServerMissing, find_postgres

ONE = sqlalchemy.text("SELECT 1")
GONE_SECONDS = 20


def answer(url: str) -> object:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as db:
        return db.execute(ONE).scalar()


def test_a_store_url_and_a_target_url_are_two_empty_databases(store_url: str, target_url: str) -> None:
    assert (store_url != target_url, answer(store_url), answer(target_url)) == (True, 1, 1)


def test_a_test_database_is_dropped_with_whoever_is_still_connected(postgres_server: Server) -> None:
    with postgres_server.database() as url:
        name = url.rpartition("/")[2]
        left_open = sqlalchemy.create_engine(url).connect()
        left_open.execute(ONE)
    with pytest.raises(OperationalError):
        left_open.execute(ONE)
    left_open.invalidate()
    left_open.close()
    assert name not in postgres_server.names()


MADE = """
CREATE SCHEMA other; CREATE TABLE other.t (id serial PRIMARY KEY); CREATE TABLE t (id serial PRIMARY KEY);
CREATE TYPE mood AS ENUM ('calm'); CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'
"""
ODD = ("CREATE PUBLICATION p", "CREATE EXTENSION citext", "GRANT CONNECT ON DATABASE {name} TO pg_monitor")


@pytest.mark.parametrize("made", [MADE, *ODD])
def test_a_database_that_another_test_had_is_as_a_new_one(postgres_server: Server, made: str) -> None:
    server = Server(postgres_server.url)
    seen = []
    for statement in (made, "SELECT 1"):
        with server.database() as url:
            engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
            with engine.connect() as db:
                seen.append([db.execute(sqlalchemy.text(question)).fetchall() for question in WHAT_IS_THERE])
            with engine.begin() as db:
                db.exec_driver_sql(statement.format(name=engine.url.database))
    server.close()
    assert seen[0] == seen[1]


WHAT_IS_THERE = (
    "SELECT relname FROM pg_class WHERE NOT relnamespace::regnamespace::text ~ '^pg_toast' ORDER BY 1",
    "SELECT nspname, nspowner, nspacl FROM pg_namespace ORDER BY 1",
    "SELECT proname FROM pg_proc WHERE oid >= 16384",
    "SELECT typname FROM pg_type WHERE oid >= 16384",
    "SELECT extname FROM pg_extension",
    "SELECT pubname FROM pg_publication",
    "SELECT datacl, datconnlimit, datallowconn FROM pg_database WHERE datname = current_database()",
    "SELECT name, setting FROM pg_settings WHERE source = 'database'",
)


def test_a_database_is_renamed_for_the_next_test_and_dropped_at_last(postgres_server: Server) -> None:
    server = Server(postgres_server.url)
    with server.database() as url:
        names = [url.rpartition("/")[2]]
    [(kept, uses)] = server._spare
    assert (uses, kept in server.names(), names[0] in server.names()) == (1, True, False)
    with server.database() as url:
        names += [kept, url.rpartition("/")[2]]
        assert [name in server.names() for name in names] == [False, False, True]
    names.append(server._spare[0][0])
    server.close()
    assert not {*names} & {*server.names()}


def test_a_database_that_cannot_be_emptied_is_dropped(postgres_server: Server) -> None:
    server = Server(postgres_server.url)
    with server.database() as url:
        name = url.rpartition("/")[2]
        server._run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    assert (name in server.names(), server._spare) == (False, [])


def test_databases_of_a_killed_run_are_dropped_by_a_later_one(postgres_server: Server) -> None:
    postgres_server._run("CREATE DATABASE saga_test_1700000000_left")
    postgres_server.drop_left_behind()
    assert "saga_test_1700000000_left" not in postgres_server.names()


def test_mariadb_gives_an_empty_database_too(mariadb_url: str) -> None:
    assert answer(mariadb_url) == 1


def test_a_server_named_by_the_environment_is_never_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAGA_TEST_POSTGRES", "postgresql://me:secret@127.0.0.1:1/postgres")
    with pytest.raises(ServerMissing) as missing:
        find_postgres(tmp_path)
    assert str(missing.value).startswith("no postgresql at postgresql+psycopg://me:***@127.0.0.1:1/postgres: ")


def test_a_crashed_cluster_recovers_what_was_committed() -> None:
    with temporary_cluster() as cluster:
        engine = sqlalchemy.create_engine(cluster.url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as db:
            db.execute(sqlalchemy.text("CREATE TABLE kept AS SELECT 42 AS n"))
        cluster.stop("immediate")
        engine = sqlalchemy.create_engine(cluster.start(), poolclass=sqlalchemy.NullPool)
        with engine.connect() as db:
            assert db.execute(sqlalchemy.text("SELECT n FROM kept")).scalar() == 42


RUN = """
import sys, time
from pathlib import Path
from tests.support.cluster import open_shared_folder, shared_cluster
shared, alive = open_shared_folder()
print(shared, shared_cluster(shared), shared_cluster(shared), flush=True)
time.sleep(60)
"""


def test_the_shared_cluster_is_one_and_ends_with_its_run_even_when_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folder, first, second = run.stdout.readline().split()
        assert (first, answer(first)) == (second, 1)
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not Path(folder).exists())
    with pytest.raises(OperationalError):
        answer(first)


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + GONE_SECONDS
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("required", "closing"), [("", "1 skipped"), ("mariadb", "1 skipped"), ("mariadb,postgresql", "1 error")]
)
def test_a_missing_server_is_a_skip_that_says_why_unless_it_is_required(required: str, closing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", f"{__file__}::{NEEDS_POSTGRES}"],
        env={**os.environ, "SAGA_TEST_POSTGRES": "postgresql://me@127.0.0.1:1/postgres", "SAGA_TEST_REQUIRE": required},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no postgresql at postgresql+psycopg://me@127.0.0.1:1/postgres: " in done.stdout
    assert f"= {closing} in " in done.stdout


NEEDS_POSTGRES = test_databases_of_a_killed_run_are_dropped_by_a_later_one.__name__


def test_time_is_counted_by_room_and_a_room_over_its_budget_is_named() -> None:
    rooms = RoomTimes(processes=2)
    rooms.add("tests/domain/test_decide.py::test_a", 1)
    rooms.add("tests/domain/test_decide.py::test_a", 140)
    rooms.add("tests/domain/definition/test_saga.py::test_b", 1)
    rooms.add("tests/test_house.py::test_c", 4)
    rooms.add("tests/benchmarks/bench_start.py::bench_d", 2)
    assert rooms.lines() == [
        "domain           2 tests     71.0 s  of   15 s  OVER BUDGET",
        "house            1 tests      2.0 s  of    5 s",
        "benchmarks       1 tests      1.0 s",
    ]


def test_every_room_has_a_budget() -> None:
    tests = Path(__file__).parents[1]
    rooms = {file.relative_to(tests).parts[0] for file in tests.glob("*/**/test_*.py")}
    assert sorted(BUDGET_SECONDS) == sorted({*rooms, "house"})
