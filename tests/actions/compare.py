"""An independent comparison: all values of two tables, selected by the plain drivers and judged by code of its own.

From PostgreSQL every value is taken as the text that the server prints, from SQLite as it is stored.
"""

from __future__ import annotations

import json
import struct
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.actions.support import Database, Row


def unequal(source: Database, table: str, target: Database, target_table: str = "") -> list[str]:
    """Describe each value that differs, and each row that only one side has. Empty: the tables are equal."""
    here, there = _typed(source, table), _typed(target, target_table or table)
    if [name for name, _ in here] != [name for name, _ in there]:
        return [f"columns {here} and {there}"]
    rows, others = _rows(source, table, here), _rows(target, target_table or table, there)
    if len(rows) != len(others):
        return [f"{len(rows)} rows and {len(others)}"]
    if source.kind == target.kind:
        return [
            f"{row} and {other}"
            for row, other in zip(sorted(rows, key=repr), sorted(others, key=repr), strict=True)
            if row != other
        ]
    types = [kind for _, kind in (here if source.kind == "postgresql" else there)]
    stored, printed = (others, rows) if source.kind == "postgresql" else (rows, others)
    stored_texts = sorted([tuple(map(_printed, types, row)) for row in stored], key=repr)
    printed_texts = sorted([tuple(map(_settled, types, row)) for row in printed], key=repr)
    return [f"{a} and {b}" for a, b in zip(stored_texts, printed_texts, strict=True) if a != b]


def _typed(database: Database, table: str) -> list[tuple[str, str]]:
    if database.kind == "sqlite":
        return database.rows(f"SELECT name, type FROM pragma_table_info('{table}') ORDER BY name")
    return database.rows(
        f"SELECT column_name::text, data_type FROM information_schema.columns WHERE table_name = '{table}'"
        ' ORDER BY column_name COLLATE "C"'
    )


def _rows(database: Database, table: str, columns: list[tuple[str, str]]) -> list[Row]:
    names = ['"' + name.replace('"', '""') + '"' for name, _ in columns]
    if database.kind == "sqlite":
        return [_exactly(row) for row in database.rows(f'SELECT {", ".join(names)} FROM "{table}"')]
    printed = ", ".join(f"CASE WHEN {name} IS NULL THEN NULL ELSE format('%s', {name}) END" for name in names)
    return database.rows(f'SELECT {printed} FROM "{table}"')


def _exactly(row: Row) -> Row:
    """Floats by their bits, so that 1 and 1.0, and 0.0 and -0.0, are not equal."""
    return tuple(("float", struct.pack(">d", value)) if isinstance(value, float) else value for value in row)


def _settled(kind: str, text: str | None) -> Any:
    """What PostgreSQL printed, without what the two databases may write differently."""
    if text is None:
        return None
    match kind:
        case "numeric":
            return Decimal(text).normalize() if text != "NaN" else text
        case "real":
            return struct.pack(">d", struct.unpack("f", struct.pack("f", float(text)))[0])
        case "double precision":
            return struct.pack(">d", float(text))
        case "timestamp without time zone" | "timestamp with time zone" | "date" | "time without time zone":
            return _moment(text)
        case "json" | "jsonb":
            return json.loads(text)
        case _:
            return text


def _printed(kind: str, value: Any) -> Any:
    """What PostgreSQL should print for a value of SQLite."""
    if value is None:
        return None
    match kind, value:
        case "boolean", int():
            return {0: "f", 1: "t"}[value]
        case "numeric", ("float", bytes() as bits):
            return Decimal(repr(struct.unpack(">d", bits)[0])).normalize()
        case "numeric", int() | str():
            return Decimal(value).normalize() if value != "NaN" else value
        case (("real" | "double precision"), ("float", bytes() as bits)):
            return bits
        case "double precision", int():
            return struct.pack(">d", value)
        case _, bytes():
            return "\\x" + value.hex()
        case (("timestamp without time zone" | "timestamp with time zone" | "date" | "time without time zone"), str()):
            return _moment(value)
        case (("json" | "jsonb"), str()):
            return json.loads(value)
        case "uuid", str():
            return value.lower()
        case _:
            return str(value)


def _moment(text: str) -> Any:
    """The moment where Python knows it; else the text."""
    try:
        return datetime.fromisoformat(
            text.replace("Z", "+00:00").replace("+00", "+00:00") if text.endswith("+00") else text
        )
    except ValueError:
        return text
