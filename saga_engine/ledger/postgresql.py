"""PostgreSQL (14 or newer, psycopg 3) as a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    Text,
    bindparam,
    case,
    cast,
    event,
    false,
    func,
    inspect,
    select,
    text,
    true,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolResetState
from sqlalchemy.schema import CreateSchema
from sqlalchemy.sql.functions import Function

from saga_engine.ledger.database import SCHEMA, Database, Ended, Trouble

LABEL_CHARS_MAX: Final = 63
"""NAMEDATALEN - 1: a longer application_name is cut by the server, with a notice."""
CHECK_MILLISECONDS: Final = 1000
"""How soon the server sees, in the middle of a statement, that its client is dead (hazard A2)."""
LEVEL: Final = "-c default_transaction_isolation=read\\ committed"
"""Whatever the database or the role has for others: who waits for a lock must see what was committed meanwhile."""

GIVEN_UP: Final = ("40001", "40P01")
LOCK_NOT_AVAILABLE: Final = "55P03"
IDLE_IN_TRANSACTION: Final = "25P03"
NO_SCHEMA_OR_TABLE: Final = ("3F000", "42P01")
CONNECTION_LOST: Final = ("08", "57P")
"""Classes: the network, and the server that shuts down."""

IDENTITY_TABLE: Final = "saga_ledger"

# Local to the transaction. With synchronous_commit off, a crash of the server could lose an effect that the store
# has recorded as done.
BEGIN: Final = select(
    func.set_config("application_name", bindparam("label"), true()),
    func.set_config(
        "synchronous_commit",
        case(
            (func.current_setting("synchronous_commit") == "off", "on"),
            else_=func.current_setting("synchronous_commit"),
        ),
        true(),
    ),
)
NAME_SESSION: Final = select(func.set_config("application_name", bindparam("label"), false()))
TRANSACTION_ID: Final = select(cast(func.pg_current_xact_id_if_assigned(), Text))

NOT_DURABLE: Final = text(
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting <> 'on'"
)

# DISCARD ALL, but for the prepared statements, of which psycopg keeps count, and in a transaction if need be.
FORGET: Final = """
    CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();
    DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES
