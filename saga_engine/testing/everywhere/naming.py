"""Tables that each run gives another name: they are compared by what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from saga_engine.testing.everywhere.tables import Table

NOT_COMPARED: Final = "tables of {connection} whose names and rows are others in each run"

Content: TypeAlias = tuple[str, tuple[str, ...], "frozenset[tuple[Any, int]]"]
"""The connection, the columns, the rows with how often each is there."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """What a run that was left alone has in tables of names that another such run does not have.

    Such a name is made from the run: no name of it can be expected of a third one. Where their contents differ, too,
    nothing can be expected at all, and tables of that connection with unknown names are let be.
    """

    common: frozenset[str]
    """The tables that both runs have."""
    tables: Mapping[str, Content]
    """The others, of one of them."""
    let_be: frozenset[str]
    """Connections where they cannot be compared."""

    @classmethod
    def of(cls, one: Mapping[str, Table], other: Mapping[str, Table]) -> Unnamed:
        """The tables of two runs, by ``connection.table``."""
        common = frozenset(one.keys() & other.keys())
        ours, theirs = (_others(tables, common) for tables in (one, other))
        differ = Counter(ours.values())
        differ.subtract(Counter(theirs.values()))
        return cls(common, ours, frozenset(content[0] for content, count in differ.items() if count))

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What was left out, for people."""
        return tuple(NOT_COMPARED.format(connection=name) for name in sorted(self.let_be))

    def differences(self, found: Mapping[str, Table]) -> Iterator[str]:
        """What is otherwise in a run that has the tables *found*."""
        theirs = _left(_others(found, self.common), Counter(self.tables.values()))
        ours = _left(self.tables, Counter(_others(found, self.common).values()))
        more, less = (sorted(name for name in left if _place(name) not in self.let_be) for left in (theirs, ours))
        for name, wanted in zip(more, less, strict=False):
            yield f"the table {name} was not as {wanted} without the kill"
        for name in more[len(less) :]:
            yield f"the table {name} was left behind"
        for name in less[len(more) :]:
            yield f"a table such as {name} was gone"


def _others(tables: Mapping[str, Table], common: frozenset[str]) -> dict[str, Content]:
    return {
        name: (_place(name), table.columns, frozenset(table.rows.items()))
        for name, table in tables.items()
        if name not in common
    }


def _left(tables: Mapping[str, Content], without: Counter[Content]) -> list[str]:
    """The names of those that have no counterpart."""
    left = []
    for name, content in tables.items():
        if without[content]:
            without[content] -= 1
        else:
            left.append(name)
    return left


def _place(name: str) -> str:
    """The connection."""
    return name.partition(".")[0]
