"""Engines on both stores with short times, and a target with a ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain.definition.saga import Saga
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.worker import Worker
from saga_engine.settings import Limits, Settings
from tests.runtime import plays
from tests.store.conftest import made_url, room_url, template

__all__ = ["made_url", "room_url", "template"]

SHORT = Limits(lease_seconds=3, renew_seconds=0.3, poll_seconds=0.1, grace_seconds=0.4)
ROLES = {"dba": ("ann", "bob"), "lead": ("eve",)}

Opened = Callable[..., Engine]


@pytest.fixture
def opened(made_url: str) -> Iterator[Opened]:
    """Ask `opened(saga, …)` for an engine on the test's store; all are closed at the end."""
    with ExitStack() as engines:

        def open_engine(
            *sagas: Saga[Any, Any], connections: Mapping[str, str] | None = None, url: str = made_url, **limits: Any
        ) -> Engine:
            settings = Settings(
                store=url,
                connections=dict(connections or {}),
                roles=ROLES,
                limits=SHORT.model_copy(update=limits),
            )
            return engines.enter_context(Engine(sagas=sagas, settings=settings))

        yield open_engine
        plays.let_go()


@pytest.fixture
def dw(target_url: str) -> str:
    """The URL of a target with a ledger and the table `loaded`."""
    targets = Targets(Settings(connections={"dw": target_url}))
    targets.make_ledger("dw")
    with targets.engine("dw").begin() as db:
        db.execute(sa.text("CREATE TABLE loaded (run text NOT NULL, part text NOT NULL)"))
    targets.close()
    return target_url


def loaded(url: str) -> list[str]:
    """The parts that the target's table holds, as often as they took effect."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as db:
        return sorted(db.execute(sa.text("SELECT part FROM loaded")).scalars())


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
