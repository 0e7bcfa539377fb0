"""Targets with a ledger and a business table: in a SQLite file, in PostgreSQL, in MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import OperationalError

from saga_engine.ledger import connect, schema
from tests.ledger.support import make_table
from tests.support.servers import Server

LEASE = timedelta(seconds=5)
"""Longer than a busy machine keeps a test waiting."""
SHORT_LEASE = timedelta(seconds=0.4)
"""On MariaDB, which counts in seconds, it becomes one."""

Opened = Callable[..., Engine]

EMPTY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DROP SCHEMA IF EXISTS saga_ledger CASCADE;
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


@pytest.fixture(scope="session")
def room_url(postgres_server: Server) -> Iterator[str]:
    """One database for all tests of this room: to make one takes longer than most of them."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def postgres_url(room_url: str) -> str:
    """The room's database, empty again, and without whoever was left over in it."""
    engine = sqlalchemy.create_engine(room_url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.exec_driver_sql(EMPTY)
        db.exec_driver_sql(f"ALTER DATABASE {engine.url.database} RESET ALL")
    return room_url


@pytest.fixture(scope="session")
def mariadb_rooms(mariadb_server: Server) -> Iterator[tuple[str, str]]:
    """Two databases for all tests of this room: one that is emptied, one whose tables stay, for DDL is slow there."""
    with mariadb_server.database() as empty, mariadb_server.database() as ready:
        yield plain(empty), plain(ready)


def plain(url: str) -> str:
    """Without TLS: PyMySQL reads the system's certificates for each new connection."""
    return make_url(url).update_query_dict({"ssl_disabled": "true"}).render_as_string(hide_password=False)


def without_sessions(db: Connection, name: str) -> None:
    """End whoever is left over in the database *name*."""
    others = "SELECT id FROM information_schema.processlist WHERE db = :name AND id <> connection_id()"
    for session in db.execute(sqlalchemy.text(others), {"name": name}).scalars():
        with suppress(OperationalError):  # it has ended by itself
            db.exec_driver_sql(f"KILL {session}")


@pytest.fixture
def mariadb_url(mariadb_rooms: tuple[str, str]) -> str:
    """An empty database."""
    url = make_url(mariadb_rooms[0])
    engine = sqlalchemy.create_engine(url.set(database=None), poolclass=sqlalchemy.NullPool)
    with engine.connect() as db:
        without_sessions(db, str(url.database))
        db.exec_driver_sql(f"DROP DATABASE IF EXISTS {url.database}")
        db.exec_driver_sql(f"CREATE DATABASE {url.database}")
    return mariadb_rooms[0]


@pytest.fixture
def mariadb(mariadb_rooms: tuple[str, str], opened: Opened) -> Engine:
    """As `target`, on MariaDB only."""
    engine = opened(mariadb_rooms[1])
    ours = {*(table.name for table in schema.metadata.tables.values()), "loaded"}
    admin = sqlalchemy.create_engine(engine.url, poolclass=sqlalchemy.NullPool)
    with admin.connect() as db:
        without_sessions(db, str(engine.url.database))
        there = set(db.exec_driver_sql("SHOW TABLES").scalars())
        if there >= ours:
            for table in there - ours:
                db.exec_driver_sql(f"DROP TABLE {table}")
            # Not DELETE: who inserts a key anew before it is purged locks the gap beside it.
            db.exec_driver_sql("TRUNCATE TABLE saga_ledger_parts")
            for table in ("saga_ledger_heads", "saga_ledger", "loaded"):
                db.exec_driver_sql(f"DELETE FROM {table}")
            db.exec_driver_sql(f"INSERT INTO saga_ledger VALUES (1, '{uuid4()}', {schema.FORMAT}, utc_timestamp(6))")
            db.commit()
            return engine
        db.exec_driver_sql(f"DROP DATABASE {engine.url.database}")
        db.exec_driver_sql(f"CREATE DATABASE {engine.url.database}")
    schema.create(engine)
    make_table(engine)
    return engine


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """What kind of database the target is."""
    return str(request.param)


@pytest.fixture
def target_url(kind: str, request: pytest.FixtureRequest, fresh_url: Callable[[str, str], str]) -> str:
    """As everywhere, but for the room's databases."""
    if kind == "sqlite":
        return fresh_url("sqlite", "target")
    url: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[kind])
    return url


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Ask `opened(url, lease=…)` for a target of the name "dw"; it is disposed of at the end."""
    with ExitStack() as engines:

        def open_target(url: str, lease: timedelta = LEASE) -> Engine:
            engine = connect.open_target("dw", url, lease=lease)
            engines.callback(engine.dispose)
            return engine

        yield open_target


@pytest.fixture
def bare(target_url: str, opened: Opened) -> Engine:
    """A target without a ledger."""
    return opened(target_url)


@pytest.fixture
def target(kind: str, request: pytest.FixtureRequest) -> Engine:
    """A target with a ledger and the table `loaded`, of each kind."""
    engine: Engine = request.getfixturevalue({"postgresql": "postgres"}.get(kind, kind))
    return engine


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Engine:
    """As `target`, where there is a server behind it."""
    engine: Engine = request.getfixturevalue(request.param)
    return engine


@pytest.fixture
def postgres(postgres_url: str, opened: Opened) -> Engine:
    """As `target`, on PostgreSQL only."""
    engine = opened(postgres_url)
    schema.create(engine)
    make_table(engine)
    return engine


@pytest.fixture
def sqlite(fresh_url: Callable[[str, str], str], opened: Opened) -> Engine:
    """As `target`, on SQLite only."""
    engine = opened(fresh_url("sqlite", "target"))
    schema.create(engine)
    make_table(engine)
    return engine


@pytest.fixture
def impatient(target: Engine, opened: Opened) -> Engine:
    """`target` with a short lease: a lock is waited for 0.8 s, on MariaDB 2 s."""
    return opened(target.url.render_as_string(hide_password=False), lease=SHORT_LEASE)


@pytest.fixture
def impatient_server(server: Engine, opened: Opened) -> Engine:
    """`server` with a short lease."""
    return opened(server.url.render_as_string(hide_password=False), lease=SHORT_LEASE)
