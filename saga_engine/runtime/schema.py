"""The schema of the store and the ledgers of connections, for those who operate them. Imports alembic."""

from typing import Literal

from saga_engine import errors
from saga_engine.runtime import opening
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.views import LedgerView, SchemaView
from saga_engine.settings import Settings
from saga_engine.store import migrate, prepare
from saga_engine.store import upgrade as upgrading


def current(settings: Settings) -> SchemaView:
    """The schema that the store has, and the one that this program wants. Changes nothing."""
    store = opening.unchecked(settings, create=False)
    try:
        found = migrate.current(store)
        return SchemaView(store=store.url, before=found, now=found, wanted=migrate.head())
    finally:
        store.close()


def upgrade(settings: Settings) -> SchemaView:
    """Bring the store to this program's schema: from nothing, or from an older one, in one transaction."""
    store = opening.unchecked(settings, create=True)
    try:
        before = migrate.current(store)
        if before is None:
            prepare.refuse_foreign_file(store)
        if before != migrate.head():
            upgrading.upgrade(store)
        return SchemaView(store=store.url, before=before, now=migrate.current(store), wanted=migrate.head())
    finally:
        store.close()


def known() -> list[str]:
    """The schemas that there have been, oldest first."""
    return migrate.known()


def sql(dialect: Literal["sqlite", "postgresql"], since: str | None = None) -> str:
    """The statements that make the schema, or upgrade it from *since*, for a DBA to read and run."""
    return upgrading.sql(dialect, since)


def make_ledger(settings: Settings, connection: str) -> LedgerView:
    """Make the ledger of *connection* where it has none: the tables that make an effect take place once."""
    targets = Targets(settings)
    try:
        return LedgerView(
            connection=connection, made=_ledger(targets, connection) is None, uuid=targets.make_ledger(connection)
        )
    finally:
        targets.close()


def _ledger(targets: Targets, connection: str) -> str | None:
    """The ledger that is there; of a connection that cannot be looked at, whoever makes it says what is wrong."""
    try:
        return targets.ledger(connection)
    except errors.ConnectionFailed:
        return None
