"""A folder for each test, and one process that all of them fork the program from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.place import Place, Server, make


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The process that uses of the program are forked from, and a store that is made once and copied."""
    folder = tmp_path_factory.mktemp("server")
    found = Server(folder / "made" / ".saga")
    assert make(folder / "made", found)("db", "upgrade", "-q").code == 0
    yield found
    found.close()


@pytest.fixture
def saga(tmp_path: Path, server: Server) -> Place:
    """The program, in a folder of its own, with a SQLite store."""
    return make(tmp_path / "here", server)


@pytest.fixture
def any_saga(tmp_path: Path, server: Server, store_url: str) -> Place:
    """The same, once on SQLite and once on PostgreSQL."""
    return make(tmp_path / "here", server, store_url)


@pytest.fixture
def empty(tmp_path: Path, server: Server) -> Place:
    """The program in a folder where nothing is yet."""
    found = make(tmp_path / "here", server)
    shutil.rmtree(found.folder)
    found.folder.mkdir()
    return found
