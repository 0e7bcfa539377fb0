"""The store in a SQLite file: opened as PROTOCOL Q1 asks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext

from saga_engine.errors import LibraryTooOld, StoreReplaced, StoreUnreachable
from saga_engine.failpoints import hit
from saga_engine.store import files, hostclock
from saga_engine.store.files import Access, Host
from saga_engine.store.foreign import refuse_foreign
from saga_engine.store.hostclock import HostClock
from saga_engine.store.transactions import Store, swallowed
from saga_engine.store.turnstile import Turnstile
from saga_engine.store.wake import Changes, Ear

# How long SQLite itself waits: for a foreign reader that holds up a commit, for a commit that holds up a reader.
BUSY_SECONDS = 10.0
# "SAGA" in the header of the file: `file saga.db` shows it.
APPLICATION_ID = 0x53414741


class SqliteStore(Store):
    """A SQLite file for the processes of one host. Writers queue at the turnstile, then BEGIN IMMEDIATE."""

    dialect = "sqlite"
    one_writes = True

    def __init__(self, url: str, path: Path, turnstile: Turnstile, reader: Engine, writer: Engine) -> None:
        super().__init__(url, reader, writer)
        self._path = path
        self._turnstile = turnstile
        self._identity = _identity(path)
        self._kept: Connection | None = None
        """The writer's connection, between two writes."""
        self._clock = HostClock(partial(turnstile.kept, hostclock.SIZE), turnstile.keep)

    def clock(self, db: Connection) -> datetime:  # noqa: ARG002  no question to the database
        """The host's clock, for a SQLite store has one host; but it never goes back, nor follows a jump at once."""
        return self._clock.now()

    def now(self) -> datetime:
        """The same: to ask it needs no transaction."""
        return self._clock.now()

    def ahead(self) -> timedelta:
        """By how much the host's clock was set forward."""
        return self._clock.ahead()

    def close(self) -> None:
        """Let go of connections and locks, after the writer of this process that is under way."""
        try:
            self._turnstile.close()  # nobody takes the connection any more
            kept, self._kept = self._kept, None
            if kept is not None and os.getpid() == self._process:
                kept.close()
        finally:
            super().close()

    def _listener(self) -> Ear:
        return Changes(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._turnstile.held():
            # A write to a file that nobody will open again would be acknowledged and lost.
            if _identity(self._path) != self._identity:
                raise StoreReplaced(url=self.url)
            with files.system_errors(self.url):
                self._clock.set()
            yield

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """The one connection that writes, under the lock: to lend and to take back one takes as long as a write."""
        db, self._kept = self._kept or self._writer.connect(), None
        try:
            yield db
        except BaseException:
            db.close()
            raise
        if db.invalidated:
            db.close()
        else:
            self._kept = db

    def _check_still_open(self, db: Connection) -> None:
        if db.invalidated:
            raise swallowed()

    def left_to_parent(self) -> None:
        """Close the locks, which stay the parent's."""
        self._turnstile.left_to_parent()


def open_sqlite(
    url: URL,
    *,
    wait_seconds: float,
    connections_max: int,
    access: Access,
    create: bool,
    host: Host,
) -> SqliteStore:
    """Open the store in the file that *url* names; with *create*, a missing file and its directory are made.

    The journal mode is chosen when the file is made and kept: WAL where *host*'s library can share one, else TRUNCATE.
    Raises errors of the StoreError family: LibraryTooOld for a WAL store and an older library.
    """
    path, shown = _path(url), _shown(url)
    with files.system_errors(shown):
        files.prepare(path, shown, access, host, create=create)
        refuse_foreign(path, shown, create=create)
        turnstile = _turnstile(path, shown, access, wait_seconds)
    store = None
    try:
        with turnstile.held(), files.system_errors(shown):
            if not path.exists():
                files.make_database(path, access)
        reader = _engine(partial(_connect, path, host.library, "ON"), "BEGIN", connections_max, wait_seconds)
        writer = _engine(partial(_connect, path, host.library, "OFF"), "BEGIN IMMEDIATE", 1, wait_seconds)
        event.listen(writer, "handle_error", _drop_ended)
        store = SqliteStore(shown, path, turnstile, reader, writer)
        # The first connection is made under the write lock: it chooses the journal, and finds what cannot be written.
        with store.write():
            pass
    except BaseException:
        (store or turnstile).close()
        raise
    return store


def _connect(path: Path, library: tuple[int, int, int], query_only: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",  # rw: a file that has just been removed is not made anew
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # we say BEGIN ourselves, on every Python
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )
    try:
        _choose_journal(connection, path, library)
        # FULL: an acknowledged commit survives a power loss in TRUNCATE and in WAL mode.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA query_only = {query_only}")
    except BaseException:
        connection.close()
        raise
    return connection


def _choose_journal(connection: sqlite3.Connection, path: Path, library: tuple[int, int, int]) -> None:
    """WAL is kept in the file; TRUNCATE is not, so each connection of such a file asks for it."""
    (found,) = connection.execute("PRAGMA journal_mode").fetchone()
    if path.stat().st_size == 0:
        wanted = "wal" if files.wal_is_safe(library) else "truncate"
        _set_journal(connection, wanted)
        hit("store.file.journal_chosen")
        # Gives the file a first page: from now on it is not new, and its journal mode stands.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif found != "wal":
        _set_journal(connection, "truncate")
    elif not files.wal_is_safe(library):
        version = ".".join(map(str, library))
        raise LibraryTooOld(
            f"The store {path} keeps a WAL, which SQLite {version} can corrupt. Open it with a Python whose SQLite is "
            "3.51.3 or newer (or 3.50.7, or 3.44.6), or have one of those run `PRAGMA journal_mode = TRUNCATE` on it."
        )


def _set_journal(connection: sqlite3.Connection, wanted: str) -> None:
    (got,) = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
    if got != wanted:
        raise sqlite3.OperationalError(f"the journal mode is {got} and cannot be made {wanted}")


def _engine(connect: Callable[[], sqlite3.Connection], begin: str, connections_max: int, wait_seconds: float) -> Engine:
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=wait_seconds,
        hide_parameters=True,  # row values stay out of errors
    )
    begin_with(engine, begin)
    return engine


