"""What one kind of database does in its own way. ``postgresql``, ``mariadb`` and ``sqlite`` fill it in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, MetaData

SCHEMA: Final = "saga_ledger"
"""Where the ledger's tables are, in databases that have schemas; the name of their schema in statements anywhere."""

# Execution options that travel with an engine and its connections.
NAME: Final = "saga_connection"
LEASE_SECONDS: Final = "saga_lease_seconds"
LABEL: Final = "saga_label"


class Trouble(Enum):
    """What an error of the database means for the transaction that it broke."""

    AGAIN = "given up in favour of another transaction (deadlock, serialization): the same one may succeed now"
    BUSY = "waited for a lock as long as it may"
    IDLE = "ended by the server: the session kept a transaction open and said nothing"
    LOST = "the connection is gone; after COMMIT nobody knows"
    NO_TABLE = "a table is not there"
    THERE = "a unique key has this row already"
    OTHER = "what the statement itself did wrong"


class Ended(Exception):
    """The work has tried to end the transaction, or has ended it: *kept* says what became of its writes."""

    def __init__(self, kept: str = "that was refused, and nothing was kept") -> None:
        super().__init__(kept)
        self.kept = kept


class Stays(Exception):
    """The work has written to a table that knows no transactions: nothing takes that write back."""


class Database(ABC):
    """The differences between databases that the ledger has to know. Without state: one object for all targets."""

    tick: timedelta = timedelta(milliseconds=1)
    """What its limits are counted in: a lease is a whole number of these."""
    ddl_is_transactional: bool = True
    """False: each statement of the ledger's making is committed by itself, and a crash leaves half of it."""

    @abstractmethod
    def schema(self, url: URL) -> str:
        """Where the ledger's tables are."""

    @abstractmethod
    def settings(self, url: URL, lease: timedelta) -> dict[str, Any]:
        """Arguments of ``create_engine``: no session keeps a lock, or waits for one, without an end.

        ``ValueError``: such a database cannot be a target.
        """

    @abstractmethod
    def listen(self, engine: Engine, lease: timedelta) -> None:
        """Make every new connection fit: transactional DDL, durable commits, nothing left over from earlier work."""

    @abstractmethod
    def name_session(self, db: Connection, label: str) -> None:
        """Say in the server's list of sessions for which task and attempt this one acts."""

    @abstractmethod
    def begin(self, db: Connection, label: str) -> None:
        """Begin a transaction that will write, and name its session."""

    def reading_committed(self, engine: Engine) -> Engine:
        """The same target, in whose transactions each statement sees what is committed by then.

        Whoever reads after having waited for a lock needs it, whatever level the user's database has by default.
        """
        return engine

    @abstractmethod
    def watches_transaction(self, db: Connection) -> AbstractContextManager[None]:
        """Raise ``Ended``, at the latest at the end of the block, if the driver was told to end the transaction.

        SQLAlchemy's own commit and rollback are refused before they come here. ``Stays``: something was written that
        no rollback takes back; the rest was taken back, and what was written before the block is committed.
        """

    @abstractmethod
    def trouble(self, db: Connection, error: BaseException) -> Trouble:
        """Say what *error*, SQLAlchemy's or the driver's own, means for the transaction of *db*."""

    def make_tables(self, db: Connection, tables: MetaData) -> None:
        """Make the ledger's tables, and their schema where the database has schemas."""
        tables.create_all(db, checkfirst=False)

    def not_durable(self, db: Connection) -> dict[str, str]:  # noqa: ARG002  of a kind that has no such settings
        """The settings with which the server can lose what it has acknowledged, and their values."""
        return {}

    @abstractmethod
    def missing_rights(self, db: Connection, tables: list[str]) -> list[str]:
        """Name the rights that making or writing the ledger would need and this user has not."""
