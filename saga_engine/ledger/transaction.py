"""One transaction in the target: begun, tried again as a whole, committed, asked after when its end is unknown.

A try begins at the head row. That is also how an unknown COMMIT is asked after: the part is inserted before anything
else, so its unique key waits for a transaction that is still under way, and then tells whether it has committed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, event
from sqlalchemy.exc import DBAPIError

from saga_engine import failpoints
from saga_engine.errors import CommitUnknown, LedgerMissing, TargetBusy, TransactionEnded, WorkIdle, WriteStays
from saga_engine.ledger import connect
from saga_engine.ledger.database import LABEL, Ended, Stays, Trouble

T = TypeVar("T")

TRIES_MAX: Final = 6
PAUSE_SECONDS: Final = 0.1
"""Before the second try; doubled before each further one, and up to half of it taken off at random."""


class _Again(Exception):
    """Nothing was committed, and the same transaction may succeed now."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Unreachable(_Again):
    """The target did not answer; worth another try only while a COMMIT is in doubt."""


class _InDoubt(_Again):
    """The connection was lost at COMMIT."""


def run(engine: Engine, label: str, point: str, once: Callable[[Connection], T]) -> T:
    """Return what *once* returns, its transaction committed. *once* may be called again from its beginning.

    *label* names task and attempt to the server and in errors, *point* the failpoints. Tried again: deadlocks,
    serialization failures, connections lost outside the user's work. ``TargetBusy``: a lock was not given in time.
    ``CommitUnknown``: the connection was lost at COMMIT and nobody answers any more. Whatever else *once* raises
    comes out as it is.
    """
    doubt: Exception | None = None
    for tried in range(1, TRIES_MAX + 1):
        try:
            return _try(engine, label, point, once)
        except _Again as again:
            broken = again
        if isinstance(broken, _InDoubt):
            doubt = broken.error
        elif doubt is None and (tried == TRIES_MAX or isinstance(broken, _Unreachable)):
            raise broken.error
        if tried < TRIES_MAX:
            time.sleep(PAUSE_SECONDS * 2 ** (tried - 1) * random.uniform(0.5, 1))  # noqa: S311  jitter, no secret
    raise CommitUnknown(connection=connect.name_of(engine), what=label) from doubt


def execute(db: Connection, statement: Executable, **values: object) -> CursorResult[Any]:
    """Execute a statement of the ledger itself; its troubles become errors that say what they mean here."""
    failpoints.hit("ledger.statement")
    try:
        return db.execute(statement, values)
    except DBAPIError as error:
        _translate(db, error)
        if connect.database_of(db.engine).trouble(db, error) is Trouble.NO_TABLE:
            raise LedgerMissing(connection=connect.name_of(db)) from error
        raise


def call(db: Connection, work: Callable[[Connection], T]) -> T:
    """Call the user's *work* on the open transaction, which it must leave open: else ``TransactionEnded``.

    ``WriteStays``: it wrote where nothing can be taken back.
    """
    returned = False
    try:
        with connect.database_of(db.engine).watches_transaction(db), _refuses_commit(db):
            result = work(db)
            returned = True
    except Ended as ended:
        raise TransactionEnded(connection=connect.name_of(db), what=connect.label_of(db), kept=ended.kept) from ended
    except Stays as stays:
        raise WriteStays(connection=connect.name_of(db), what=connect.label_of(db)) from stays
    except DBAPIError as error:
        if returned:
            _translate(db, error)
        raise
    return result


@contextmanager
def _refuses_commit(db: Connection) -> Iterator[None]:
    """Refuse db.commit(), db.rollback() and db.close() before they happen, also if the block hides the refusal."""
    refused = False

    def refuse(_db: Connection) -> None:
        nonlocal refused
        refused = True
        raise Ended

    event.listen(db, "commit", refuse)
    event.listen(db, "rollback", refuse)
    try:
        yield
    finally:
        event.remove(db, "commit", refuse)
        event.remove(db, "rollback", refuse)
    if refused:
        raise Ended


def _try(engine: Engine, label: str, point: str, once: Callable[[Connection], T]) -> T:
    with _connection(engine, label) as db:
        failpoints.hit(f"{point}.after_begin")
        try:
            result = once(db)
        except Exception as error:
            _translate(db, error, by_work=True)
            raise
        failpoints.hit(f"{point}.before_commit")
        _commit(db)
        failpoints.hit(f"{point}.after_commit")
        return result


@contextmanager
def _connection(engine: Engine, label: str) -> Iterator[Connection]:
    """A connection that has begun; rolled back and given back at the end, whatever state it is in."""
    try:
        db = engine.connect().execution_options(**{LABEL: label})
    except DBAPIError as error:
        raise _Unreachable(error) from error
    try:
        _begin(db, label)
        yield db
    finally:
        # The connection may be lost already; that must not hide the error that tells why.
        with suppress(DBAPIError):
            db.rollback()
        db.close()


def _begin(db: Connection, label: str) -> None:
    try:
        connect.database_of(db.engine).begin(db, label)
    except DBAPIError as error:
        _translate(db, error)
        raise


def _commit(db: Connection) -> None:
    try:
        db.commit()
    except DBAPIError as error:
        _translate(db, error, lost=_InDoubt)
        raise


def _translate(db: Connection, error: Exception, *, by_work: bool = False, lost: type[_Again] = _Again) -> None:
    """Raise what a trouble means for the whole transaction; return if *error* says it best.

    A lock that the user's work did not get, and a connection that it lost, are a failure of that work.
    """
    lease = connect.lease_of(db)
    match connect.database_of(db.engine).trouble(db, error):
        case Trouble.AGAIN:
            raise _Again(error) from error
        case Trouble.IDLE:
            raise WorkIdle(connection=connect.name_of(db), what=connect.label_of(db), seconds=lease) from error
        case Trouble.BUSY if not by_work:
            raise TargetBusy(connection=connect.name_of(db), what=connect.label_of(db), seconds=2 * lease) from error
        case Trouble.LOST if not by_work:
            raise lost(error) from error
