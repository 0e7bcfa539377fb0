"""Names of tables: as a person writes them, and those that a run derives from them."""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256
from typing import Final

from saga_engine.domain.definition.values import Frozen
from saga_engine.errors import BadInput

NAME_BYTES_MAX: Final = 63
"""PostgreSQL cuts longer names without a word; SQLite has no limit. The smaller one holds everywhere."""
PART: Final = r'"(?:[^"\x00]|"")+"|[^".\x00]+'
WRITTEN: Final = re.compile(rf"(?:({PART})\.)?({PART})")


class TableName(Frozen):
    """A table, exactly as the catalogue spells it; *schema_name* is empty where the database's default is meant."""

    schema_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.name}" if self.schema_name else self.name

    def renamed(self, name: str) -> TableName:
        """Another table in the same schema."""
        return TableName(schema_name=self.schema_name, name=name)


def parse(written: str) -> TableName:
    """Read ``orders``, ``sales.orders`` or ``sales."odd.name"``; upper and lower case are kept as written."""
    match = WRITTEN.fullmatch(written)
    if match is None:
        raise BadInput(f'{written!r} is not the name of a table: write orders, sales.orders or sales."odd.name"')
    schema_name, name = (_unquoted(part or "") for part in match.groups())
    return TableName(schema_name=schema_name, name=name)


def token(text: str) -> str:
    """Eight characters that tell *text* from others: of a step key, those of the tables of one visit of one run."""
    return sha256(text.encode()).hexdigest()[:8]


def staging(table: TableName, of_run: str) -> TableName:
    """The table that is loaded and, at the cut-over, takes the place of *table*."""
    return table.renamed(derived(table.name, f"__staging_{of_run}"))


def kept(table: TableName, of_run: str) -> TableName:
    """What the old table is called after the cut-over."""
    return table.renamed(derived(table.name, f"__before_{of_run}"))


def derived(name: str, suffix: str) -> str:
    """*name* with *suffix*; cut between characters where it would not fit everywhere.

    A name that is cut gets eight characters of its hash: two that begin alike must not become one.
    """
    room = NAME_BYTES_MAX - len(suffix.encode())
    if len(name.encode()) <= room:
        return name + suffix
    told_apart = f"_{token(name)}"
    return name.encode()[: room - len(told_apart)].decode(errors="ignore") + told_apart + suffix


def as_loaded(name: str, suffix: str, there: Collection[str]) -> str:
    """What *name* with *suffix* is called among the names *there*.

    Tables that were loaded when names were cut without a hash have such names, and are to be swapped all the same.
    """
    now, before = derivations(name, suffix)
    return before if before in there and now not in there else now


def derivations(name: str, suffix: str) -> tuple[str, str]:
    """*name* with *suffix* as it is derived now, and as it was when names were cut without a hash."""
    room = NAME_BYTES_MAX - len(suffix.encode())
    return derived(name, suffix), name.encode()[:room].decode(errors="ignore") + suffix


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
