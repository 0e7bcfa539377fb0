"""The store in PostgreSQL: psycopg 3, with limits on every session so that a stopped worker holds up nobody."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from math import inf
from time import monotonic

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from saga_engine.errors import OutcomeUnknown, StoreUnreachable
from saga_engine.failpoints import hit
from saga_engine.store import trouble
from saga_engine.store.compiled import Compiled, drive
from saga_engine.store.patience import Patience
from saga_engine.store.serverclock import ServerClock
from saga_engine.store.transactions import Store, swallowed
from saga_engine.store.wake import CHANNEL, Ear, Notifications

NAMES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
CONNECT_SECONDS = 10
# A session that was just in use is not asked whether it is there: what fails is begun anew.
IDLE_SECONDS = 1.0
# How soon the server ends the statement of a client that is gone.
CHECK_SECONDS = 2
# A busy disk may keep a COMMIT for seconds, however short the lease is.
PATIENCE_SECONDS_LEAST = 5.0
_NAME_BYTES_MAX = 63

_clock = Compiled(select(func.clock_timestamp()))
_NOTIFY = f"NOTIFY {CHANNEL}"


class PostgresStore(Store):
    """A PostgreSQL database (14 or newer). Writers run at READ COMMITTED and lock rows, in the order of PROTOCOL."""

    dialect = "postgresql"
    has_round_trips = True

    def __init__(self, url: str, reader: Engine, writer: Engine, patience: Patience) -> None:
        super().__init__(url, reader, writer)
        self._patience = patience
        self._telling = threading.Lock()
        self._asked = itertools.count(1)
        self._told = 0
        self._server = ServerClock()

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """Without a transaction: each statement is one, and costs one round trip instead of three."""
        with self._only_one(), self._plain_errors(), self._by_itself() as db:
            yield db

    @contextmanager
    def write_at_once(self) -> Iterator[Connection]:
        """One round trip instead of three. The answer to the statement is the answer to its COMMIT."""
        with self._only_one(), self._plain_errors(), self._by_itself() as db:
            hit("store.write.begun")
            try:
                yield db
            except DBAPIError as error:
                if trouble.refused_commit(error):
                    raise
                raise OutcomeUnknown(url=self.url, reason=trouble.reason(error)) from error
            hit("store.write.after_commit")

    def clock(self, db: Connection) -> datetime:
        """The server's clock, not the transaction's: clock_timestamp(). Not asked for each time."""
        return self._server.now(lambda: _asked(db))

    def now(self) -> datetime:
        """The same, mostly without a transaction."""
        return self._server.now(self._asked_alone)

    def _asked_alone(self) -> datetime:
        with self.glance() as db:
            return _asked(db)

    def tell_due(self) -> None:
        """NOTIFY too: one for all threads that wait to say so.

        In a transaction of its own: within theirs, commits would queue for the one lock that NOTIFY takes.
        """
        super().tell_due()
        mine = next(self._asked)
        with self._telling, suppress(SQLAlchemyError):
            if mine > self._told:
                self._told = next(self._asked)  # whoever asked until now has committed before
                with self._by_itself() as db:
                    drive(db, _NOTIFY, ())

    @contextmanager
    def _by_itself(self) -> Iterator[Connection]:
        """A session in which each statement is a transaction by itself.

        An engine of SQLAlchemy with this option takes three times as long to lend and to take back a connection.
        """
        with self._writer.connect() as db:
            session = db.connection.dbapi_connection
            assert session is not None
            session.autocommit = True
            try:
                yield db
            finally:
                if not db.invalidated:
                    session.autocommit = False

    def _listener(self) -> Ear:
        db = self._writer.connect()
        db.detach()  # it is the listener's: the pool lends it to nobody else
        return Notifications(self.url, db.connection.dbapi_connection)

    def unhurried(self) -> AbstractContextManager[None]:
        """Without the limit for the client; those of the server stay."""
        return self._patience.unlimited()

    def _check_still_open(self, db: Connection) -> None:
        # COMMIT of a failed transaction is answered with ROLLBACK, and psycopg takes that for success.
        driver = db.connection.dbapi_connection
        assert driver is not None
        if driver.info.transaction_status.name == "INERROR":
            raise swallowed()

    def left_to_parent(self) -> None:
        """Nothing: libpq's wrapper leaves a connection alone that another process opened."""


