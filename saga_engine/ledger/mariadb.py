"""MariaDB (10.5 or newer, PyMySQL) as a target. The ledger's tables stand in the database that the URL names."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, MetaData, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolResetState
from sqlalchemy.schema import CreateTable

from saga_engine.failpoints import hit
from saga_engine.ledger.database import LABEL, LEASE_SECONDS, SCHEMA, Database, Trouble
from saga_engine.ledger.mariadb_errors import TROUBLES, code
from saga_engine.ledger.mariadb_rights import missing
from saga_engine.ledger.mariadb_work import unwatch, watched

FOUND_ROWS: Final = 1 << 1
SESSION_TRACK: Final = 1 << 23
"""Of the protocol's client flags: an UPDATE counts the rows that it found; the server tells what a transaction did."""
RESET_CONNECTION: Final = 0x1F
"""A command of the protocol."""

# Consistent reads of a transaction that has waited for a lock would show what was there before it waited.
ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
# sql_mode over what the server has: a value that does not fit, or an engine that is not there, is an error.
SESSION: Final = (
    "SET NAMES utf8mb4, SESSION autocommit = 0, SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''),"
    " 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'), SESSION time_zone = '+00:00',"
    " SESSION completion_type = 'NO_CHAIN', SESSION unique_checks = 1, SESSION foreign_key_checks = 1,"
    " SESSION session_track_transaction_info = 'STATE',"
    # Who waits for a session that hangs outlasts it. The second is the limit of DDL, otherwise a day.
    " SESSION innodb_lock_wait_timeout = {wait}, SESSION lock_wait_timeout = {wait}"
)
IDLE: Final = ", SESSION idle_transaction_timeout = {idle}"

DURABILITY: Final = "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog"

SILENCE: Final = "saga_silence"
"""Execution option: for how long a connection has said nothing."""
PROBES: Final = 3
"""So often the network is asked for a sign of life before a server counts as gone."""
UNFIT: Final = re.compile(r"[^A-Za-z0-9 .:_+-]")
"""What a label may not bring into a comment: the comment's end, and signs that the driver reads."""


class Silence:
    """How long the server waited before the latest statement."""

    def __init__(self) -> None:
        self._heard = monotonic()
        self.seconds = 0.0

    def ends(self) -> None:
        """Note that a statement goes out."""
        self.seconds = monotonic() - self._heard

    def begins(self) -> None:
        """Note that its answer has come."""
        self._heard = monotonic()


class Mariadb(Database):
    """``Database`` for MariaDB. A MySQL server can be connected to, but gets no ledger: nobody has tried it."""

    tick = timedelta(seconds=1)
    ddl_is_transactional = False

    def schema(self, url: URL) -> str:
        """Beside the user's tables: many have rights in one database only."""
        return str(url.database)

    def settings(self, url: URL, lease: timedelta) -> dict[str, Any]:
        """Limits and flags of a connection; those of its session are set by ``listen``."""
        if not url.database:
            raise ValueError("name the database in the URL of a MariaDB target: mariadb+pymysql://USER@HOST/DATABASE")
        flags = str(url.query.get("client_flag", "0"))
        if not flags.isdecimal():
            raise ValueError("client_flag is a number")
        seconds = round(lease.total_seconds())
        return {
            "pool_pre_ping": True,
            "max_overflow": -1,  # the slots of a worker are the bound; no attempt waits for the session of another
            "pool_reset_on_return": None,  # `listen` does it
            "execution_options": {"schema_translate_map": {SCHEMA: self.schema(url)}},
            "connect_args": {
                "client_flag": int(flags) | FOUND_ROWS | SESSION_TRACK,
                "charset": "utf8mb4",
                "program_name": "saga",
                "connect_timeout": seconds,
                "write_timeout": 2 * seconds,
                # No read_timeout: it would end every statement that takes long. `_notice_death` does it.
            },
        }

    def listen(self, engine: Engine, lease: timedelta) -> None:
        """Make each session fit, and anew as it goes back to the pool; label each statement, time the silence."""
        seconds = round(lease.total_seconds())

        @event.listens_for(engine, "connect")
        def begin(connection: Any, _record: object) -> None:  # noqa: ANN401  PyMySQL's own, an extra
            _notice_death(connection, seconds)
            _limit(connection, seconds)

        @event.listens_for(engine, "reset")
        def forget(connection: Any, _record: object, reset: PoolResetState) -> None:  # noqa: ANN401  as above
            unwatch(connection)
            if not reset.terminate_only:
                # Rolls back, and takes away variables, temporary tables and locks. PyMySQL has no method for it.
                connection._execute_command(RESET_CONNECTION, b"")  # noqa: SLF001  as it says
                connection._read_ok_packet()  # noqa: SLF001  as it says
                connection.select_db(engine.url.database)
                _limit(connection, seconds)

        event.listen(engine, "before_cursor_execute", _labelled, retval=True)
        event.listen(engine, "after_cursor_execute", _answered)

    def name_session(self, db: Connection, label: str) -> None:
        """Do nothing: a session has no name here that it could change, its statements carry the label."""

    def begin(self, db: Connection, label: str) -> None:  # noqa: ARG002  its statements carry the label
        """Begin with the first statement, which locks the head."""
        db.execution_options(**{SILENCE: Silence()})
        db.begin()

    @contextmanager
    def watches_transaction(self, db: Connection) -> Iterator[None]:
        """As ``mariadb_work`` says: much is refused, the rest is found out."""
        with watched(db):
            yield

    def trouble(self, db: Connection, error: BaseException) -> Trouble:
        """Look at the error's number; a session that was ended after a lease of silence is told nothing by MariaDB."""
        found = TROUBLES.get(code(error), Trouble.OTHER)
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            found = Trouble.LOST
        return Trouble.IDLE if found is Trouble.LOST and _said_nothing_for_a_lease(db) else found

    def make_tables(self, db: Connection, tables: MetaData) -> None:
        """Make what is missing: each table is committed by itself, the row that is written afterwards tells the end."""
        for table in tables.sorted_tables:
            db.execute(CreateTable(table, if_not_exists=True))
            hit("ledger.create.table")

    def not_durable(self, db: Connection) -> dict[str, str]:
        """Look at the log of InnoDB, and at the binary log where there is one: recovery believes it."""
        flush, log, sync = db.exec_driver_sql(DURABILITY).one()
        return losing(flush, sync if log else 1)

    def missing_rights(self, db: Connection, tables: list[str]) -> list[str]:
        """Let the server look at statements like those of the ledger, and read what was granted."""
        return missing(db, self.schema(db.engine.url), tables)


