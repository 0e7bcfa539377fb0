"""Stores with the engine's schema, once in a SQLite file and once in PostgreSQL, and runs to play with in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare
from saga_engine.store.schema import metadata
from tests.store.world import World
from tests.support.servers import Server


@pytest.fixture(scope="session")
def room_url(postgres_server: Server) -> Iterator[str]:
    """One database for the tests that take `made`: to make one takes longer than most of them."""
    with postgres_server.database() as url:
        store = open_store(url)
        prepare(store)
        store.close()
        yield url


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its schema, to be copied: to make one takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "saga.db"
    store = open_store(f"sqlite:///{path}")
    prepare(store)
    store.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def made_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that holds no run, with its schema made."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('template'), tmp_path / 'saga.db')}"
    room: str = request.getfixturevalue("room_url")
    engine = sa.create_engine(room, poolclass=sa.NullPool)
    with engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(sa.delete(table))
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
