r"""The checksum of rows, the same in every database.

A row becomes one text: its canonical fields separated by commas, ``\`` and ``,`` in a field escaped by ``\``,
NULL as ``\N``. Its hash is the first 60 bits of the SHA-256 of that text: they fit a signed 64-bit integer. The
hashes of a range are added, never XORed: two equal rows would cancel each other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

HEX_DIGITS: Final = 15
_SPARE_BITS: Final = 4
_BYTES: Final = 8

ESCAPED: Final = r"replace(replace({field}, '\', '\\'), ',', '\,')"
"""SQL that escapes a field; the same words in PostgreSQL (standard_conforming_strings = on) and in SQLite."""
OR_NULL: Final = r"coalesce({field}, '\N')"


def row_hash(row: str) -> int:
    """The hash of a row's text."""
    return int.from_bytes(sha256(row.encode()).digest()[:_BYTES], "big") >> _SPARE_BITS


def field(canonical: str, *, plain: bool) -> str:
    """SQL for one field of a row's text; a *plain* one has neither comma nor backslash."""
    return OR_NULL.format(field=canonical if plain else ESCAPED.format(field=canonical))
