"""PostgreSQL's types, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FORMAT: Final = re.compile(
    r"(?P<base>[^(]*?)(?:\((?P<arguments>-?\d+(?:,-?\d+)*)\))?(?P<zone> with(?:out)? time zone)?"
)

INTEGERS: Final = {"smallint": 15, "integer": 31, "bigint": 63}
"""Bits beside the sign."""
FLOATS: Final = ("real", "double precision")
TEXTS: Final = ("text", "character varying")
UNCOLLATED: Final = {
    *INTEGERS, *FLOATS, "numeric", "boolean", "bytea", "uuid", "date", "time without time zone", "time with time zone",
    "timestamp without time zone", "timestamp with time zone",
}  # fmt: skip
"""The usual types to which no collation applies, and for which to name one is an error."""


@dataclass(frozen=True, slots=True)
class PostgresType:
    """``numeric(10,2)`` is base "numeric" and arguments (10, 2); a time zone belongs to the base."""

    base: str
    arguments: tuple[int, ...]


def parse(written: str) -> PostgresType:
    """Take apart what ``format_type`` prints. An array, or a type of somebody's own, is its own base."""
    match = _FORMAT.fullmatch(written)
    if match is None:
        return PostgresType(written, ())
    arguments = match["arguments"]
    numbers = tuple(int(number) for number in arguments.split(",")) if arguments else ()
    return PostgresType(match["base"] + (match["zone"] or ""), numbers)
