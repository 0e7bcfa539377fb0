r"""Chunk files: lines of PostgreSQL's COPY text format, which ``psql`` can load by hand.

One line is one row, fields are separated by tabs, ``\N`` is NULL. So PostgreSQL writes and reads a chunk without
a Python object for any value. Source of the rules: the PostgreSQL manual, COPY, "Text Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

NULL: Final = "\\N"
BLOCK_BYTES: Final = 256 * 1024
"""Reads and writes are gathered to about this size."""

_SHORT: Final = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_LONG: Final = {short[1]: char for char, short in _SHORT.items()}
_TO_ESCAPE: Final = re.compile(r"[\\\x08\f\n\r\t\v]")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def escape(text: str) -> str:
    """Write *text* as one field."""
    return _TO_ESCAPE.sub(_shorten, text)


def unescape(field: str) -> str:
    """Read a field that is not NULL."""
    return _ESCAPED.sub(_lengthen, field) if "\\" in field else field


def lines(columns: Iterable[Iterable[str]]) -> bytes:
    """Write rows, given column by column as fields."""
    return "".join([f"{line}\n" for line in map("\t".join, zip(*columns, strict=True))]).encode()


def columns(block: bytes) -> list[tuple[str, ...]]:
    """Read whole lines; return the fields column by column."""
    rows = [line.split("\t") for line in block.decode().split("\n")[:-1]]
    return list(zip(*rows, strict=True))


def gathered(pieces: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Join small pieces, such as the rows that a server sends one by one, to blocks."""
    waiting: list[bytes | bytearray | memoryview] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def _shorten(match: re.Match[str]) -> str:
    return _SHORT[match[0]]


def _lengthen(match: re.Match[str]) -> str:
    return _LONG.get(match[1], match[1])
