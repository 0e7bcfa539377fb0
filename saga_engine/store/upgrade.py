"""Make or upgrade the schema with alembic, or print its DDL for a DBA."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from saga_engine.errors import StoreInUse
from saga_engine.failpoints import hit
from saga_engine.store import migrate, trouble
from saga_engine.store.migrate import VERSION_TABLE, VERSIONS, version_table
from saga_engine.store.schema import incarnations
from saga_engine.store.transactions import Store

# unique_violation (in the catalogue), duplicate_table, duplicate_object (its type): another process makes it right now.
MADE_BY_ANOTHER: Final = frozenset({"23505", "42P07", "42710"})

NAMED_MAX: Final = 5
"""So many workers are named."""


def upgrade(store: Store, versions: Path = VERSIONS) -> None:
    """Bring the store to this program's schema, from nothing or from an older one, in one transaction.

    Safe to run in two processes at once: the second waits, then finds nothing to do. Raises SchemaTooNew; StoreInUse
    while workers live, whose program knows the older schema only: what they would write is none of theirs any more.
    """
    if store.dialect == "postgresql":
        _make_version_table(store)
    with store.unhurried(), store.write() as db:
        if store.dialect == "postgresql":
            # A table lock, for advisory locks are not everywhere; it lets readers see which schema there is.
            db.execute(text(f'LOCK TABLE "{VERSION_TABLE}" IN SHARE ROW EXCLUSIVE MODE'))
            hit("store.upgrade.locked")
        has, wanted = migrate.found(db), migrate.head(versions)
        migrate.refuse_newer(has, wanted)
        if has != wanted:
            _refuse_in_use(store, db)
        command.upgrade(_config(versions, db), "head")


def _refuse_in_use(store: Store, db: Connection) -> None:
    """Raise StoreInUse while a worker lives. None begins until the end of this transaction."""
    if not inspect(db).has_table(incarnations.name):
        return
    if store.dialect == "postgresql":
        db.execute(text(f'LOCK TABLE "{incarnations.name}" IN SHARE MODE'))
    living = (incarnations.c.ended_at.is_(None), incarnations.c.lease_until > store.clock(db))
    found = db.execute(select(incarnations.c.host, incarnations.c.pid).where(*living)).all()
    if found:
        count = "one worker" if len(found) == 1 else f"{len(found)} workers"
        raise StoreInUse(workers=count, names=", ".join(f"{row.host} pid {row.pid}" for row in found[:NAMED_MAX]))


def sql(dialect: Literal["sqlite", "postgresql"], since: str | None = None, versions: Path = VERSIONS) -> str:
    """The statements that bring a store to this program's schema, for a DBA to read and run.

    From *since*, one of ``migrate.known``; from nothing where that is None. Nobody looks whether workers live.
    """
    config = _config(versions, None)
    config.set_main_option("sqlalchemy.dialect", dialect)
    config.output_buffer = buffer = io.StringIO()
    command.upgrade(config, "head" if since is None else f"{since}:head", sql=True)
    return buffer.getvalue()


def _config(versions: Path, db: Connection | None) -> Config:
    config = Config(attributes={"connection": db})
    config.set_main_option("script_location", _literal(VERSIONS.parent))
    config.set_main_option("version_locations", _literal(versions))
    # One location to a line, so that a path may hold spaces, colons and commas.
    config.set_main_option("path_separator", "newline")
    return config


def _literal(path: Path) -> str:
    """Alembic's settings are an ini file, in which % begins a placeholder."""
    return str(path).replace("%", "%%")


def _make_version_table(store: Store) -> None:
    """In a transaction of its own, before anyone can lock the table. IF NOT EXISTS alone still fails in a race."""
    try:
        with store.write() as db:
            hit("store.upgrade.version_table")
            db.execute(CreateTable(version_table, if_not_exists=True))
    except DBAPIError as error:
        if trouble.sqlstate(error) not in MADE_BY_ANOTHER:
            raise
