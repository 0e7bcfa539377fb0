"""What an engine does with a store that it opens: an empty one gets the schema, any other is checked."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sqlalchemy import inspect

from saga_engine.store.foreign import is_foreign
from saga_engine.store.migrate import VERSION_TABLE, VERSIONS, check, current
from saga_engine.store.transactions import Store


def prepare(store: Store, versions: Path = VERSIONS) -> None:
    """Make the schema in an empty store; check it in any other: what exists is never upgraded silently."""
    if current(store) is None:
        refuse_foreign_file(store)
        # 0.3 s that only the first start of a store should pay for.
        import_module("saga_engine.store.upgrade").upgrade(store, versions)
    check(store, versions)


def refuse_foreign_file(store: Store) -> None:
    """Raise StoreError for a SQLite file that holds tables but no store: most likely the wrong file was named.

    In PostgreSQL a database is often shared.
    """
    if store.dialect != "sqlite":
        return
    with store.read() as db:
        tables = inspect(db).get_table_names()
    if tables and VERSION_TABLE not in tables:
        raise is_foreign(store.url, tables[0])
