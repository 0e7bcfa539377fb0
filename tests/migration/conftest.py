"""Projects, their workers, and databases to move tables between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.actions.support import Database
from tests.migration.project import Project
from tests.support.nursery import CHECKOUT, Nursery

FreshUrl = Callable[[str, str], str]
Projects = Callable[..., Project]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers come from."""
    nursery = Nursery("tests.migration.nursery")
    yield nursery
    nursery.close()


@pytest.fixture
def project_of(tmp_path: Path, nursery: Nursery) -> Iterator[Projects]:
    """Ask `project_of(store_url, shop=…, dw=…)` for a project with these connections."""
    with ExitStack() as projects:

        def project_of(store: str = "sqlite:///.saga/saga.db", **connections: Database | str) -> Project:
            urls = {name: found if isinstance(found, str) else found.url for name, found in connections.items()}
            project = Project(tmp_path / "project", nursery, store, urls)
            projects.callback(project.close)
            return project

        yield project_of


@pytest.fixture
def fresh(fresh_url: FreshUrl) -> Callable[[str, str], Database]:
    """Ask `fresh(kind, name)` for an empty database."""

    def fresh(kind: str, name: str) -> Database:
        return Database(fresh_url(kind, name))

    return fresh


@pytest.fixture(scope="session")
def chinook() -> Path:
    """The folder of the sample database Chinook: SAGA_TEST_CHINOOK, else shared/data beside the checkout."""
    folder = Path(os.environ.get("SAGA_TEST_CHINOOK") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "Chinook_Sqlite.sqlite").is_file():
        pytest.skip(f"the sample database Chinook is not in {folder}; SAGA_TEST_CHINOOK may name its folder")
    return folder
