"""Opens a target by its name: an engine whose sessions never hold a lock, or wait for one, without an end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from saga_engine.errors import EffectNotSupported, SettingsError
from saga_engine.ledger.database import LABEL, LEASE_SECONDS, NAME, Database
from saga_engine.ledger.mariadb import Mariadb
from saga_engine.ledger.postgresql import Postgresql
from saga_engine.ledger.sqlite import Sqlite

LEASE: Final = timedelta(seconds=15)

DATABASES: Final[dict[tuple[str, str], Database]] = {
    ("postgresql", "psycopg"): Postgresql(),
    ("mariadb", "pymysql"): Mariadb(),
    ("mysql", "pymysql"): Mariadb(),
    ("sqlite", "pysqlite"): Sqlite(),
}
"""By SQLAlchemy's dialect and driver."""


def open_target(name: str, url: str, *, lease: timedelta = LEASE) -> Engine:
    """Return an engine for the connection *name* of the settings; nothing is connected yet.

    A transaction that says nothing for *lease* is ended by the server; a lock is waited for twice as long. Where the
    server counts in seconds the lease is rounded up. Errors never show the URL, which may hold a secret, nor the values
    of a statement. Dispose of the engine at the end.
    """
    try:
        parsed = make_url(url)
        database = _database(name, parsed)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise SettingsError(f"connection {name}: this is not the URL of a database that SQLAlchemy knows") from None
    lease = -(-lease // database.tick) * database.tick
    try:
        engine = create_engine(parsed, hide_parameters=True, **database.settings(parsed, lease))
    except ValueError as error:
        raise SettingsError(f"connection {name}: {error}") from None
    except ModuleNotFoundError as error:
        raise SettingsError(f"connection {name}: install the driver, the Python package {error.name}") from None
    database.listen(engine, lease)
    engine.update_execution_options(**{NAME: name, LEASE_SECONDS: lease.total_seconds()})
    return engine


@contextmanager
def session(engine: Engine, label: str) -> Iterator[Connection]:
    """A connection to read with; *label* is what the server shows of it. What it commits is not fenced."""
    with engine.connect().execution_options(**{LABEL: label}) as db:
        database_of(engine).name_session(db, label)
        yield db


def database_of(engine: Engine) -> Database:
    """Return what is particular to the engine's database."""
    return _database(name_of(engine), engine.url)


def name_of(target: Engine | Connection) -> str:
    """Return the name of the connection in the settings."""
    return str(target.get_execution_options()[NAME])


def lease_of(db: Connection) -> float:
    """Return the lease in seconds."""
    return float(db.get_execution_options()[LEASE_SECONDS])


def label_of(db: Connection) -> str:
    """Return the task and attempt that the connection acts for."""
    return str(db.get_execution_options()[LABEL])


def _database(name: str, url: URL) -> Database:
    dialect = url.get_dialect()
    try:
        return DATABASES[dialect.name, dialect.driver]
    except KeyError:
        raise EffectNotSupported(connection=name, database=f"{dialect.name}+{dialect.driver}") from None
