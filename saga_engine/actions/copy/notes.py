"""What approvers should know of the table that the new one is made like, beside its columns and indexes."""

from __future__ import annotations

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.reading import Asked


def given_again(table: Table, like: Table) -> list[str]:
    """Name the columns of which both *table*, the source, and *like* remember what numbers they have given."""
    return [
        f"{name}: numbers that the source has given, and deleted since, may be given again: set the sequence by hand"
        " (in SQLite sqlite_sequence) before you let writers in"
        for name in table.counting
        if name in like.counting
    ]


def referring(like: Table, target: TableName, there: Asked, *, replaced: bool) -> list[str]:
    """Tell of each table to which the statement of *like*, used again, refers, what that costs there.

    *replaced*: *like* is the target, and is kept; else nobody proves the foreign keys of the new one.
    """
    if not replaced:
        with there.transaction() as db:
            others = [name for name in like.refers_to if name.lower() != target.name.lower()]
            missing = {name for name in others if there.dialect.is_free(db, target.renamed(name))}
        return [
            f"the foreign key to {name} is not proved{': the target has no such table' if name in missing else ''}"
            for name in like.refers_to
        ]
    return [
        f"the staging table refers to {name}, and after the swap the kept one does: where foreign keys are enforced,"
        " deletes there may be refused, or take rows of it along"
        for name in like.refers_to
    ]
