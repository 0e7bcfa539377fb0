"""Fixtures of every room, and what one run of pytest owns: its database servers and its clock."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.cluster import open_shared_folder
from tests.support.memory import keep_folders_in_memory
from tests.support.rooms import RoomTimes
from tests.support.servers import Server, ServerMissing, find_mariadb, find_postgres

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

SHARED = pytest.StashKey[Path]()
ALIVE = pytest.StashKey[int]()
ROOMS = pytest.StashKey[RoomTimes]()
LONG = "soak"

hypothesis.settings.register_profile("saga", deadline=None, print_blob=True)
# The same examples every time: a submission is not refused for what an earlier one brought in.
hypothesis.settings.register_profile("ci", parent=hypothesis.settings.get_profile("saga"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "saga")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # In the background of a script; the processes of the tests would ignore a typed Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[SHARED] = Path(worker["shared_folder"])
        return
    keep_folders_in_memory()
    config.stash[SHARED], config.stash[ALIVE] = open_shared_folder()
    config.stash[ROOMS] = RoomTimes(getattr(config.option, "numprocesses", None) or 1)
    config.pluginmanager.register(RoomReport(config.stash[ROOMS]))
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(TellWorkers(config.stash[SHARED]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_time_limit, reverse=True)
    if LONG in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker(LONG):
            item.add_marker(pytest.mark.skip(reason=f"takes many minutes: pytest -m {LONG}"))


def _time_limit(item: pytest.Item) -> float:
    """Whoever may take long begins early, so that the last test of a run keeps no processor waiting."""
    limit = item.get_closest_marker("timeout")
    return float(limit.args[0]) if limit else 0.0


def pytest_unconfigure(config: pytest.Config) -> None:
    alive = config.stash.get(ALIVE, None)
    if alive is None:
        return
    os.close(alive)
    if not (config.stash[SHARED] / "cluster.url").exists():  # else whoever stops the server removes the folder
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


class TellWorkers:
    """Hands the folder of the run to each xdist worker."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput["shared_folder"] = str(self._shared)


class RoomReport:
    """Prints the seconds of each room, and what tests have counted, just before pytest's closing line."""

    def __init__(self, rooms: RoomTimes) -> None:
        self._rooms = rooms
        self._counted: list[str] = []
        """What tests say of their size: ``record_property("counted", …)``."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._rooms.add(report.nodeid, report.duration)
        if report.when == "call":
            name = report.nodeid.rpartition("::")[2]
            self._counted += [f"{name}: {value}" for what, value in report.user_properties if what == "counted"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = self._rooms.lines()
        if lines:
            terminalreporter.section("time by room")
        for line in [*lines, *self._counted]:
            terminalreporter.write_line(line)


def _required(server: str, find: Callable[[], Server]) -> Server:
    """The server, or a skip that says why there is none; a failure where SAGA_TEST_REQUIRE names it."""
    try:
        return find()
    except ServerMissing as missing:
        if server in os.environ.get("SAGA_TEST_REQUIRE", "").split(","):
            pytest.fail(f"SAGA_TEST_REQUIRE names {server}: {missing}", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """The machine's PostgreSQL, else one from the wheel that all processes of this run share."""
    server = _required("postgresql", lambda: find_postgres(pytestconfig.stash[SHARED]))
    yield server
    server.close()


@pytest.fixture(scope="session")
def mariadb_server() -> Server:
    """The machine's MariaDB."""
    return _required("mariadb", find_mariadb)


@pytest.fixture
def fresh_url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], str]]:
    """Ask `fresh_url(kind, name)` for an empty database; kind is sqlite, postgresql or mariadb."""
    durable = request.node.get_closest_marker("durable") is not None
    with ExitStack() as databases:

        def fresh(kind: str, name: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path / name}.db"
            server: Server = request.getfixturevalue(
                {"postgresql": "postgres_server", "mariadb": "mariadb_server"}[kind]
            )
            return databases.enter_context(server.database(durable=durable))

        yield fresh


@pytest.fixture
def postgres_url(fresh_url: Callable[[str, str], str]) -> str:
    """The URL of an empty PostgreSQL database that only this test has."""
    return fresh_url("postgresql", "postgres")


@pytest.fixture
def mariadb_url(fresh_url: Callable[[str, str], str]) -> str:
    """The URL of an empty MariaDB database that only this test has."""
    return fresh_url("mariadb", "mariadb")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, fresh_url: Callable[[str, str], str]) -> str:
    """An empty database for a store, once of each kind: a test that takes it runs on SQLite and on PostgreSQL."""
    return fresh_url(request.param, "saga")


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest, fresh_url: Callable[[str, str], str]) -> str:
    """An empty database for a target of effects, once of each kind, never the store's own."""
    return fresh_url(request.param, "target")
