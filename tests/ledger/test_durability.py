"""Settings of a server with which it can lose a commit that it has acknowledged are found."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy import Engine, make_url

from saga_engine.ledger import schema
from saga_engine.ledger.mariadb import losing

FLUSH = "innodb_flush_log_at_trx_commit"


def test_a_file_has_no_such_settings(sqlite: Engine) -> None:
    assert schema.not_durable(sqlite) == {}


def test_those_of_postgresql_are_what_the_server_says(postgres: Engine) -> None:
    with postgres.connect() as db:
        found = {name: db.exec_driver_sql(f"SHOW {name}").scalar() for name in ("fsync", "full_page_writes")}
    assert schema.not_durable(postgres) == {name: value for name, value in found.items() if value != "on"}


def test_those_of_mariadb_are_what_the_server_says(mariadb: Engine) -> None:
    with mariadb.connect() as db:
        flush, log, sync = db.exec_driver_sql(f"SELECT @@{FLUSH}, @@log_bin, @@sync_binlog").one()
    assert schema.not_durable(mariadb) == losing(flush, sync if log else 1)


@pytest.mark.serial  # it changes the server
def test_the_log_of_mariadb_is_looked_at(mariadb: Engine) -> None:
    admin = sqlalchemy.create_engine(make_url(str(mariadb.url)), poolclass=sqlalchemy.NullPool)
    with admin.connect() as db:
        before = db.exec_driver_sql(f"SELECT @@{FLUSH}").scalar_one()
        try:
            db.exec_driver_sql(f"SET GLOBAL {FLUSH} = 2")
            assert schema.not_durable(mariadb)[FLUSH] == "2"
        finally:
            db.exec_driver_sql(f"SET GLOBAL {FLUSH} = {before}")


@pytest.mark.parametrize(
    ("flush", "sync", "found"),
    [
        (1, 1, {}),
        (3, 1, {}),
        (0, 1, {FLUSH: "0"}),
        (2, 1, {FLUSH: "2"}),
        (1, 0, {"sync_binlog": "0"}),
        (2, 100, {FLUSH: "2", "sync_binlog": "100"}),
    ],
)
def test_what_can_be_lost_with_which_settings_of_mariadb(flush: int, sync: int, found: dict[str, str]) -> None:
    assert losing(flush, sync) == found
