"""The pytest plugin: loaded by pytest wherever saga-engine is installed, so it imports nothing until a test asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from saga_engine import testing

if TYPE_CHECKING:
    from saga_engine import Saga
    from saga_engine.testing.harness import Harness

Harnesses: TypeAlias = "Callable[..., Harness]"


@pytest.fixture
def saga_store_url(tmp_path: Path) -> str:
    """Where the store of ``saga_harness`` is: a SQLite file of this test. Redefine it to test on PostgreSQL."""
    return f"sqlite:///{tmp_path / 'saga-harness.db'}"


@pytest.fixture
def saga_harness(saga_store_url: str) -> Iterator[Harnesses]:
    """Ask ``saga_harness(saga, connections=…, roles=…)`` for a ``Harness``; all are closed at the end of the test."""
    with ExitStack() as harnesses:

        def harness(*sagas: Saga[Any, Any], **options: Any) -> Harness:  # noqa: ANN401  those of ``Harness``
            made: Harness = harnesses.enter_context(testing.Harness(saga_store_url, *sagas, **options))
            return made

        yield harness
