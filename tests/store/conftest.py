"""Stores with the engine's schema, once in a SQLite file and once in PostgreSQL, and runs to play with in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare
from saga_engine.store.schema import metadata
from tests.store.world import World
from tests.support.servers import Server

Worlds = Callable[[], World]


@pytest.fixture(scope="session")
def room_url(postgres_server: Server) -> Iterator[str]:
    """One database for the tests that take `made`: to make one takes longer than most of them."""
    with postgres_server.database() as url:
        store = open_store(url)
        prepare(store)
        store.close()
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def made_url(request: pytest.FixtureRequest, fresh_url: Callable[[str, str], str]) -> str:
    """A store that holds no run, with its schema made."""
    if request.param == "sqlite":
        url = fresh_url("sqlite", "saga")
        store = open_store(url)
        prepare(store)
        store.close()
        return url
    room: str = request.getfixturevalue("room_url")
    engine = sa.create_engine(room, poolclass=sa.NullPool)
    with engine.begin() as db:
        db.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    return room


@pytest.fixture
def made(made_url: str) -> Iterator[Store]:
    """The same, opened."""
    store = open_store(made_url, lease_seconds=6)
    yield store
    store.close()


@pytest.fixture
def world(made: Store) -> World:
    """One run that has just been started in the store."""
    return World(made)
