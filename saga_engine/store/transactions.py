"""One transaction on the store: begun, committed or taken back, with every driver error said in our words."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from traceback import clear_frames
from typing import ClassVar
from weakref import WeakSet

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import RootTransaction
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from saga_engine.errors import OutcomeUnknown, StoreBusy, StoreError
from saga_engine.failpoints import hit
from saga_engine.store import trouble
from saga_engine.store.wake import Ear


class Store(ABC):
    """The engine's own database: one for all threads of a process, never used after a fork.

    A thread has one transaction open at a time. In TRUNCATE mode a reader blocks the commit of its own thread, so a
    second one is a bug here, on both databases.
    """

    dialect: ClassVar[str]
    one_writes: ClassVar[bool] = False
    """Whether writers wait for each other, whatever they write."""
    has_round_trips: ClassVar[bool] = False
    """Whether BEGIN and COMMIT are worth saving: a statement may be a transaction (``glance``, ``write_at_once``)."""

    def __init__(self, url: str, reader: Engine, writer: Engine) -> None:
        self.url = url
        """Where it is, without password and query: fit for logs and errors."""
        self._reader = reader
        self._writer = writer
        self._process = os.getpid()
        self._this_thread = threading.local()
        self._ears: set[Ear] = set()
        _open.add(self)

    def read(self) -> AbstractContextManager[Connection]:
        """A read-only transaction that sees one moment of the store. Keep it short: it may hold up a commit."""
        return self._reads(self._reader)

    def glance(self) -> AbstractContextManager[Connection]:
        """The same for a single statement, which sees one moment by itself: BEGIN and COMMIT may be saved."""
        return self.read()

    @contextmanager
    def _reads(self, reader: Engine) -> Iterator[Connection]:
        with self._only_one(), self._plain_errors(), reader.connect() as db:
            transaction = db.begin()
            try:
                yield db
            except BaseException as error:
                _take_back(db, transaction, error)
                raise
            _leave(db, transaction)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed when the block ends well, else taken back.

        Raises OutcomeUnknown when the answer to COMMIT was lost: ask under the same lock (a row lock, a unique key)
        what became of it.
        """
        with self._only_one(), self._alone(), self._plain_errors(), self._writing() as db:
            transaction = db.begin()
            try:
                hit("store.write.begun")
                yield db
                self._check_still_open(db)
                hit("store.write.before_commit")
            except BaseException as error:
                _take_back(db, transaction, error)
                raise
            self._commit(transaction)
            hit("store.write.after_commit")

    @contextmanager
    def write_at_once(self) -> Iterator[Connection]:
        """A single statement that writes, and is a transaction by itself: no BEGIN, no COMMIT. Errors are as in write.

        Where it makes no difference it is a transaction like any other.
        """
        with self.write() as db:
            yield db

    @abstractmethod
    def clock(self, db: Connection) -> datetime:
        """The database's own time now, aware, in UTC: it moves on within a transaction."""

    def now(self) -> datetime:
        """The same outside of a transaction."""
        with self.read() as db:
            return self.clock(db)

    def ahead(self) -> timedelta:
        """By how much a clock was set forward that the store's time does not follow yet: timers wait (W18)."""
        return timedelta(0)

    @contextmanager
    def listening(self) -> Iterator[Ear]:
        """Hear when something may have come due, from this process or another. Raises when it is deaf."""
        with self._plain_errors():
            ear = self._listener()
            self._ears.add(ear)
            try:
                yield ear
            finally:
                self._ears.discard(ear)
                ear.close()

    def tell_due(self) -> None:
        """Say that something has come due, after its commit: a hint, which may be lost. Raises nothing."""
        for ear in list(self._ears):
            ear.poke()

    @abstractmethod
    def _listener(self) -> Ear:
        """An ear at this database."""

    def unhurried(self) -> AbstractContextManager[None]:
        """A block whose statements may take as long as they take: a schema is made on a store of any size."""
        return nullcontext()

    def close(self) -> None:
        """Let go of connections and locks. Threads that still use the store get errors."""
        if os.getpid() == self._process:
            self._reader.dispose()
            self._writer.dispose()
        _open.discard(self)

    def _alone(self) -> AbstractContextManager[None]:
        """What a writer holds around its transaction. PostgreSQL needs nothing: it locks rows."""
        return nullcontext()

    def _writing(self) -> AbstractContextManager[Connection]:
        """A connection for one write."""
        return self._writer.connect()

    @abstractmethod
    def _check_still_open(self, db: Connection) -> None:
        """Raise when a failed statement has ended the transaction and the caller went on as if nothing happened.

        COMMIT would then say yes and keep nothing.
        """

    @abstractmethod
    def left_to_parent(self) -> None:
        """Called in a forked child: drop what the child must not hold on to."""

    def _commit(self, transaction: RootTransaction) -> None:
        try:
            transaction.commit()
        except DBAPIError as error:
            # SQLite's transaction is still open after a COMMIT that it refused, and the pool would not look.
            transaction.connection.invalidate()
            if trouble.refused_commit(error):
                raise
            raise OutcomeUnknown(url=self.url, reason=trouble.reason(error)) from error

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise StoreError(
                f"The store {self.url} was opened by process {self._process}; this is process {os.getpid()}, forked "
                "from it. Connections and locks do not survive a fork: open the store again here."
            )
        assert not getattr(self._this_thread, "busy", False), "this thread has a transaction open already: end it first"
        self._this_thread.busy = True
        try:
            yield
        finally:
            self._this_thread.busy = False

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            known = trouble.explain(error, self.url)
            if known is None:
                raise
            raise known from error
        except PendingRollbackError as error:
            raise swallowed() from error
        except PoolTimeout as error:
            raise StoreBusy(url=self.url, reason="all connections of this process are in use") from error


def swallowed() -> StoreError:
    """The error for a transaction that had ended before its COMMIT."""
    return StoreError(
        "A failed statement ended this transaction, its error was swallowed, and the block went on. Nothing was "
        "written: let errors of the store leave the block."
    )


def _take_back(db: Connection, transaction: RootTransaction, error: BaseException) -> None:
    # Whoever keeps the error keeps the frames that it came through, with cursors that have rows left: and each of
    # those keeps SQLite's lock of a reader, through a rollback and a close of its connection.
    clear_frames(error.__traceback__)
    try:
        transaction.rollback()
    except DBAPIError:
        # What went wrong before is the error to tell; this connection is of no more use.
        db.invalidate()


def _leave(db: Connection, transaction: RootTransaction) -> None:
    """End a transaction that has only read. Not by ROLLBACK, after which psycopg forgets what it has prepared."""
    try:
        transaction.commit()
    except DBAPIError:
        # What was read is read: a connection that is lost now takes nothing from it.
        db.invalidate()


_open: WeakSet[Store] = WeakSet()
_parents: list[Store] = []


def _leave_to_parent() -> None:
    """Runs in every child that Python forks: user code may fork in the middle of our write.

    The child closes its copies of the locks, or they would stay held after kill -9 of the parent. It keeps the
    connections for ever: collecting them would close SQLite files and end sessions that belong to the parent.
    """
    for store in list(_open):
        store.left_to_parent()
        _parents.append(store)


os.register_at_fork(after_in_child=_leave_to_parent)
