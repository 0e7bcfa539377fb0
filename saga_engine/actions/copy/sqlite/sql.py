"""SQL text for SQLite: identifiers quoted by SQLAlchemy, and a table's own statement taken apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from saga_engine.actions.copy.names import TableName

quote = SQLiteDialect_pysqlite().identifier_preparer.quote_identifier
"""Quote one identifier, whatever it is called."""

_WORD: Final = r'(?:"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`|\'(?:[^\']|\'\')*\'|[^\s("\[`\']+)'
_TABLE_HEAD: Final = re.compile(rf"CREATE TABLE {_WORD}\s*", re.IGNORECASE)
_INDEX_HEAD: Final = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_WORD}\s+ON\s+{_WORD}\s*", re.IGNORECASE)
_TAIL: Final = re.compile(r"\)[^)]*\Z")


def qualified(table: TableName) -> str:
    """The quoted name; always in ``main``, so that no temporary table is meant."""
    return f"main.{quote(table.name)}"


def body(create_table: str) -> str | None:
    """What follows the table's name in the statement that SQLite keeps; None where that cannot be told.

    SQLite keeps the statement as ``CREATE TABLE``, the name as it was written, and the rest, unchanged.
    """
    head = _TABLE_HEAD.match(create_table)
    return create_table[head.end() :] if head else None


def index_definition(create_index: str) -> str | None:
    """What follows the table's name in CREATE INDEX; None where that cannot be told."""
    head = _INDEX_HEAD.match(create_index)
    return create_index[head.end() :] if head else None


def is_strict(create_table: str) -> bool:
    """True for a STRICT table."""
    tail = _TAIL.search(create_table)
    return tail is not None and "STRICT" in tail[0].upper()


def joined(parts: Sequence[str], by: str) -> str:
    """Join SQL expressions in a balanced tree: SQLite refuses expressions that are more than 1,000 deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({joined(parts[:middle], by)}{by}{joined(parts[middle:], by)})"
