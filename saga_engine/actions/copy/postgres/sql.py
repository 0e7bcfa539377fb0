"""SQL text for PostgreSQL: identifiers quoted by SQLAlchemy, and the text of values made the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from saga_engine.actions.copy.names import TableName

if TYPE_CHECKING:
    import psycopg

_PREPARER: Final = PGDialect_psycopg().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy has no types here
quote: Callable[[str], str] = _PREPARER.quote_identifier
"""Quote one identifier, whatever it is called; a per cent sign is doubled, as the driver wants it."""

# Local to the transaction. The first eight decide how values are printed and read; with row_security off a policy
# that would hide rows is an error, never a shorter table.
PREPARE: Final = """SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
 set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),
 set_config('bytea_output', 'hex', true), set_config('standard_conforming_strings', 'on', true),
 set_config('lc_monetary', 'C', true), set_config('client_encoding', 'UTF8', true),
 set_config('row_security', 'off', true)"""
COMMENT: Final = "-- "
# Definitions from the catalogue then name every table with its schema, as pg_dump has it.
QUALIFY: Final = "SELECT set_config('search_path', '', true)"


def qualified(table: TableName) -> str:
    """The quoted name with its schema, for SQL that is run with values."""
    return f"{quote(table.schema_name)}.{quote(table.name)}"


def written(table: TableName) -> str:
    """The same for a value, such as one that is cast to ``regclass``, and for statements that are shown."""
    return qualified(table).replace("%%", "%")


def name(identifier: str) -> str:
    """One quoted identifier, for statements that are shown."""
    return quote(identifier).replace("%%", "%")


def run(db: Connection, statement: str) -> None:
    """Run a statement as it is shown, per cent signs and all."""
    db.exec_driver_sql(statement.replace("%", "%%"))


def run_all(db: Connection, statements: list[str]) -> list[str]:
    """Run statements, but for comments, and return them."""
    for statement in statements:
        if not statement.startswith(COMMENT):
            run(db, statement)
    return statements


def comment(text: str) -> str:
    """A line among statements that says what was not done; it cannot end before its end, whatever names are in it."""
    return COMMENT + " ".join(text.split())


def prepare(db: Connection) -> None:
    """See ``dialect.Dialect``."""
    db.exec_driver_sql(PREPARE)


def driver(db: Connection) -> psycopg.Connection[Any]:
    """The driver's own connection, for COPY."""
    return cast("psycopg.Connection[Any]", db.connection.driver_connection)


def copy(cursor: psycopg.Cursor[Any], statement: str, values: tuple[str, ...]) -> AbstractContextManager[psycopg.Copy]:
    """Begin COPY. Without values the driver leaves a doubled per cent sign as it is, other than with ``execute``."""
    return cursor.copy(statement.encode(), values) if values else cursor.copy(statement.replace("%%", "%").encode())
