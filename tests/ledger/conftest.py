"""Targets with a ledger and a business table, once in a SQLite file and once in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
import sqlalchemy
from sqlalchemy import Engine

from saga_engine.ledger import connect, schema
from tests.ledger.support import make_table
from tests.support.servers import Server

LEASE = timedelta(seconds=5)
"""Longer than a busy machine keeps a test waiting."""
SHORT_LEASE = timedelta(seconds=0.4)

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


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest, fresh_url: Callable[[str, str], str]) -> str:
    """As everywhere, but for the room's database."""
    if request.param == "sqlite":
        return fresh_url("sqlite", "target")
    url: str = request.getfixturevalue("postgres_url")
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
def target(bare: Engine) -> Engine:
    """A target with a ledger and the table `loaded`."""
    schema.create(bare)
    make_table(bare)
    return bare


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
    """`target` with a short lease: a lock is waited for 0.8 s."""
    return opened(target.url.render_as_string(hide_password=False), lease=SHORT_LEASE)


@pytest.fixture
def impatient_postgres(postgres: Engine, opened: Opened) -> Engine:
    return opened(postgres.url.render_as_string(hide_password=False), lease=SHORT_LEASE)
