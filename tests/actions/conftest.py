"""Pairs of databases: every kind of source with every kind of target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.actions.support import Database, Mover, move

Moving = Callable[..., Mover]
KINDS = ("sqlite", "postgresql")
CROSSED = [("sqlite", "postgresql"), ("postgresql", "sqlite")]


@pytest.fixture(params=[f"{source}-{target}" for source in KINDS for target in KINDS])
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kinds of source and target, all four pairs in turn."""
    source, _, target = str(request.param).partition("-")
    return source, target


@pytest.fixture
def source(kinds: tuple[str, str], fresh_url: Callable[[str, str], str]) -> Database:
    return Database(fresh_url(kinds[0], "source"))


@pytest.fixture
def target(kinds: tuple[str, str], fresh_url: Callable[[str, str], str]) -> Database:
    return Database(fresh_url(kinds[1], "target"))


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def moving(source: Database, target: Database, exports: Path) -> Moving:
    """Ask `moving(table, run=…, chunk_rows=…)` for a run between this test's databases."""

    def moving(table: str, run: str = "run", **more: Any) -> Mover:
        return Mover(move(table, exports, **more), source, target, run)

    return moving
