"""The databases that steps work on: opened by the name in the settings, once per process."""

from collections.abc import Mapping
from datetime import timedelta
from threading import Lock

import sqlalchemy as sa

from saga_engine.ledger.connect import open_target
from saga_engine.settings import Settings


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
        """The engine of the connection *name*; ``SettingsError`` where nobody has named it."""
        with self._lock:
            if name not in self._open:
                url = self._settings.connection(name).get_secret_value()
                self._open[name] = open_target(name, url, lease=self._lease)
            return self._open[name]

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            for engine in self._open.values():
                engine.dispose()
            self._open.clear()