"""


class Postgresql(Database):
    """``Database`` for PostgreSQL."""

    def schema(self, url: URL) -> str:  # noqa: ARG002  the same in every database
        """The ledger has a schema of its own."""
        return SCHEMA

    def settings(self, url: URL, lease: timedelta) -> dict[str, Any]:
        """Limits as start-up options: `RESET ALL` goes back to them, whatever the user's work has set."""
        lease_ms = round(lease.total_seconds() * 1000)
        third = max(1, round(lease.total_seconds() / 3))
        limits = {
            "idle_in_transaction_session_timeout": lease_ms,
            # Longer than the limit above: who waits for a session that hangs outlasts it.
            "lock_timeout": 2 * lease_ms,
            "tcp_user_timeout": lease_ms,
            "client_connection_check_interval": CHECK_MILLISECONDS,
        }
        given = url.query.get("options", "")
        options = [
            LEVEL,  # first, so that what the URL says wins
            given if isinstance(given, str) else " ".join(given),
            *(f"-c {name}={value}" for name, value in limits.items()),
        ]
        return {
            "pool_pre_ping": True,
            "max_overflow": -1,  # the slots of a worker are the bound; no attempt waits for the session of another
            "pool_reset_on_return": None,  # `_forget` does it
            "connect_args": {
                "options": " ".join(options),
                "application_name": "saga",
                "connect_timeout": max(2, round(lease.total_seconds())),  # libpq takes 1 for 2
                "tcp_user_timeout": lease_ms,
                # A server that is gone while its answer is awaited: TCP's own probes begin after two hours.
                "keepalives_idle": third,
                "keepalives_interval": third,
                "keepalives_count": 2,
            },
        }

    def listen(self, engine: Engine, lease: timedelta) -> None:  # noqa: ARG002  the settings have it
        """Take from every session, as it goes back to the pool, what the user's work has left in it."""
        event.listen(engine, "reset", _forget)

    def name_session(self, db: Connection, label: str) -> None:
        """Set application_name until the connection goes back to the pool."""
        db.execute(NAME_SESSION, {"label": f"saga {label}"[:LABEL_CHARS_MAX]})
        db.commit()

    def begin(self, db: Connection, label: str) -> None:
        """Begin; the first statement sets application_name and durable commits for this transaction."""
        db.execute(BEGIN, {"label": f"saga {label}"[:LABEL_CHARS_MAX]})

    def reading_committed(self, engine: Engine) -> Engine:
        """At this level, which need not be the user's default."""
        return engine.execution_options(isolation_level="READ COMMITTED")

    @contextmanager
    def watches_transaction(self, db: Connection) -> Iterator[None]:
        """Find out from the server: it gives each transaction one id, and its savepoints none of their own.

        Another id afterwards, or none, means that somebody has ended it. What was committed then cannot be taken
        back, but its part stays "intended", which tells everybody.
        """
        transaction = db.scalar(TRANSACTION_ID)
        yield
        if not db.closed and db.scalar(TRANSACTION_ID) != transaction:
            raise Ended("what it committed is there, and its part is in doubt")

    def trouble(self, db: Connection, error: BaseException) -> Trouble:  # noqa: ARG002  the error says it all
        """Look at the SQLSTATE first, then whether the connection is still there."""
        state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) or ""
        if state in GIVEN_UP:
            return Trouble.AGAIN
        if state == LOCK_NOT_AVAILABLE:
            return Trouble.BUSY
        if state == IDLE_IN_TRANSACTION:
            return Trouble.IDLE
        if state in NO_SCHEMA_OR_TABLE:
            return Trouble.NO_TABLE
        gone = isinstance(error, DBAPIError) and error.connection_invalidated
        return Trouble.LOST if gone or state.startswith(CONNECTION_LOST) else Trouble.OTHER

    def make_tables(self, db: Connection, tables: MetaData) -> None:
        """Make the schema only if it is missing: IF NOT EXISTS asks for the right to create even where it exists."""
        if not inspect(db).has_schema(SCHEMA):
            db.execute(CreateSchema(SCHEMA))
        super().make_tables(db, tables)

    def not_durable(self, db: Connection) -> dict[str, str]:
        """Look at what a session cannot change; synchronous_commit each transaction sets for itself."""
        return {row.name: row.setting for row in db.execute(NOT_DURABLE)}

    def missing_rights(self, db: Connection, tables: list[str]) -> list[str]:
        """Ask the server's own has_..._privilege functions."""
        missing = []
        if db.scalar(select(func.current_setting("transaction_read_only"))) == "on":
            missing.append("to write: this session is read-only, or the server is a standby")
        inspector = inspect(db)
        if not inspector.has_schema(SCHEMA):
            granted = func.has_database_privilege(func.current_database(), "CREATE")
            return missing + _not_granted(db, {"CREATE on the database": granted})
        there = [table for table in tables if inspector.has_table(table, SCHEMA)]
        rights = ["USAGE"] if there else ["USAGE", "CREATE"]
        missing += _not_granted(db, {f"{r} on schema {SCHEMA}": func.has_schema_privilege(SCHEMA, r) for r in rights})
        if there and not missing:  # without USAGE the server does not even tell
            for table in there:
                rights = ["SELECT"] if table == IDENTITY_TABLE else ["SELECT", "INSERT", "UPDATE", "DELETE"]
                name = f"{SCHEMA}.{table}"
                missing += _not_granted(db, {f"{r} on {name}": func.has_table_privilege(name, r) for r in rights})
        return missing


def _not_granted(db: Connection, rights: dict[str, Function[bool]]) -> list[str]:
    return [right for right, granted in rights.items() if not db.scalar(select(granted))]


def _forget(connection: Any, _record: object, reset: PoolResetState) -> None:  # noqa: ANN401  psycopg's own, an extra
    if reset.terminate_only:
        return
    connection.rollback()
    connection.autocommit = True
    connection.execute(FORGET)
    connection.autocommit = False
