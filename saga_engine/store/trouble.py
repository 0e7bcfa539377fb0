"""What a driver's error means for the store: one of our errors, with a reason that holds no row values."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from saga_engine.errors import (
    StoreBusy,
    StoreChanged,
    StoreDamaged,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)

WRONG_OPTION = "connection option"
"""Part of what libpq says of a URL with an option, or a value of one, that it does not know: it has no code for it."""
DUPLICATE = IntegrityError
"""What a unique key raises when two come with one value: the second looks again and finds the first."""

# Result codes: https://www.sqlite.org/rescode.html; extended codes keep the primary one in their lowest byte.
_SQLITE: dict[int, type[StoreError]] = {
    sqlite3.SQLITE_BUSY: StoreBusy,
    sqlite3.SQLITE_PROTOCOL: StoreBusy,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_READONLY: StoreForbidden,
    sqlite3.SQLITE_PERM: StoreForbidden,
    sqlite3.SQLITE_CORRUPT: StoreDamaged,
    sqlite3.SQLITE_NOTADB: StoreDamaged,
    sqlite3.SQLITE_IOERR: StoreUnreachable,
    sqlite3.SQLITE_CANTOPEN: StoreUnreachable,
}
_OTHER_SCHEMA = ("no such table", "no such column", "has no column named")
"""What SQLite has no code for."""
# SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html, whole codes before their classes.
_POSTGRES: dict[str, type[StoreError]] = {
    "40001": StoreBusy,  # serialization_failure
    "40P01": StoreBusy,  # deadlock_detected
    "55P03": StoreBusy,  # lock_not_available
    "53300": StoreUnreachable,  # too_many_connections
    "25P03": StoreUnreachable,  # idle_in_transaction_session_timeout: we were stopped for too long
    "25P04": StoreUnreachable,  # transaction_timeout, of the server's settings
    "57014": StoreBusy,  # query_canceled: a statement_timeout of the role's, or somebody's pg_cancel_backend
    "57P05": StoreUnreachable,  # idle_session_timeout
    "57P01": StoreUnreachable,  # admin_shutdown
    "57P02": StoreUnreachable,  # crash_shutdown
    "57P03": StoreUnreachable,  # cannot_connect_now
    "3D000": StoreUnreachable,  # invalid_catalog_name
    "53100": StoreFull,  # disk_full
    "25006": StoreForbidden,  # read_only_sql_transaction: a standby, or default_transaction_read_only
    "42501": StoreForbidden,  # insufficient_privilege
    "42703": StoreChanged,  # undefined_column
    "42P01": StoreChanged,  # undefined_table
    "XX001": StoreDamaged,  # data_corrupted
    "XX002": StoreDamaged,  # index_corrupted
    "53": StoreBusy,  # insufficient_resources
    "58": StoreUnreachable,  # system_error
    "08": StoreUnreachable,  # connection_exception
    "28": StoreUnreachable,  # invalid_authorization_specification, invalid_password
}


def explain(error: DBAPIError, url: str) -> StoreError | None:
    """The store's own error for *error*; None where it is about the statement (a constraint, a wrong name)."""
    kind = _kind(error)
    return None if kind is None else kind(url=url, reason=reason(error))


def refused_commit(error: DBAPIError) -> bool:
    """True when this answer to COMMIT says that nothing was committed; False when nobody knows.

    PostgreSQL answers ERROR after it has rolled back; FATAL, PANIC and a lost connection may come after the commit
    record (synchronous replication that is cut short does so). SQLite: after an I/O error the commit record may have
    reached the disk.
    """
    code = _sqlite_code(error)
    if code is not None:
        return code != sqlite3.SQLITE_IOERR
    return getattr(getattr(error.orig, "diag", None), "severity_nonlocalized", None) == "ERROR"


def reason(error: DBAPIError) -> str:
    """The driver's primary message in one line: details and parameters are left out, they hold row values."""
    diagnosis = getattr(error.orig, "diag", None)
    primary = getattr(diagnosis, "message_primary", None) or str(error.orig).partition("\n")[0].rstrip(" :")
    name = getattr(error.orig, "sqlite_errorname", None) or sqlstate(error)
    return f"{primary} ({name})" if name else str(primary)


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's code; None from SQLite, and where the server said nothing (a refused or lost connection)."""
    return getattr(error.orig, "sqlstate", None)


def _kind(error: DBAPIError) -> type[StoreError] | None:
    primary = _sqlite_code(error)
    if primary is not None:
        other = primary == sqlite3.SQLITE_ERROR and any(said in str(error.orig) for said in _OTHER_SCHEMA)
        return StoreChanged if other else _SQLITE.get(primary)
    state = sqlstate(error)
    if state is not None:
        gone = StoreUnreachable if error.connection_invalidated else None
        return _POSTGRES.get(state) or _POSTGRES.get(state[:2]) or gone
    # Neither code: libpq itself speaks, of a connection that was refused, lost or closed.
    lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return StoreUnreachable if lost or WRONG_OPTION in str(error.orig) else None


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