def _asked(db: Connection) -> datetime:
    ((now,),) = _clock.execute(db, {})
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def open_postgres(url: URL, *, lease_seconds: float, wait_seconds: float, connections_max: int) -> PostgresStore:
    """Open the store in the database that *url* names, and connect once to see that it answers.

    Raises StoreUnreachable for a bad address, a refused connection, a wrong password, a missing database or driver.
    """
    shown = url.set(query={}).render_as_string(hide_password=True)
    # A password with a bare @ in it would be taken for a host, and be printed as one.
    if "@" in (url.host or ""):
        raise StoreUnreachable(url=f"{url.drivername}://…", reason="write @ in a password as %40, / as %2F, : as %3A")
    options = f"{url.query.get('options', '')} {session_options(lease_seconds)}".strip()
    try:
        writer = create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="READ COMMITTED",
            hide_parameters=True,  # row values stay out of errors
            use_native_hstore=False,  # saves a round trip for each connection
            pool_use_lifo=True,  # one session that knows the statements is better than ten that do not
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=wait_seconds,
            connect_args={
                "options": options,
                "application_name": f"saga_engine {socket.gethostname()}:{os.getpid()}"[-_NAME_BYTES_MAX:],
                "connect_timeout": CONNECT_SECONDS,
                "tcp_user_timeout": _milliseconds(lease_seconds),
                **keepalives(lease_seconds),
            },
        )
    except ModuleNotFoundError as error:
        reason = f"the module {error.name} is not installed: pip install 'saga-engine[postgres]'"
        raise StoreUnreachable(url=shown, reason=reason) from error
    # Several statements of one read must see one moment, as they do on SQLite; read only, so it cannot conflict.
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    patience = Patience(max(lease_seconds, PATIENCE_SECONDS_LEAST))
    event.listen(writer, "connect", patience.bound)
    event.listen(writer, "checkin", _left)
    event.listen(writer, "checkout", partial(_taken, writer))
    store = PostgresStore(shown, reader, writer, patience)
    try:
        with store.read():
            pass
    except BaseException:
        store.close()
        raise
    return store


def _left(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["left"] = monotonic()


def _taken(engine: Engine, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask a session that has been idle whether it is still there; the pool makes another one where it is not.

    An interrupt may have left it without transactions (``_by_itself``).
    """
    if connection.autocommit:
        connection.autocommit = False
    if monotonic() - record.info.get("left", inf) < IDLE_SECONDS:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def session_options(lease_seconds: float) -> str:
    """The settings that every session starts with, as libpq's `options`.

    A worker that is stopped in a transaction loses it after a third of the lease; who waits for its rows waits
    longer than that, so that the wait ends with the row and not with an error. Statements are short and find their
    rows by an index: each is planned once, and a plan made while a table was small must not stay a scan when it grows.
    """
    limits = {
        "default_transaction_isolation": "read\\ committed",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "idle_in_transaction_session_timeout": _milliseconds(lease_seconds / 3),
        "lock_timeout": _milliseconds(lease_seconds * 2 / 3),
        "tcp_user_timeout": _milliseconds(lease_seconds),
        "client_connection_check_interval": _milliseconds(CHECK_SECONDS),
    }
    return " ".join(f"-c {name}={value}" for name, value in limits.items())


def keepalives(lease_seconds: float) -> dict[str, int]:
    """libpq's settings that notice a server which is gone while its answer is awaited: within a lease or so.

    TCP's own begin to ask after two hours.
    """
    third = max(1, round(lease_seconds / 3))
    return {"keepalives": 1, "keepalives_idle": third, "keepalives_interval": third, "keepalives_count": 2}


def _milliseconds(seconds: float) -> int:
    # 0 would switch the limit off.
    return max(1, round(seconds * 1000))
