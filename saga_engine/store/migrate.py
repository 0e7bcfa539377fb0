"""Which schema a store has, and whether this program may use it. Only making or upgrading one needs alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select

from saga_engine.errors import SchemaNotCurrent, SchemaTooNew
from saga_engine.store.transactions import Store

VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"
VERSION_TABLE: Final = "saga_alembic_version"

# As alembic makes it, under a name of its own: the user's database may have an alembic_version already.
version_table = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def known(versions: Path = VERSIONS) -> list[str]:
    """The schemas that there have been, oldest first. Each has the number that a file name begins with: `0001_….py`."""
    return sorted(file.name[:4] for file in versions.glob("[0-9][0-9][0-9][0-9]_*.py"))


def head(versions: Path = VERSIONS) -> str | None:
    """The schema that this program wants, the newest."""
    return max(known(versions), default=None)


def current(store: Store) -> str | None:
    """The schema that the store has; None where none was made yet."""
    with store.read() as db:
        return found(db)


def found(db: Connection) -> str | None:
    """The schema that a transaction sees; None where none was made yet."""
    if not inspect(db).has_table(VERSION_TABLE):
        return None
    return db.execute(select(version_table.c.version_num)).scalar_one_or_none()


def check(store: Store, versions: Path = VERSIONS) -> None:
    """Raise SchemaNotCurrent for an older schema, or none; SchemaTooNew for one that this program does not know."""
    has, wanted = current(store), head(versions)
    refuse_newer(has, wanted)
    if has != wanted:
        raise SchemaNotCurrent(found=has or "nothing", wanted=wanted)


def refuse_newer(has: str | None, wanted: str | None) -> None:
    """Raise SchemaTooNew when a newer program has upgraded the store."""
    if (has or "") > (wanted or ""):
        raise SchemaTooNew(found=has, wanted=wanted or "nothing")