def losing(flush: int, sync: int) -> dict[str, str]:
    """The two settings and their values, as far as a commit can be lost with them."""
    found = {"innodb_flush_log_at_trx_commit": (flush, (1, 3)), "sync_binlog": (sync, (1,))}
    return {name: str(value) for name, (value, durable) in found.items() if value not in durable}


def _limit(connection: Any, seconds: int) -> None:  # noqa: ANN401  PyMySQL's own, an extra
    with connection.cursor() as cursor:
        for statement in session_of(connection.get_server_info(), seconds):
            cursor.execute(statement)


def session_of(server: str, seconds: int) -> tuple[str, str]:
    """The statements that make a new session fit. MySQL knows no limit for a transaction that is idle."""
    idle = IDLE.format(idle=seconds) if "MariaDB" in server else ""
    return ISOLATION, SESSION.format(wait=2 * seconds) + idle


def _notice_death(connection: Any, seconds: int) -> None:  # noqa: ANN401  PyMySQL's own, an extra
    """Let the kernel end a connection whose server is gone, also while a statement runs that may take hours."""
    sock: socket.socket = connection._sock  # noqa: SLF001  PyMySQL sets SO_KEEPALIVE, and has no way to set the rest
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // PROBES))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)


def _labelled(  # SQLAlchemy's "before_cursor_execute"
    db: Connection,
    _cursor: object,
    statement: str,
    parameters: object,
    _context: object,
    executemany: bool,  # noqa: FBT001  as SQLAlchemy calls it
) -> tuple[str, Any]:
    """Put task and attempt before a statement, as a comment: SHOW PROCESSLIST and the slow log then tell them.

    The driver makes one statement of many rows, if it finds nothing but INSERT … VALUES: that stays as it is.
    """
    options = db.get_execution_options()
    if SILENCE in options:
        options[SILENCE].ends()
    if executemany or LABEL not in options:
        return statement, parameters
    return f"/* saga {UNFIT.sub('_', options[LABEL])} */ {statement}", parameters


def _answered(db: Connection, *_: object) -> None:
    options = db.get_execution_options()
    if SILENCE in options:
        options[SILENCE].begins()


def _said_nothing_for_a_lease(db: Connection) -> bool:
    """MariaDB closes the connection without a word. A tenth of the lease is left for the way to the server."""
    options = db.get_execution_options()
    return SILENCE in options and bool(options[SILENCE].seconds >= 0.9 * options[LEASE_SECONDS])
