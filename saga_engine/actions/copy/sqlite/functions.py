"""Functions that SQLite lacks, registered on a connection: canonical texts, and the checksum of rows."""

from __future__ import annotations

import sqlite3
from typing import cast

from sqlalchemy import Connection

from saga_engine.actions.copy import canonical, hashes


class Checksum:
    """The aggregate ``saga_checksum(row)``: the sum of the rows' hashes as text, for it soon exceeds 64 bits."""

    def __init__(self) -> None:
        self._total = 0

    def step(self, row: str) -> None:
        """Add one row."""
        self._total += hashes.row_hash(row)

    def finalize(self) -> str:
        """Return the sum."""
        return str(self._total)


def driver(db: Connection) -> sqlite3.Connection:
    """The driver's own connection, for what SQLAlchemy has no words for."""
    return cast("sqlite3.Connection", db.connection.driver_connection)


def register(db: Connection) -> None:
    """Make the functions known to this connection. Doing so again does no harm."""
    connection = driver(db)
    for name, arguments, function in (
        ("saga_decimal", 1, canonical.decimal_text),
        ("saga_float", 1, canonical.float_bits),
        ("saga_date", 1, canonical.date_text),
        ("saga_time", 1, canonical.time_text),
        ("saga_timestamp", 1, canonical.timestamp_text),
        ("saga_timestamptz", 1, canonical.timestamptz_text),
        ("saga_uuid", 1, canonical.uuid_text),
        ("saga_decimal_fits", 3, canonical.decimal_fits),
        ("saga_fraction_fits", 2, canonical.fraction_fits),
        ("saga_is_utf8", 1, _is_utf8),
        ("saga_hash", 1, hashes.row_hash),
    ):
        connection.create_function(name, arguments, function, deterministic=True)
    connection.create_aggregate("saga_checksum", 1, Checksum)  # type: ignore[arg-type]  # typeshed wants *args


def _is_utf8(text: object) -> bool:
    """SQLite stores any bytes as text; Python, PostgreSQL and the chunk files know UTF-8 only."""
    try:
        return not isinstance(text, bytes) or text.decode() is not None
    except UnicodeDecodeError:
        return False
