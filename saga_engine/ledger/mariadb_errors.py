"""What MariaDB's error numbers mean: those of the server, and those that PyMySQL gives for the network."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.exc import DBAPIError

from saga_engine.ledger.database import Trouble

NO_SAVEPOINT: Final = 1305
QUOTES_VALUES: Final = (1062, 1064, 1291, 1292, 1300, 1366, 1367, 1411, 1525, 1526, 1557, 1586, 1690, 1761)
"""Of these the message holds what a row, or the statement, holds."""
QUOTED: Final = re.compile(r"'.*'(?= for )|'.*'?|\b\d.*", re.DOTALL)
"""A value, that may hold quotes itself, up to the words that name its column; or all that follows."""

TROUBLES: Final = {
    1213: Trouble.AGAIN,  # deadlock; a Galera node says so for a commit that lost against another node's
    1020: Trouble.AGAIN,  # the record has changed: innodb_snapshot_isolation
    1205: Trouble.BUSY,  # lock wait
    1969: Trouble.BUSY,  # max_statement_time: the statements of the ledger wait for nothing but locks
    3024: Trouble.BUSY,  # the same of MySQL
    1146: Trouble.NO_TABLE,
    1062: Trouble.THERE,
    1047: Trouble.LOST,  # a Galera node that has left its cluster
    1053: Trouble.LOST,  # the server shuts down
    1158: Trouble.LOST,  # the network, up to 1161
    1159: Trouble.LOST,
    1160: Trouble.LOST,
    1161: Trouble.LOST,
    1927: Trouble.LOST,  # killed
    2006: Trouble.LOST,  # the driver could not send, or not receive
    2013: Trouble.LOST,
    2014: Trouble.LOST,
    4031: Trouble.IDLE,  # MySQL says so; MariaDB says nothing
}


def code(error: BaseException) -> int:
    """The number of an error, SQLAlchemy's or the driver's own; 0 where it has none."""
    arguments = (error.orig if isinstance(error, DBAPIError) else error).args  # type: ignore[union-attr]  # never None
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def without_values(error: BaseException) -> str | None:
    """An error of PyMySQL as its number and the server's message, without the values of rows; None for any other."""
    if not (type(error).__module__.startswith("pymysql.") and len(error.args) > 1):
        return None
    message = next(iter(str(error.args[1]).splitlines()), "")
    return f"{code(error)} {QUOTED.sub('…', message, count=1) if code(error) in QUOTES_VALUES else message}"
