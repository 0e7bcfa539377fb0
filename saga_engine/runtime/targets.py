"""The databases that steps work on: opened by the name in the settings, once per process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from saga_engine import errors
from saga_engine.ledger import schema
from saga_engine.ledger.connect import open_target
from saga_engine.settings import Settings
from saga_engine.store import trouble


class Targets:
    """Engines by connection name. Secrets are resolved here, at first use, and go no further."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lease = timedelta(seconds=settings.limits.lease_seconds)
        self._open: dict[str, sa.Engine] = {}
        self._lock = Lock()

    @property
    def names(self) -> Mapping[str, str]:
        """The connections that the settings name."""
        return self._settings.connections

    def engine(self, name: str) -> sa.Engine:
        """The engine of the connection *name*; ``SettingsError`` where nobody has named it, or it is the store."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(name)
            return self._open[name]

    def url(self, name: str) -> str:
        """The URL behind *name*, with its secret, for a process of ours; refused where ``engine`` is."""
        self.engine(name)
        return self._settings.connection(name).get_secret_value()

    def ledger(self, name: str) -> str | None:
        """The uuid of the connection's ledger, None where it has none; ``ConnectionFailed`` where nobody answers."""
        with plain_errors(name):
            return schema.identity(self.engine(name))

    def not_durable(self, name: str) -> dict[str, str]:
        """The settings of the connection's server with which it can lose an effect, and their values."""
        with plain_errors(name):
            return schema.not_durable(self.engine(name))

    def make_ledger(self, name: str) -> str:
        """Make the ledger of the connection where there is none; its uuid. Refused, by name, for want of rights."""
        with plain_errors(name):
            engine = self.engine(name)
            if schema.identity(engine) is None and (missing := schema.privileges(engine)):
                raise errors.LedgerError(f"the ledger of {name} cannot be made: {'; '.join(missing)}")
            return schema.create(engine)

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            for engine in self._open.values():
                engine.dispose()
            self._open.clear()

    def _opened(self, name: str) -> sa.Engine:
        engine = open_target(name, self._settings.connection(name).get_secret_value(), lease=self._lease)
        self._refuse_store(name, engine.url)
        return engine

    def _refuse_store(self, name: str, url: sa.URL) -> None:
        """A step that wrote to the store's file would wait for the engine's own lock, and might drop its tables."""
        here, there = _file(url), _file(sa.make_url(self._settings.store_url().get_secret_value()))
        if here is not None and there is not None and here.samefile(there):
            raise errors.SettingsError(
                f"connection {name}: {here} is the engine's own store; tables are moved from and to other databases"
            )


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """A driver's error in one line, without the values that it may hold."""
    try:
        yield
    except DBAPIError as error:
        raise errors.ConnectionFailed(connection=name, reason=trouble.reason(error)) from None


def _file(url: sa.URL) -> Path | None:
    """The file of a SQLite database, by whatever name; None where there is none (yet)."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(unquote(url.database.removeprefix("file:")) if url.database.startswith("file:") else url.database)
    return path if path.exists() else None
