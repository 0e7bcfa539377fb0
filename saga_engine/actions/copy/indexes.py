"""Which indexes a new table gets."""

from __future__ import annotations

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import TableName, derived
from saga_engine.actions.copy.plan import NewIndex
from saga_engine.actions.copy.reading import Asked


def carried(table: Table) -> tuple[list[NewIndex], list[str]]:
    """The indexes to make where the table is made in other words than its own, and what to know of the others."""
    made = [NewIndex(name=i.name, unique=i.unique, columns=i.columns) for i in table.indexes if i.columns]
    notes = [
        f"the index {index.name} is not carried over: it has more than plain columns"
        for index in table.indexes
        if not index.columns
    ]
    return made, notes


def repeated(table: Table) -> tuple[list[NewIndex], list[str]]:
    """The same where the table's own words are used: its unique constraints are in them already."""
    made = [NewIndex(name=i.name, unique=i.unique, definition=i.definition) for i in table.indexes if i.definition]
    return made, []


def freely_named(indexes: list[NewIndex], target: TableName, there: Asked, token: str) -> tuple[NewIndex, ...]:
    """Each keeps its name where the target's database has no such table or index."""
    indexes = [index.model_copy(update={"name": derived(index.name, "")}) for index in indexes]
    with there.transaction() as db:
        taken = {index.name for index in indexes if not there.dialect.is_free(db, target.renamed(index.name))}
    return tuple(
        index.model_copy(update={"name": derived(index.name, f"_{token}")}) if index.name in taken else index
        for index in indexes
    )
