"""Where a user's saga is played: a scratch store, copies of its databases, its input, people and events at hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Gate, Row, Run
from saga_engine.errors import SettingsError
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.registry import Registry
from saga_engine.settings import Settings
from saga_engine.settings.values import Exports
from saga_engine.testing.everywhere import tables

PEOPLE: Final = tuple(f"tester-{number}" for number in range(1, 10))
"""Who approves, one after the other: they have every role that the saga's gates ask for."""
STARTER: Final = "tester"
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Database:
    """A SQLite database that runs write to, a copy or the store; and how it was before the first run."""

    here: Path
    before: Path

    def restore(self) -> None:
        """Make it as it was."""
        tables.copy(self.before, self.here)


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a run needs, made in one folder."""

    chart: Chart
    registry: Registry
    input: Mapping[str, Any]
    events: Mapping[str, Mapping[str, Any]]
    settings: Settings
    databases: Mapping[str, Database]
    """By connection. Other connections lead to servers, whose tables are not compared."""
    left_out: tuple[str, ...]
    """Connections of the user's settings that lead to servers, or nowhere: nothing is run there unless asked for."""
    store: Database
    """The scratch store."""
    on_threads: tuple[str, ...] = ()
    """States that ask for a process of their own."""

    def open(self, *, create: bool = False) -> Engine:
        """Open the scratch store."""
        return Engine(settings=self.settings, registry=self.registry, create=create)

    def make(self) -> None:
        """Make store and ledgers. In a process that forks, let a child do it."""
        with self.open(create=True) as engine:
            for name in self.settings.connections:
                engine.targets.make_ledger(name)

    def keep(self) -> None:
        """Remember store and databases as they are now."""
        for database in (self.store, *self.databases.values()):
            tables.copy(database.here, database.before)

    def restore(self) -> None:
        """Make store and databases as they were: what one run has left undone is not for the next one's worker.

        No process may have them open.
        """
        for database in (self.store, *self.databases.values()):
            database.restore()


def scene(  # noqa: PLR0917  what a scene is made of
    folder: Path,
    chart: Chart,
    registry: Registry,
    given: Mapping[str, Any],
    events: Mapping[str, Mapping[str, Any]],
    user: Settings,
    connections: Mapping[str, str],
) -> Scene:
    """Set a scene in the empty *folder*. *connections* are used beside, and instead of, those of the user's settings.

    Of the sagas in *registry* only that of *chart* is played: what others ask of a worker would be had for nothing.
    SQLite files are copied. A server of the settings is left out: it may be the real one; of *connections* it is used.
    Steps that ask for a process of their own are run on threads: a failpoint in another process is neither counted nor
    the place where the process that is watched dies.
    """
    urls: dict[str, str] = {}
    databases: dict[str, Database] = {}
    copied: dict[Path, Database] = {}
    for number, (name, url) in enumerate({**_files(user), **connections}.items()):
        file = _file(name, url)
        urls[name] = url
        if file is not None:
            database = Database(folder / f"target_{number}.db", folder / f"before_{number}.db")
            databases[name] = copied.setdefault(file.resolve(), database)  # one under two names stays one
            if databases[name] is database:
                tables.copy(file, database.here)
            urls[name] = f"sqlite:///{databases[name].here}"
    store = Database(folder / "saga.db", folder / "saga_before.db")
    settings = Settings(
        store=f"sqlite:///{store.here}",
        connections=urls,
        roles=dict.fromkeys(_roles(chart), PEOPLE),
        exports=Exports(dir=folder / "exports"),
        limits=user.limits.model_copy(update={"poll_seconds": POLL_SECONDS}),
    )
    apart = tuple(name for name, row in chart.rows.items() if _on_a_thread(row) is not row)
    alone = Registry()
    played = alone.add(_on_threads(chart.saga)) if apart else alone.add(chart.saga, registry.file_of(chart))
    left_out = tuple(sorted({*user.connections} - {*urls}))
    return Scene(played, alone, given, events, settings, databases, left_out, store, apart)


def _on_threads(saga: Saga[Any, Any]) -> Saga[Any, Any]:
    """The same saga, but that it asks for no process."""
    made = copy.copy(saga)
    made.rows = {state: _on_a_thread(row) for state, row in saga.rows.items()}
    return made


def _on_a_thread(row: Row) -> Row:
    """The row itself, where it asks for no process anyway."""
    match row.activity:
        case Run(isolation="process") as run:
            return replace(row, activity=replace(run, isolation="thread"))
        case _:
            return row


def _files(user: Settings) -> dict[str, str]:
    """The connections of the settings that lead to SQLite files; not those that lead nowhere, which may be unused."""
    found = {}
    for name in user.connections:
        with suppress(SettingsError):
            url = user.connection(name).get_secret_value()
            if _file(name, url) is not None:
                found[name] = url
    return found


def _file(name: str, url: str) -> Path | None:
    """The file of a SQLite database; None for a server."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(f"connection {name}: this is not the URL of a database that SQLAlchemy knows") from None
    return Path(parsed.database or ":memory:") if parsed.get_backend_name() == "sqlite" else None


def _roles(chart: Chart) -> set[str]:
    gates = [row.activity.approval for row in chart.rows.values() if isinstance(row.activity, Gate)]
    return {role for gate in gates for role in (gate.role, *(gate.escalate or ())[:1])}
