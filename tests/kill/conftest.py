"""Projects whose processes are killed, and the seed of what is chosen by chance."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kill.project import Project
from tests.kill.workers import Nursery

FreshUrl = Callable[[str, str], str]
Projects = Callable[..., Project]

LONG = "soak"
SEED_VARIABLE = "SAGA_TEST_SEED"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{LONG}: kills for many minutes; only `pytest -m {LONG}` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LONG in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker(LONG):
            item.add_marker(pytest.mark.skip(reason=f"takes many minutes: pytest -m {LONG}"))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers come from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def project_of(tmp_path: Path, nursery: Nursery, fresh_url: FreshUrl) -> Iterator[Projects]:
    """Ask `project_of("sqlite", "postgresql", lease_seconds=1)` for a project with this store, target and limits."""
    with ExitStack() as projects:

        def project_of(store: str, target: str = "sqlite", **given: Any) -> Project:
            folder = tmp_path / "project"
            project = Project(folder, nursery, fresh_url(store, "saga"), fresh_url(target, "target"), **given)
            projects.callback(project.close)
            return project

        yield project_of


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """The kind of the store, once each."""
    return str(request.param)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """What the test chooses by; printed with the command that chooses the same again."""
    seed = os.environ.get(SEED_VARIABLE) or ("1" if os.environ.get("CI") else secrets.token_hex(4))
    print(f"{SEED_VARIABLE}={seed} pytest -p no:randomly '{request.node.nodeid}'")  # noqa: T201  shown with a failure
    return seed
