"""Engines whose databases can be lost: stores and targets behind proxies, with short times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from saga_engine.runtime import worker
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.worker import Worker
from saga_engine.settings import Limits, Settings
from saga_engine.store.schema import metadata
from tests.network.shop import SAGAS, make_tables
from tests.support.proxy import Proxy, proxy_before
from tests.support.servers import Server

SHORT = Limits(lease_seconds=3, renew_seconds=0.1, poll_seconds=0.05, grace_seconds=2)
ROLES: Final[dict[str, tuple[str, ...]]] = {"dba": ("ann",)}

Opened = Callable[..., Engine]


PAUSE_SECONDS: Final = 0.1
"""Of a worker whose store is away, where it has a second otherwise."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Ask `opened(store_url, target_url)` for an engine; all are closed at the end."""
    monkeypatch.setattr(worker, "STORE_PAUSE_SECONDS", PAUSE_SECONDS)
    with ExitStack() as engines:

        def open_engine(store: str, target: str, **limits: Any) -> Engine:
            settings = Settings(
                store=store, connections={"dw": target}, roles=ROLES, limits=SHORT.model_copy(update=limits)
            )
            return engines.enter_context(Engine(sagas=SAGAS, settings=settings))

        yield open_engine


@pytest.fixture(scope="session")
def databases(postgres_server: Server) -> Iterator[tuple[str, str]]:
    """A store with its schema and a target with its ledger, for all tests of the room: to make one takes seconds."""
    with postgres_server.database() as store, postgres_server.database() as target:
        Engine(store).close()
        yield store, made_target(target)


@pytest.fixture
def store_direct(databases: tuple[str, str]) -> str:
    """A store in PostgreSQL that holds no run."""
    engine = sa.create_engine(databases[0], poolclass=sa.NullPool)
    with engine.begin() as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(sa.delete(table))
    return databases[0]


@pytest.fixture
def target_direct(databases: tuple[str, str]) -> str:
    """A target in PostgreSQL. It keeps what earlier tests have booked, for their runs."""
    return databases[1]


def made_target(url: str) -> str:
    """Make the ledger and the table of what is booked; the URL again."""
    targets = Targets(Settings(connections={"dw": url}))
    targets.make_ledger("dw")
    with targets.engine("dw").begin() as db:
        make_tables(db)
    targets.close()
    return url


def shown(url: URL) -> str:
    """A URL as the settings take it."""
    return url.render_as_string(hide_password=False)


@pytest.fixture
def store_proxy(store_direct: str) -> Iterator[Proxy]:
    with proxy_before(make_url(store_direct)) as proxy:
        yield proxy


@pytest.fixture
def target_proxy(target_direct: str) -> Iterator[Proxy]:
    with proxy_before(make_url(target_direct)) as proxy:
        yield proxy


@contextmanager
def working(engine: Engine, **options: Any) -> Iterator[Worker]:
    """A worker in a thread of its own; stopped, and its thread ended, at the end of the block."""
    worker = engine.worker(**options)
    thread = threading.Thread(target=worker.run, name="test-worker", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
        assert not thread.is_alive(), "the worker does not drain"


def until(condition: Callable[[], object], limit: float = 30.0) -> None:
    """Wait until *condition* holds; AssertionError after *limit* seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
