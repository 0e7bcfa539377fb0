"""What a type declared in SQLite says: to SQLite itself, and to a person."""

from __future__ import annotations

from typing import Final

from saga_engine.actions.copy.postgres import types

AFFINITY_NONE: Final = "BLOB"

_RULES: Final = (
    (("INT",), "INTEGER"),
    (("CHAR", "CLOB", "TEXT"), "TEXT"),
    (("BLOB",), AFFINITY_NONE),
    (("REAL", "FLOA", "DOUB"), "REAL"),
)
_DECLARED: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("JSON",), "json"),
    (("DECIMAL", "NUMERIC", "NUMBER"), "numeric"),
    (("BOOL",), "boolean"),
    (("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), "timestamp with time zone"),
    (("DATETIME", "TIMESTAMP"), "timestamp without time zone"),
    (("DATE",), "date"),
    (("TIME",), "time without time zone"),
    (("UUID", "GUID", "UNIQUEIDENTIFIER"), "uuid"),
)
"""What the beginning of a type declared in SQLite says beyond its affinity, in this order."""
_BY_AFFINITY: Final = {"INTEGER": "bigint", "TEXT": "text", "REAL": "double precision"}


def affinity(declared: str, *, strict: bool = False) -> str:
    """What SQLite makes of a declared type: INTEGER, TEXT, BLOB (none), REAL or NUMERIC.

    Source: "Datatypes In SQLite", section 3.1; the order of the rules counts. ANY in a STRICT table has none.
    """
    name = declared.upper()
    if not name or (strict and name == "ANY"):
        return AFFINITY_NONE
    return next((kind for words, kind in _RULES if any(word in name for word in words)), "NUMERIC")


def meaning(declared: str) -> str | None:
    """The PostgreSQL type that the author of the table had in mind; None where the words do not tell."""
    upper = declared.upper().strip()
    named = next((wish for words, wish in _DECLARED if upper.startswith(words)), None)
    if named == "numeric":
        digits = types.parse(upper.replace(", ", ",")).arguments
        return f"numeric({','.join(map(str, digits))})" if digits else named
    if named is None and "BLOB" in upper:
        return "bytea"
    return named or _BY_AFFINITY.get(affinity(declared))
