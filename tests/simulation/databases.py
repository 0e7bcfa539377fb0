"""The databases of a simulated world: the real statements on SQLite in memory, made from an image in no time.

One thread runs the whole world, so no two transactions are ever open at once, and a file or its locks would add
nothing but time; what they add is what the kill and the store tests are for. COMMITs are lost here, before and after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import RootTransaction
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from saga_engine import errors
from saga_engine.domain.chart import Chart
from saga_engine.ledger import schema
from saga_engine.ledger.connect import open_target
from saga_engine.ledger.database import LEASE_SECONDS, NAME
from saga_engine.ledger.sqlite import Sqlite
from saga_engine.store import definitions
from saga_engine.store.connect import open_store
from saga_engine.store.prepare import prepare
from saga_engine.store.sqlite import begin_with
from saga_engine.store.transactions import Store
from saga_engine.store.wake import Ear

if TYPE_CHECKING:
    from tests.simulation.world import World

TARGET: Final = "dw"
STORE: Final = "the store"
BUSINESS: Final = "CREATE TABLE booked (task text NOT NULL, part text NOT NULL)"


class SimulatedStore(Store):
    """A store that belongs to the world: its clock, and what goes wrong at its boundaries."""

    dialect = "sqlite"

    def __init__(self, world: World, image: bytes) -> None:
        self.connection = _STORE.takes(_restored(image))
        self.connection.execute("PRAGMA foreign_keys = ON")
        super().__init__("simulated", _STORE.engine, _STORE.engine)
        self._world = world

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self._world.boundary()
        with super().read() as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self._world.boundary()
        if self._world.is_away():
            raise errors.StoreBusy(url=self.url, reason="simulated")
        with self._world.audit(self.connection), super().write() as db:
            yield db
        self._world.boundary()

    def clock(self, db: sa.Connection) -> datetime:  # noqa: ARG002  no question to the database
        return self._world.clock()

    def _commit(self, transaction: RootTransaction) -> None:
        match self._world.fate_of_commit():
            case "kept":
                super()._commit(transaction)
            case "kept, not told":
                super()._commit(transaction)
                raise errors.OutcomeUnknown(url=self.url, reason="simulated")
            case _:
                transaction.rollback()
                raise errors.OutcomeUnknown(url=self.url, reason="simulated")

    def _check_still_open(self, db: sa.Connection) -> None:
        pass

    def left_to_parent(self) -> None:
        pass

    def _listener(self) -> Ear:
        raise errors.StoreUnreachable(url=self.url, reason="simulated workers look when it is their turn")


def target(world: World, image: bytes) -> sa.Engine:
    """A target with a ledger and the business's table, as ``open_target`` makes one, in memory."""
    _TARGET.takes(_restored(image))
    _TARGET.fate_of_commit = world.fate_of_commit
    return _TARGET.engine


class Room:
    """An engine that all worlds share, one after the other: it keeps what SQLAlchemy has compiled, and no data."""

    def __init__(self, **options: Any) -> None:
        self._connection: sqlite3.Connection | None = None
        self.fate_of_commit: Callable[[], str] = lambda: "kept"
        self.engine = sa.create_engine(
            "sqlite+pysqlite:///simulated",
            creator=lambda: self._connection,
            poolclass=StaticPool,
            execution_options=options,
        )

    def takes(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """From now on this is the database."""
        self.engine.dispose()
        if self._connection is not None:
            self._connection.close()
        self._connection = connection
        return connection

    def loses_commits(self, db: sa.Connection) -> None:
        """Called before the driver commits: here it may do so and nobody hears, or it may not."""
        fate = self.fate_of_commit()
        if fate == "kept":
            return
        driver: Any = db.connection.driver_connection
        driver.execute("COMMIT" if fate == "kept, not told" else "ROLLBACK")
        lost = sqlite3.OperationalError("simulated")
        lost.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise OperationalError("COMMIT", None, lost)


_STORE: Final = Room()
begin_with(_STORE.engine, "BEGIN IMMEDIATE")
_TARGET: Final = Room(**{"schema_translate_map": {"saga_ledger": "main"}, NAME: TARGET, LEASE_SECONDS: 15.0})
Sqlite().listen(_TARGET.engine, timedelta(seconds=15))
sa.event.listen(_TARGET.engine, "commit", _TARGET.loses_commits)


def booked(engine: sa.Engine) -> list[tuple[str, str]]:
    """The rows of the business, as the model has them: ``(task, part)``."""
    with engine.connect() as db:
        return [(task, part) for task, part in db.execute(sa.text("SELECT task, part FROM booked"))]


@dataclass(frozen=True, slots=True)
class Images:
    """A store with its schema and some sagas, a target with its ledger, and the rows of the sagas by digest."""

    store: bytes
    target: bytes
    pins: dict[str, int]


def images(charts: Sequence[Chart]) -> Images:
    """What every world begins with; the names of store and ledger are always the same."""
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/saga.db")
        prepare(store)
        with store.write() as db:
            pins = definitions.register(db, charts)
            definitions.identity(db, store.clock(db))
            db.execute(sa.text("UPDATE saga_store SET uuid = :uuid"), {"uuid": STORE})
        store.close()
        engine = open_target(TARGET, f"sqlite:///{folder}/target.db")
        schema.create(engine)
        with engine.begin() as db:
            db.execute(sa.text("UPDATE saga_ledger SET uuid = 'the ledger'"))
            db.execute(sa.text(BUSINESS))
        engine.dispose()
        return Images(_image(Path(folder) / "saga.db"), _image(Path(folder) / "target.db"), pins)


def _image(file: Path) -> bytes:
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")  # an image of a WAL store cannot live in memory
        return connection.serialize()
    finally:
        connection.close()


def _restored(image: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.deserialize(image)
    return connection
