"""What is in a SQLite database, to be compared; and copies of it, so that no run ever touches the user's own file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

LEDGER: Final = "saga_ledger"
"""What the names of the ledger's tables begin with: they are compared by what they mean, elsewhere."""
COMPANIONS: Final = ("-wal", "-shm", "-journal")

Rows: TypeAlias = "Counter[tuple[Any, ...]]"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a table, without order; a key that SQLite gives by itself is left out."""

    columns: tuple[str, ...]
    rows: Rows

    def without(self, columns: frozenset[str]) -> Table:
        """The same, looked at through the other columns."""
        kept = [place for place, column in enumerate(self.columns) if column not in columns]
        rows: Rows = Counter()
        for row, times in self.rows.items():
            rows[tuple(row[place] for place in kept)] += times
        return Table(tuple(self.columns[place] for place in kept), rows)

    def column(self, name: str) -> Counter[Any]:
        """The values of one column."""
        place = self.columns.index(name)
        values: Counter[Any] = Counter()
        for row, times in self.rows.items():
            values[row[place]] += times
        return values


def copy(source: Path, to: Path) -> None:
    """Copy a database as it is at one moment, though others write to it; an empty one where there is none."""
    for companion in COMPANIONS:
        to.with_name(to.name + companion).unlink(missing_ok=True)
    to.unlink(missing_ok=True)
    with closing(sqlite3.connect(to)) as made:
        if source.exists():
            with closing(sqlite3.connect(f"file:{quote(str(source.resolve()))}?mode=ro", uri=True)) as db:
                db.backup(made)


def content(file: Path) -> Mapping[str, Table]:
    """All tables of a database."""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as db:
        db.text_factory = bytes  # text need not be UTF-8
        names = [name.decode() for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: _table(db, name) for name in names if not name.startswith((LEDGER, "sqlite_"))}


def _table(db: sqlite3.Connection, name: str) -> Table:
    quoted = f'"{name.replace(chr(34), chr(34) * 2)}"'
    found = [(row[1].decode(), row[2].decode().upper(), row[5]) for row in db.execute(f"PRAGMA table_info({quoted})")]
    keys = [column for column, _, key in found if key]
    given = {column for column, kind, key in found if key and kind == "INTEGER" and len(keys) == 1}
    columns = tuple(column for column, _, _ in found if column not in given)
    if not columns:
        (number,) = db.execute(f"SELECT count(*) FROM {quoted}").fetchone()  # noqa: S608  quoted
        return Table((), Counter({(): number}))
    wanted = ", ".join(f'"{column.replace(chr(34), chr(34) * 2)}"' for column in columns)
    return Table(columns, Counter(db.execute(f"SELECT {wanted} FROM {quoted}")))  # noqa: S608  quoted
