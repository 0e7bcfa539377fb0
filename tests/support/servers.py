"""The database servers that tests run against: the machine's own, or one started for this run of pytest."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from tests.support.cluster import ClusterFailed, shared_cluster

POSTGRES: Final = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
MARIADB: Final = "mysql+pymysql://root@127.0.0.1:3306/"
OWN_CLUSTER: Final = "wheel"
"""As SAGA_TEST_POSTGRES: leave the machine's server alone and start one from the wheel."""
CONNECT_SECONDS: Final = 3
LEFT_BEHIND_SECONDS: Final = 6 * 3600
"""A test database older than this belongs to a run of pytest that was killed."""
USES_MAX: Final = 50
"""After so many the catalogue of a database is full of dead rows, and a new one is cheaper."""

LEAVE: Final = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"
EMPTY: Final = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""
CATALOGUES: Final = (
    *("pg_class", "pg_type", "pg_proc", "pg_extension", "pg_publication", "pg_event_trigger", "pg_language"),
    *("pg_foreign_data_wrapper", "pg_foreign_server", "pg_cast", "pg_operator", "pg_collation", "pg_default_acl"),
    "pg_largeobject_metadata",
)
OWN_OBJECTS: Final = 16384
"""From this oid on an object was not there when the server was made."""
LEFT: Final = (
    "SELECT (SELECT count(*) FROM pg_database WHERE datname = current_database() AND"
    " (datacl IS NOT NULL OR datconnlimit <> -1))"
    + "".join(f" + (SELECT count(*) FROM {catalogue} WHERE oid >= {OWN_OBJECTS})" for catalogue in CATALOGUES)
)


class ServerMissing(Exception):
    """No such server can be had here; the text says what was tried."""


class Server:
    """A database server on which tests make databases of their own. *url* may create and drop databases."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.name = url.get_backend_name()
        self._admin = self._engine(url)
        self._spare: list[tuple[str, int]] = []
        """Empty databases, and how many tests have had each."""

    @contextmanager
    def database(self, *, durable: bool = False) -> Iterator[str]:
        """Make an empty database, give its URL, take it away at the end together with whoever is still connected.

        Each test has a name of its own, so that a process left over from one test never meets the next. One that is
        not *durable* answers a COMMIT before the disk has it: that survives every death but the server's own.

        PostgreSQL takes half a second of the processor and a checkpoint to make a database and to drop it, and next to
        nothing to rename one: what a test leaves is emptied, and the next test has it under another name.
        """
        name, uses = _new_name(), 0
        if self._spare:
            spare, uses = self._spare.pop()
            self._run(f"ALTER DATABASE {spare} RENAME TO {name}")
        else:
            self._run(f"CREATE DATABASE {name}")
        try:
            if self.name == "postgresql" and not durable:
                self._run(f"ALTER DATABASE {name} SET synchronous_commit = off")
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            if not (self.name == "postgresql" and uses < USES_MAX and self._keep(name, uses + 1)):
                self._drop(name)

    def close(self) -> None:
        """Drop what was kept for the next test."""
        while self._spare:
            self._drop(self._spare.pop()[0])

    def drop_left_behind(self) -> None:
        """Drop the test databases of runs that were killed before they could."""
        oldest = time.time() - LEFT_BEHIND_SECONDS
        for name in self.names():
            made = re.match(r"saga_test_(\d+)_", name)
            if made and int(made[1]) < oldest:
                self._drop(name)

    def names(self) -> list[str]:
        """The databases that the server has."""
        catalogue = "SELECT datname FROM pg_database" if self.name == "postgresql" else "SHOW DATABASES"
        with self._admin.connect() as db:
            return list(db.execute(sqlalchemy.text(catalogue)).scalars())

    def _keep(self, name: str, uses: int) -> bool:
        """Whether the database could be emptied, and waits for the next test."""
        spare = _new_name()
        try:
            with self._admin.connect() as db:
                db.execute(sqlalchemy.text(LEAVE), {"name": name})
                db.execute(sqlalchemy.text(f"ALTER DATABASE {name} RENAME TO {spare}"))
                db.execute(sqlalchemy.text(f"ALTER DATABASE {spare} RESET ALL"))
            with self._engine(self.url.set(database=spare)).connect() as db:
                db.execute(sqlalchemy.text(EMPTY))
                kept = bool(db.execute(sqlalchemy.text(LEFT)).scalar_one() == 0)
        except SQLAlchemyError:
            kept = False  # somebody comes back again and again, or it does not let itself be emptied
        if kept:
            self._spare.append((spare, uses))
        else:
            self._drop(spare)
        return kept

    def _drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {name}" + (" WITH (FORCE)" if self.name == "postgresql" else ""))

    def _run(self, statement: str) -> None:
        with self._admin.connect() as db:
            db.execute(sqlalchemy.text(statement))

    def _engine(self, url: URL) -> sqlalchemy.Engine:
        return sqlalchemy.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            poolclass=sqlalchemy.NullPool,
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )


def _new_name() -> str:
    return f"saga_test_{int(time.time())}_{secrets.token_hex(4)}"


def find_postgres(shared: Path) -> Server:
    """The server that SAGA_TEST_POSTGRES names, else the machine's, else one that this run of pytest shares.

    *shared* is the folder that all processes of the run know. A server named by the environment that does not
    answer is an error: whoever named it did not mean another one.
    """
    named = os.environ.get("SAGA_TEST_POSTGRES", "")
    if named and named != OWN_CLUSTER:
        return _answering(make_url(named).set(drivername="postgresql+psycopg"))
    try:
        if not named:
            return _answering(make_url(POSTGRES))
    except ServerMissing:
        pass  # an ordinary machine has none: the wheel brings one
    try:
        return _answering(make_url(shared_cluster(shared)))
    except ClusterFailed as error:
        raise ServerMissing(f"no PostgreSQL: none at {POSTGRES}, and none could be started: {error}") from error


def find_mariadb() -> Server:
    """The server that SAGA_TEST_MARIADB names, else the machine's."""
    return _answering(make_url(os.environ.get("SAGA_TEST_MARIADB") or MARIADB).set(drivername="mysql+pymysql"))


def _answering(url: URL) -> Server:
    server = Server(url)
    try:
        server.drop_left_behind()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise ServerMissing(f"no {server.name} at {url.render_as_string(hide_password=True)}: {reason}") from error
    return server
