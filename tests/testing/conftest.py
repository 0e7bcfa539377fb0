"""A harness on both stores, and a target that its steps write to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from saga_engine.testing import Harness
from tests.runtime import plays
from tests.store.conftest import made_url, room_url, template

__all__ = ["made_url", "room_url", "template"]

Harnesses = Callable[..., Harness]


@pytest.fixture
def saga_store_url(made_url: str) -> Iterator[str]:
    """Each test of a harness on both stores, whose schema is there already."""
    yield made_url
    plays.let_go()


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """A SQLite target with an empty table."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    rows(url, "CREATE TABLE loaded (part text NOT NULL)")
    return url


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """Do a statement in the target, and let go of it."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as db:
        done = db.execute(sa.text(statement))
        return [tuple(row) for row in done] if done.returns_rows else []
