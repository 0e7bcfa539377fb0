"""Places to kill workers in: store and target of one kind, both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from saga_engine.runtime.targets import Targets
from saga_engine.settings import Settings
from tests.kill import moves
from tests.kill.place import Place, Workshop
from tests.store.conftest import made_url, room_url, template

__all__ = ["made_url", "room_url", "template"]


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """One for all tests: its imports are what takes long."""
    made = Workshop()
    yield made
    made.close()


@pytest.fixture
def place(made_url: str, fresh_url: Callable[[str, str], str], workshop: Workshop, tmp_path: Path) -> Iterator[Place]:
    """A store, and a target of the other kind with a ledger and the tables."""
    target = fresh_url("sqlite" if made_url.startswith("postgresql") else "postgresql", "target")
    targets = Targets(Settings(connections={"dw": target}))
    targets.make_ledger("dw")
    with targets.engine("dw").begin() as db:
        for table in moves.TABLES:
            db.execute(sa.text(table))
    targets.close()
    folder = tmp_path / "signs"
    folder.mkdir()
    made = Place(workshop, made_url, target, folder)
    yield made
    made.close()
