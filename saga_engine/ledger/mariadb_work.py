"""Keeps the work on MariaDB inside its transaction, which many statements there end by themselves.

Three looks. A statement that is known to commit is refused before it is sent. After each statement the server's own
flags tell whether a transaction is still open, and whether it wrote where nothing can be taken back. At the end a
savepoint from the beginning must still be there: whatever ended the transaction, in a procedure, in a COMMIT AND CHAIN,
behind SQLAlchemy's back, has taken it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from saga_engine.failpoints import hit
from saga_engine.ledger.database import Ended, Stays
from saga_engine.ledger.mariadb_errors import NO_SAVEPOINT, code

COMMITS: Final = re.compile(
    r"""
    (?> \s+ | /\*(?!M?!).*?\*/ | --(?=\s)[^\n]*\n | \#[^\n]*\n )*+  # comments, but for those that are executed
    (?: /\*M?!\d*\s* )?
    (?: COMMIT | ROLLBACK (?! \s+ (?:WORK\s+)? TO\b) | BEGIN (?! \s+ NOT\b) | START | XA
      | CREATE (?! (?:\s+OR\s+REPLACE)? \s+ TEMPORARY\b) | DROP (?! \s+ TEMPORARY\b) | ALTER | RENAME | TRUNCATE
      | LOCK | GRANT | REVOKE | FLUSH | RESET | INSTALL | UNINSTALL
      | (?:ANALYZE | CHECK | OPTIMIZE | REPAIR) \s+ (?:\w+\s+)? TABLES?
      | SET \s [^;]*? \b AUTOCOMMIT (?= \s*:?= ) | SET \s+ PASSWORD
    ) \b
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""Statements that end a transaction. What it does not know is found out afterwards."""
REFUSED: Final = (
    "that was refused, and nothing was kept (on MariaDB DDL commits by itself: give it a step of its own, with"
    " .verified(probe))"
)
COMMITTED: Final = "what it committed is there, and its part is in doubt"

IN_TRANSACTION: Final = 1
"""Of the server's status flags, which come with every answer."""
WROTE_FOR_GOOD: Final = re.compile(rb"\x05\x09\x08[TI]..w", re.DOTALL)
"""A report of the session tracker: type 5, the state of the transaction, eight letters of which the fourth is a write
to a table without transactions. https://mariadb.com/kb/en/session_track_transaction_info/"""

SAVEPOINT: Final = "SAVEPOINT saga_work"
BACK_TO_IT: Final = "ROLLBACK TO SAVEPOINT saga_work"
LET_GO_OF_IT: Final = "RELEASE SAVEPOINT saga_work"
REPORT: Final = "SET SESSION session_track_transaction_info = 'CHARACTERISTICS'"
"""The server answers with the whole state; otherwise it only tells what has changed, and not after a SELECT."""


@contextmanager
def watched(db: Connection) -> Iterator[None]:
    """Raise ``Ended`` if the block ends the transaction of *db* or tries to, ``Stays`` if it writes beside it."""
    db.exec_driver_sql(SAVEPOINT)
    watch = _Watch(db)
    with watch.listening():
        try:
            yield
        except Exception as error:
            watch.failed(error)
            raise
        watch.returned()


def unwatch(driver: Any) -> None:  # noqa: ANN401  PyMySQL's own, an extra
    """Look at no answer of this connection any more: the work has closed it, and so given it back."""
    vars(driver).pop("_read_query_result", None)


class _Watch:
    def __init__(self, db: Connection) -> None:
        self._db = db
        self._driver: Any = db.connection.driver_connection
        self._ended: str | None = None
        self._wrote_for_good = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of each statement before it goes to the driver, and of each answer of the server.

        Of answers also where one call makes several statements (executemany) or one statement has several answers
        (CALL), and of those that the work gets from the driver itself: PyMySQL reads them all in one place.
        """
        read = self._driver._read_query_result  # noqa: SLF001  see above

        def read_and_look(unbuffered: bool = False) -> object:  # noqa: FBT001, FBT002  as PyMySQL has it
            found = read(unbuffered)
            self._look()
            return found

        self._driver._read_query_result = read_and_look  # noqa: SLF001  see above
        event.listen(self._db, "before_cursor_execute", self._refuse)
        try:
            yield
        finally:
            event.remove(self._db, "before_cursor_execute", self._refuse)
            unwatch(self._driver)

    def failed(self, error: Exception) -> None:
        """Raise what is worse than *error*; return if nothing is."""
        if self._ended is not None:
            raise Ended(self._ended) from error
        if not self._wrote_for_good:
            # That the transaction is gone says nothing here: a deadlock ends it, and is the error itself.
            with suppress(SQLAlchemyError, Ended, Stays):
                self._db.exec_driver_sql(REPORT)
        if self._wrote_for_good:
            self._keep_intention()
            raise Stays from error

    def returned(self) -> None:
        """Raise what the work has hidden."""
        if self._ended is not None:
            raise Ended(self._ended)
        if not self._wrote_for_good:
            with suppress(Stays):
                self._db.exec_driver_sql(REPORT)
        if self._wrote_for_good:
            self._keep_intention()
            raise Stays
        self._at_savepoint(LET_GO_OF_IT)

    def _refuse(self, _db: Connection, _cursor: object, statement: str, *_: object) -> None:
        if COMMITS.match(statement):
            self._ended = REFUSED
            raise Ended(REFUSED)

    def _look(self) -> None:
        if WROTE_FOR_GOOD.search(self._driver._result.message or b""):  # noqa: SLF001  nowhere else
            self._wrote_for_good = True
            raise Stays
        if not self._driver.server_status & IN_TRANSACTION:
            self._ended = COMMITTED
            raise Ended(COMMITTED)

    def _keep_intention(self) -> None:
        """Take back what can be, and leave the part in doubt: tried again, it would write a second time."""
        self._at_savepoint(BACK_TO_IT)
        hit("ledger.part.before_doubt")
        self._driver.commit()
        hit("ledger.part.in_doubt")

    def _at_savepoint(self, statement: str) -> None:
        try:
            self._db.exec_driver_sql(statement)
        except DBAPIError as error:
            if code(error) == NO_SAVEPOINT:
                raise Ended(COMMITTED) from error
            raise
