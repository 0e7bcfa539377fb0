"""A SQLite file that is no store of ours, found before anything is made beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from saga_engine.errors import StoreDamaged, StoreError, StoreUnreachable
from saga_engine.store.migrate import VERSION_TABLE

NO_DATABASE: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def refuse_foreign(path: Path, url: str, *, create: bool) -> None:
    """Raise an error of the StoreError family for a file that cannot be a store; only looks, and leaves nothing.

    A file with our locks beside it was a store when they were made, and is opened as one. So is what SQLite would
    have to mend before it could be read.
    """
    if not path.exists() or _beside(path, ".lock").exists() or _is_filled(_beside(path, "-journal")):
        return
    if path.stat().st_size == 0 and not create:
        raise StoreUnreachable(url=url, reason=f"{path} is empty; `saga run` or `saga db upgrade` makes a store of it")
    try:
        tables = _tables(path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in NO_DATABASE:
            raise StoreDamaged(url=url, reason=f"{error} ({error.sqlite_errorname})") from None
        return
    if tables and VERSION_TABLE not in tables:
        raise is_foreign(url, tables[0])


def is_foreign(url: str, table: str) -> StoreError:
    """What is said of a file with such a table, and without a store's."""
    return StoreError(f"The file {url} is no store: it holds other tables ({table}, …). Name another file.")


def _tables(path: Path) -> list[str]:
    """Without a WAL nobody writes to what is in the file, and nothing needs to be made to read it."""
    how = "mode=ro" if _is_filled(_beside(path, "-wal")) else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [name for name in names if not name.startswith("sqlite_")]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