def begin_with(engine: Engine, statement: str) -> None:
    """Begin every transaction of *engine* with *statement*.

    By its dialect and not by an event: with a listener of its own an engine takes half as long again for a connection.
    """

    def do_begin(connection: Any) -> None:  # noqa: ANN401  what a dialect is given
        connection.execute(statement)

    engine.dialect.do_begin = do_begin  # type: ignore[assignment, method-assign]  # its own


def _drop_ended(context: ExceptionContext) -> None:
    """Take the connection away from a block whose transaction SQLite itself has taken back (full, I/O).

    It would commit each statement that follows by itself.
    """
    if context.connection is not None and not _driver(context.connection).in_transaction:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _turnstile(path: Path, url: str, access: Access, wait_seconds: float) -> Turnstile:
    turn = files.open_for_all(path.with_name(path.name + ".turn"), access)
    try:
        lock = files.open_for_all(path.with_name(path.name + ".lock"), access)
    except BaseException:
        os.close(turn)
        raise
    return Turnstile(url, turn, lock, wait_seconds)


def _path(url: URL) -> Path:
    """The absolute path, links followed: two names of one file must find the same locks and the same journal."""
    name = url.database or ""
    if name in {"", ":memory:"} or name.startswith("file:") or url.query:
        raise StoreUnreachable(
            url=_shown(url),
            reason="a store is a file that several processes share: write sqlite:///saga.db, without options",
        )
    if "\0" in name:
        raise StoreUnreachable(url=_shown(url), reason="no file has a NUL in its name")
    return Path(name).resolve()


def _shown(url: URL) -> str:
    """As it was written, without options; SQLAlchemy would show a space as %20."""
    return f"{url.drivername}:///{url.database}" if url.database else f"{url.drivername}://"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _driver(db: Connection) -> sqlite3.Connection:
    driver = db.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
