"""How the engine's own database is opened: one function for SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from saga_engine.errors import StoreUnreachable
from saga_engine.store import postgres
from saga_engine.store.files import Access, Host
from saga_engine.store.postgres import open_postgres
from saga_engine.store.retry import alone, certain, glancing, reading, retrying
from saga_engine.store.sqlite import open_sqlite
from saga_engine.store.transactions import Store
from saga_engine.store.wake import Ear

__all__ = ["Ear", "Store", "alone", "certain", "glancing", "open_store", "reading", "retrying"]

SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})


def open_store(
    url: str,
    *,
    lease_seconds: float = 15.0,
    wait_seconds: float = 30.0,
    connections_max: int = 10,
    group: str | None = None,
    create: bool = True,
) -> Store:
    """Open the database at *url*: ``sqlite:///saga.db`` or ``postgresql://…``. Its tables are migrate's affair.

    *wait_seconds* bounds every wait for SQLite's write lock and for a free connection, *lease_seconds* sets the limits
    of PostgreSQL sessions. *group* opens SQLite's files to a group. *create* makes a missing SQLite file and its
    directory; a PostgreSQL database is never made. Raises errors of the StoreError family, which never show a password.
    """
    parsed = _parsed(url)
    if parsed.drivername in postgres.NAMES:
        return open_postgres(
            parsed, lease_seconds=lease_seconds, wait_seconds=wait_seconds, connections_max=connections_max
        )
    if parsed.drivername in SQLITE:
        return open_sqlite(
            parsed,
            wait_seconds=wait_seconds,
            connections_max=connections_max,
            access=Access.of(group),
            create=create,
            host=Host.here(),
        )
    raise StoreUnreachable(url=f"{parsed.drivername}://…", reason="a store is sqlite:///FILE or postgresql://…")


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # The text may hold a password, in a place where nobody expects it: only what stands before :// is shown.
        scheme = url.partition("://")[0] if "://" in url else ""
        reason = "this is no URL; write sqlite:///saga.db or postgresql://user@host/database"
        raise StoreUnreachable(url=f"{scheme}://…" if scheme else "…", reason=reason) from None
