"""SQLite, a file, as a target. Its journal mode and its foreign keys stay as the user has them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, event
from sqlalchemy.exc import DBAPIError

from saga_engine.ledger.database import SCHEMA, Database, Ended, Trouble

BEGIN: Final = "saga_begin"
"""Execution option: how a transaction of this connection begins. Reading takes no lock, an effect takes it first."""
SYNCHRONOUS_FULL: Final = 2
LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
REFUSED: Final = "that was refused, and nothing was kept"
ROLLED_BACK: Final = (
    "SQLite had rolled it back by itself after an error; what followed was refused, and nothing was kept"
)
PRIMARY_CODE: Final = 0xFF
"""The lower byte of an extended result code."""


class Sqlite(Database):
    """``Database`` for SQLite."""

    def schema(self, url: URL) -> str:  # noqa: ARG002  the same for every file
        """A file has one schema, and the tables carry a prefix."""
        return "main"

    def settings(self, url: URL, lease: timedelta) -> dict[str, Any]:
        """Open the file anew for each transaction: it is cheap, and nothing is left over from earlier work."""
        if url.database in {None, "", ":memory:"} or "memory" in (url.query.get("mode"), url.query.get("vfs")):
            raise ValueError("a SQLite target must be a file; a database in memory ends with its connection")
        return {
            "poolclass": NullPool,
            "pool_reset_on_return": None,  # closing the file rolls back
            "execution_options": {"schema_translate_map": {SCHEMA: self.schema(url)}},
            # isolation_level None: Python begins nothing by itself, so that DDL is part of the transaction.
            "connect_args": {"isolation_level": None, "timeout": 2 * lease.total_seconds()},
        }

    def listen(self, engine: Engine, lease: timedelta) -> None:  # noqa: ARG002  the settings have it
        """Commit durably whatever the library was built with, and begin as the connection's option says."""
        event.listen(engine, "connect", _commit_durably)
        event.listen(engine, "begin", _begin)

    def name_session(self, db: Connection, label: str) -> None:
        """Do nothing: there is no server to tell."""

    def begin(self, db: Connection, label: str) -> None:  # noqa: ARG002  there is no server to tell
        """Begin with the write lock: a lock that comes later can be refused in the middle of the work."""
        db.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        db.begin()

    @contextmanager
    def watches_transaction(self, db: Connection) -> Iterator[None]:
        """Let SQLite itself refuse every BEGIN, COMMIT and ROLLBACK, whoever says it; savepoints are free.

        Some errors make SQLite roll back by itself (disk full, RAISE(ROLLBACK)); from then on every statement would be
        committed alone, so none is let through. One that the driver has prepared before, and repeats behind
        SQLAlchemy's back, is found out afterwards.
        """
        driver: sqlite3.Connection = db.connection.driver_connection  # type: ignore[assignment]  # typed Any | None
        refused = ""

        def authorize(action: int, *_details: str | None) -> int:
            nonlocal refused
            if action != sqlite3.SQLITE_TRANSACTION and driver.in_transaction:
                return sqlite3.SQLITE_OK
            refused = refused or (REFUSED if driver.in_transaction else ROLLED_BACK)
            return sqlite3.SQLITE_DENY

        def check(*_: object) -> None:
            nonlocal refused
            if not driver.in_transaction:
                refused = refused or ROLLED_BACK
                raise Ended(refused)

        driver.set_authorizer(authorize)
        event.listen(db, "before_cursor_execute", check)
        try:
            yield
        except Exception as error:
            if refused:
                raise Ended(refused) from error
            raise
        finally:
            event.remove(db, "before_cursor_execute", check)
            with suppress(sqlite3.ProgrammingError):  # the work has closed it
                driver.set_authorizer(None)
        if refused:
            raise Ended(refused)
        if not db.closed and not driver.in_transaction:
            raise Ended("what it wrote after that was committed piece by piece")

    def trouble(self, db: Connection, error: BaseException) -> Trouble:  # noqa: ARG002  the error says it all
        """Look at SQLite's result code; an I/O error at COMMIT leaves open whether the journal is gone."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, sqlite3.Error):
            return Trouble.OTHER
        code = getattr(cause, "sqlite_errorcode", 0) & PRIMARY_CODE
        if code in LOCKED:
            return Trouble.BUSY
        if code == sqlite3.SQLITE_IOERR:
            return Trouble.LOST
        return Trouble.NO_TABLE if str(cause).startswith("no such table: main.saga_ledger") else Trouble.OTHER

    def missing_rights(self, db: Connection, tables: list[str]) -> list[str]:  # noqa: ARG002  a file has none of its own
        """Look at the file, and at its folder, where the journal goes."""
        file = Path(str(db.engine.url.database))
        wanted = [path for path in (file, file.parent) if path.exists()]
        return [f"to write {path}" for path in wanted if not os.access(path, os.W_OK)]


def _commit_durably(connection: sqlite3.Connection, _record: object) -> None:
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if synchronous < SYNCHRONOUS_FULL:
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS_FULL}")


def _begin(db: Connection) -> None:
    db.exec_driver_sql(db.get_execution_options().get(BEGIN, "BEGIN"))
