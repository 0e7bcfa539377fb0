"""What stands in the way of a move, in words that name it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.reading import Asked
from saga_engine.errors import CannotMove
from saga_engine.ledger import schema as ledger

LISTED_MAX: int = 50
"""So many problems are listed; the rest is counted."""


def refuse(table: TableName, problems: list[str]) -> None:
    """Raise ``CannotMove`` with all of them, if there are any."""
    if problems:
        more = [f"and {len(problems) - LISTED_MAX} more"] if len(problems) > LISTED_MAX else []
        raise CannotMove(table=table, problems="; ".join([*problems[:LISTED_MAX], *more]))


def found(here: Asked, there: Asked, table: Table, target: TableName, existing: Table | None) -> list[str]:
    """Everything but the columns and their values."""
    with here.transaction() as db:
        problems = [f"source: {why}" for why in here.dialect.unfit(db)]
        problems += [f"missing in the source: {what}" for what in here.dialect.rights_to_read(db, table.name)]
        source_identity = here.dialect.identity(db, table.name)
    with there.transaction() as db:
        problems += [f"target: {why}" for why in there.dialect.unfit(db)]
        if there.dialect.identity(db, target) == source_identity:
            problems.append("source and target are the same table: name another target_table")
        missing = [*there.dialect.rights_to_replace(db, target, existing), *ledger.privileges(db.engine)]
        problems += [f"missing in the target: {what}" for what in missing]
        problems += there.dialect.refusals(db, target)
        if existing is None and not there.dialect.is_free(db, target):
            problems.append(f"the target has something else called {target}")
        elif existing is None:
            problems += there.dialect.unusable([column.name for column in table.columns])
    return [*problems, *_keys(table, existing)]


def room(exports: Path, needed_bytes: int) -> list[str]:
    """Look at the disk that will hold the chunk files: may this user write there, and is there space."""
    folder = next(path for path in (exports.absolute(), *exports.absolute().parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return [f"the files cannot be written to {exports}: {folder} is no folder in which you may read and write"]
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= needed_bytes:
        return []
    return [f"the files need about {needed_bytes} bytes, and {folder} has {free_bytes}"]


def refuse_store_file(database: str, store: str, table: TableName) -> None:
    """Raise ``CannotMove`` if the file of a SQLite database is the engine's own store (the same device and inode)."""
    if Path(database).exists() and Path(store).exists() and Path(database).samefile(store):
        raise CannotMove(table=table, problems="the database is the engine's own store: keep tables elsewhere")


def _keys(table: Table, existing: Table | None) -> list[str]:
    if not table.key:
        return [f"{table.name} has no primary key: rows could not be told apart"]
    if existing is None:
        return []
    if existing.key != table.key:
        theirs = ", ".join(existing.key) or "missing"
        return [f"the primary key of {existing.name} is {theirs}, that of the source is {', '.join(table.key)}"]
    here, there = ({column.name for column in side.columns if column.computed} for side in (table, existing))
    return [
        f"the key column {name} is computed in {existing.name}, too, and would not be copied: make it a plain one there"
        for name in table.key
        if name in here & there
    ]
