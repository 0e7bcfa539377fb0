"""A target's sessions have limits, say whom they act for, and keep nothing of one piece of work for the next."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from saga_engine.errors import EffectNotSupported, LedgerChanged, SettingsError
from saga_engine.ledger import connect, effect, schema
from saga_engine.ledger.mariadb import session_of
from tests.ledger.conftest import Opened
from tests.ledger.support import TASK, Loaded, apply, insert, key, loaded

LIMITS = text(
    "SELECT name, setting FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', 'lock_timeout',"
    " 'tcp_user_timeout', 'client_connection_check_interval') ORDER BY name"
)
OUR_LIMITS = {
    "client_connection_check_interval": "1000",
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "10000",
    "tcp_user_timeout": "5000",
}


def seen_in_work(target: Engine, part: str, look: Callable[[Connection], Any]) -> Any:
    """What *look* returns inside the work of an effect."""
    seen = []

    def work(db: Connection) -> Any:
        seen.append(look(db))
        return insert(part)(db)

    apply(target, key(1), part, work)
    return seen[0]


def limits(db: Connection) -> dict[str, str]:
    return {row.name: row.setting for row in db.execute(LIMITS)}


def test_every_session_on_postgresql_has_limits(postgres: Engine) -> None:
    effect.open_head(postgres, key(1))
    assert seen_in_work(postgres, "a", limits) == OUR_LIMITS
    with connect.session(postgres, "r.1 attempt 2") as db:
        assert limits(db) == OUR_LIMITS


def test_options_in_the_url_are_kept_and_our_limits_win(postgres_url: str, opened: Opened) -> None:
    engine = opened(f"{postgres_url}?options=-c%20work_mem%3D12MB%20-c%20lock_timeout%3D1")
    with connect.session(engine, "r.1 attempt 2") as db:
        assert limits(db) == OUR_LIMITS
        assert db.scalar(text("SHOW work_mem")) == "12MB"


@pytest.mark.parametrize("asked", ["", "?options=-c%20default_transaction_isolation%3Dserializable"])
def test_work_runs_at_read_committed_unless_the_url_says_otherwise(
    postgres_url: str, opened: Opened, asked: str
) -> None:
    admin = sqlalchemy.create_engine(postgres_url, poolclass=sqlalchemy.NullPool)
    with admin.begin() as db:
        db.exec_driver_sql(f"ALTER DATABASE {admin.url.database} SET default_transaction_isolation = 'repeatable read'")
    engine, show = opened(postgres_url + asked), text("SHOW transaction_isolation")
    for _ in range(2):  # the second time the session comes from the pool
        with connect.session(engine, "r.1 attempt 2") as db:
            db.execute(text("SET default_transaction_isolation = 'repeatable read'"))
            db.rollback()
            assert db.scalar(show) == ("serializable" if asked else "read committed")


def test_the_server_shows_task_and_attempt_while_work_runs_and_not_after_it(postgres: Engine) -> None:
    name = text("SELECT current_setting('application_name')")
    effect.open_head(postgres, key(3))
    seen = []

    def work(db: Connection) -> Any:
        seen.append(db.scalar(name))
        return insert("a")(db)

    apply(postgres, key(3), "a", work)
    with connect.session(postgres, "r.1 attempt 2") as db:
        seen.append(db.scalar(name))
    with postgres.connect() as db:
        seen.append(db.scalar(name))
    assert seen == [f"saga {TASK} attempt 3 part 'a'"[:63], "saga r.1 attempt 2", "saga"]


MARIADB_LIMITS = (
    "SELECT @@idle_transaction_timeout, @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@time_zone, @@autocommit,"
    " @@completion_type, @@tx_isolation, @@unique_checks, @@foreign_key_checks, @@character_set_client"
)
OUR_MARIADB_LIMITS = (5, 10, 10, "+00:00", 0, "NO_CHAIN", "READ-COMMITTED", 1, 1, "utf8mb4")
STRICT = {"STRICT_TRANS_TABLES", "ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION"}


def mariadb_limits(db: Connection) -> Any:
    return tuple(db.exec_driver_sql(MARIADB_LIMITS).one())


def mariadb_modes(db: Connection) -> set[str]:
    return set(str(db.exec_driver_sql("SELECT @@sql_mode").scalar()).split(","))


def test_every_session_on_mariadb_has_limits_and_is_strict(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    assert seen_in_work(mariadb, "a", mariadb_limits) == OUR_MARIADB_LIMITS
    assert seen_in_work(mariadb, "b", mariadb_modes) >= STRICT
    with connect.session(mariadb, "r.1 attempt 2") as db:
        assert (mariadb_limits(db), mariadb_modes(db) >= STRICT) == (OUR_MARIADB_LIMITS, True)


def test_modes_and_commands_in_the_url_are_kept_and_our_limits_win(mariadb: Engine, opened: Opened) -> None:
    lax = "SET SESSION unique_checks = 0, lock_wait_timeout = 1, sort_buffer_size = 1048576"
    url = mariadb.url.update_query_dict({"sql_mode": "ANSI_QUOTES", "init_command": lax, "client_flag": "65536"})
    engine = opened(url.render_as_string(hide_password=False))
    with connect.session(engine, "r.1 attempt 2") as db:
        assert (mariadb_limits(db), mariadb_modes(db)) == (OUR_MARIADB_LIMITS, STRICT | {"ANSI_QUOTES"})
        assert db.exec_driver_sql("SELECT @@sort_buffer_size").scalar() == 1048576
        assert db.connection.driver_connection.client_flag & 65536  # type: ignore[union-attr]
    effect.open_head(engine, key(1))
    assert apply(engine, key(1), "a") == Loaded(rows=1)


def test_a_dead_network_is_noticed_while_a_statement_runs(mariadb: Engine) -> None:
    with mariadb.connect() as db:
        sock = db.connection.driver_connection._sock  # type: ignore[union-attr]
        tcp = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert (sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), tcp) == (1, [5000, 5, 1, 3])


def test_mariadb_can_be_reached_by_its_socket_too(mariadb: Engine, opened: Opened) -> None:
    with mariadb.connect() as db:
        path = db.exec_driver_sql("SELECT @@socket").scalar()
    here = opened(f"mariadb+pymysql://root@localhost/{mariadb.url.database}?unix_socket={path}")
    try:
        effect.open_head(here, key(1))
    except DBAPIError as error:
        pytest.skip(f"no socket for this user: {error.orig}")
    assert (apply(here, key(1), "a"), loaded(mariadb)) == (Loaded(rows=1), ["a"])


def test_mysql_can_be_connected_to_and_its_sessions_get_the_limits_that_it_has() -> None:
    isolation, limits = session_of("8.0.36", 15)
    assert isolation == "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    assert "idle_transaction_timeout" not in limits
    assert limits.endswith("SESSION innodb_lock_wait_timeout = 30, SESSION lock_wait_timeout = 30")


def test_the_server_shows_task_and_attempt_in_the_statement_that_runs(mariadb: Engine) -> None:
    look = text("SELECT info FROM information_schema.processlist WHERE id = connection_id()")
    many = text("INSERT INTO loaded VALUES (:task, :part)")
    effect.open_head(mariadb, key(3))
    seen = []

    def work(db: Connection) -> Loaded:
        seen.append(db.scalar(look))
        db.execute(many, [{"task": "many", "part": "%s */ x"}, {"task": "many", "part": "b"}])
        return insert("a")(db)

    apply(mariadb, key(3), "a */ %s", work)
    with connect.session(mariadb, "r.1 attempt 2") as db:
        seen.append(db.scalar(look))
    with mariadb.connect() as db:
        seen.append(db.scalar(look))
    assert seen == [
        f"/* saga {TASK} attempt 3 part _a __ _s_ */ {look}",
        f"/* saga r.1 attempt 2 */ {look}",
        str(look),
    ]
    assert loaded(mariadb, "many") == ["%s */ x", "b"]


def test_a_session_to_read_with_begins_no_transaction_of_its_own(target: Engine) -> None:
    with connect.session(target, "r.1 attempt 2") as db, db.begin():
        assert db.scalar(text("SELECT count(*) FROM loaded")) == 0


@pytest.mark.parametrize(
    ("leave", "look"),
    [
        ("SET search_path = nowhere", "SELECT current_setting('search_path') LIKE '%nowhere%'"),
        ("SET lock_timeout = 0", "SELECT current_setting('lock_timeout') = '0'"),
        ("CREATE TEMP TABLE left_over AS SELECT 1", "SELECT to_regclass('pg_temp.left_over') IS NOT NULL"),
        ("SELECT pg_advisory_lock(7)", "SELECT count(*) > 0 FROM pg_locks WHERE objid = 7 AND locktype = 'advisory'"),
        ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user = 'pg_monitor'"),
        ("LISTEN left_over", "SELECT count(*) > 0 FROM pg_listening_channels()"),
    ],
)  # fmt: skip
def test_what_work_leaves_in_a_session_is_gone_for_the_next(postgres: Engine, leave: str, look: str) -> None:
    def session(db: Connection) -> tuple[Any, Any]:
        return db.scalar(text(look)), db.scalar(text("SELECT pg_backend_pid()"))

    def work(db: Connection) -> Any:
        result = insert("a")(db)
        db.execute(text(leave))
        seen.append(session(db))
        db.execute(text("RESET SESSION AUTHORIZATION"))
        return result

    seen: list[tuple[Any, Any]] = []
    effect.open_head(postgres, key(1))
    apply(postgres, key(1), "a", work)
    after = seen_in_work(postgres, "b", session)
    (there, first_pid), (still_there, second_pid) = seen[0], after
    assert (still_there, first_pid == second_pid) == (False, True)
    assert there is True or leave.startswith(("SET SESSION", "LISTEN"))  # a LISTEN counts from COMMIT on


@pytest.mark.parametrize(
    ("leave", "look"),
    [
        ("SET SESSION sql_mode = 'ANSI'", "SELECT instr(@@sql_mode, 'ANSI') > 0"),
        ("SET SESSION lock_wait_timeout = 77", "SELECT @@lock_wait_timeout = 77"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@tx_isolation = 'SERIALIZABLE'"),
        ("SET NAMES latin1", "SELECT @@character_set_client = 'latin1'"),
        ("SET @left_over = 1", "SELECT @left_over IS NOT NULL"),
        ("CREATE TEMPORARY TABLE left_over AS SELECT 1", "CALL is_there()"),
        ("SELECT get_lock('left_over', 1)", "SELECT is_used_lock('left_over') IS NOT NULL"),
        ("USE mysql", "SELECT database() = 'mysql'"),
    ],
)  # fmt: skip
def test_what_work_leaves_in_a_session_of_mariadb_is_gone_for_the_next(mariadb: Engine, leave: str, look: str) -> None:
    there = (
        "CREATE OR REPLACE PROCEDURE is_there() BEGIN DECLARE CONTINUE HANDLER FOR 1146 SELECT FALSE;"
        " SELECT TRUE FROM left_over; END"
    )
    with mariadb.begin() as db:
        db.exec_driver_sql(there)

    def session(db: Connection) -> tuple[bool, int]:
        name = mariadb.url.database
        found = db.exec_driver_sql(look.replace("CALL ", f"CALL {name}.")).scalar()
        return bool(found), int(db.exec_driver_sql("SELECT connection_id()").scalar_one())

    def work(db: Connection) -> Any:
        result = insert("a")(db)
        db.exec_driver_sql(leave)
        seen.append(session(db))
        return result

    seen: list[tuple[bool, int]] = []
    effect.open_head(mariadb, key(1))
    apply(mariadb, key(1), "a", work)
    after = seen_in_work(mariadb, "b", session)
    assert (seen, after) == ([(True, after[1])], (False, after[1]))


def test_a_table_of_the_work_before_the_ledger_on_mariadb_keeps_nothing(mariadb: Engine) -> None:
    """A temporary table hides another one there by its whole name: the end of the part does not find its row."""

    def work(db: Connection) -> Any:
        columns = "store text, task text, part text, status text, result text, applied_at datetime"
        db.execute(text(f"CREATE TEMPORARY TABLE saga_ledger_parts ({columns})"))
        return insert("a")(db)

    effect.open_head(mariadb, key(1))
    with pytest.raises(LedgerChanged, match="went away while its work ran"):
        apply(mariadb, key(1), "a", work)
    assert apply(mariadb, key(1), "a") == Loaded(rows=1)
    assert loaded(mariadb) == ["a"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], indirect=True)
def test_the_ledger_is_not_shadowed_by_tables_of_the_work(target: Engine) -> None:
    def work(db: Connection) -> Any:
        for table in ("saga_ledger", "saga_ledger_heads", "saga_ledger_parts"):
            db.execute(text(f"CREATE TEMP TABLE {table} (other text)"))
        return insert("a")(db)

    effect.open_head(target, key(1))
    apply(target, key(1), "a", work)
    apply(target, key(1), "a", work)
    assert loaded(target) == ["a"]


def test_effects_are_committed_durably_where_the_database_is_not(postgres: Engine) -> None:
    name = postgres.url.database
    with postgres.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    postgres.dispose()
    show = text("SHOW synchronous_commit")
    with postgres.connect() as db:
        assert db.scalar(show) == "off"
    effect.open_head(postgres, key(1))
    assert seen_in_work(postgres, "a", lambda db: db.scalar(show)) == "on"


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate"])
def test_a_sqlite_file_keeps_its_journal_mode_and_commits_durably(
    fresh_url: Callable[[str, str], str], opened: Opened, mode: str
) -> None:
    target = opened(fresh_url("sqlite", "target"))
    plain = sqlalchemy.create_engine(target.url, poolclass=sqlalchemy.NullPool)
    with plain.connect() as db:
        db.exec_driver_sql(f"PRAGMA journal_mode = {mode}")
        db.exec_driver_sql("CREATE TABLE loaded (task text, part text)")
    schema.create(target)
    effect.open_head(target, key(1))
    pragmas = ("journal_mode", "synchronous", "foreign_keys")
    seen = seen_in_work(target, "a", lambda db: [db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas])
    assert seen[1:] == [2, 0]
    with plain.connect() as db:
        kept = db.exec_driver_sql("PRAGMA journal_mode").scalar()
    # Only WAL is written into the file; the other modes are each connection's own, and the default is delete.
    assert (seen[0], kept) == (("wal", "wal") if mode == "wal" else ("delete", "delete"))


def test_errors_show_no_values_of_a_statement(target: Engine) -> None:
    def work(db: Connection) -> Any:
        db.execute(text("INSERT INTO nowhere VALUES (:secret)"), {"secret": "canary"})

    effect.open_head(target, key(1))
    with pytest.raises(sqlalchemy.exc.DBAPIError) as error:
        apply(target, key(1), "a", work)
    assert "canary" not in str(error.value)


def test_another_database_is_refused_and_pointed_to_verified_steps() -> None:
    with pytest.raises(EffectNotSupported) as refused:
        connect.open_target("erp", "oracle+oracledb://root:canary@127.0.0.1/shop")
    assert str(refused.value) == (
        "erp is oracle+oracledb: an effect needs SQLite, PostgreSQL (postgresql+psycopg://) or MariaDB "
        "(mariadb+pymysql://). On another database make the step a verified one: .verified(probe)."
    )


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("sqlite://", SettingsError, "connection dw: a SQLite target must be a file"),
        ("sqlite:///:memory:", SettingsError, "connection dw: a SQLite target must be a file"),
        ("sqlite:///file:x?mode=memory&uri=true", SettingsError, "connection dw: a SQLite target must be a file"),
        ("postgresql://me@host:canary/x", SettingsError, "connection dw: this is not the URL of a database"),
        ("canary", SettingsError, "connection dw: this is not the URL of a database that SQLAlchemy knows"),
        ("nosuch://canary@host/x", SettingsError, "connection dw: this is not the URL of a database"),
        ("postgresql+psycopg2://canary@host/x", EffectNotSupported, "dw is postgresql+psycopg2: "),
        ("sqlite+aiosqlite:///canary", EffectNotSupported, "dw is sqlite+aiosqlite: "),
        ("mysql+mysqldb://canary@host/x", EffectNotSupported, "dw is mysql+mysqldb: "),
        ("mariadb+pymysql://canary@host", SettingsError, "connection dw: name the database in the URL of a MariaDB"),
        ("mysql+pymysql://canary@host/", SettingsError, "connection dw: name the database in the URL of a MariaDB"),
        ("mariadb+pymysql://canary@host/x?client_flag=x", SettingsError, "connection dw: client_flag is a number"),
    ],
)
def test_a_url_that_cannot_serve_is_refused_without_showing_it(url: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as refused:
        connect.open_target("dw", url)
    assert str(refused.value).startswith(says)
    assert "canary" not in str(refused.value)


def test_opening_a_target_connects_nowhere(tmp_path: Path) -> None:
    connect.open_target("dw", f"sqlite:///{tmp_path}/none.db", lease=timedelta(seconds=1))
    connect.open_target("dw", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    connect.open_target("dw", "mariadb+pymysql://nobody@127.0.0.1:1/none")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "driver"), [("postgresql+psycopg://h/x", "psycopg"), ("mysql+pymysql://h/x", "pymysql")]
)
def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, url: str, driver: str) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(SettingsError, match=f"connection dw: install the driver, the Python package {driver}"):
        connect.open_target("dw", url)


def test_as_many_attempts_as_a_worker_has_slots_work_at_once(server: Engine) -> None:
    """None waits for the connection of another: one that needs a second one would wait for itself."""
    with ExitStack() as sessions:
        for number in range(20):
            sessions.enter_context(connect.session(server, f"task {number}"))


def test_a_connection_that_the_work_has_detached_is_closed_and_the_pool_goes_on(server: Engine) -> None:
    with server.connect() as db:
        db.detach()
        gone = db.connection.driver_connection
    assert not getattr(gone, "open", False) or getattr(gone, "closed", False)
    effect.open_head(server, key(1))
    assert apply(server, key(1), "a") == Loaded(rows=1)


def test_effects_are_committed_durably_where_the_sqlite_library_would_not(sqlite: Engine) -> None:
    """It stands for a library that was built with another default, as some are."""

    def lax(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(sqlalchemy.NullPool, "connect", lax)
    try:
        effect.open_head(sqlite, key(1))
        seen = seen_in_work(sqlite, "a", lambda db: db.exec_driver_sql("PRAGMA synchronous").scalar())
    finally:
        event.remove(sqlalchemy.NullPool, "connect", lax)
    assert seen == 2
