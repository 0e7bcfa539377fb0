"""A target's sessions have limits, say whom they act for, and keep nothing of one piece of work for the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, text

from saga_engine.errors import EffectNotSupported, SettingsError
from saga_engine.ledger import connect, effect, schema
from tests.ledger.conftest import Opened
from tests.ledger.support import TASK, apply, insert, key, loaded

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


def test_mariadb_is_refused_and_pointed_to_verified_steps() -> None:
    with pytest.raises(EffectNotSupported) as refused:
        connect.open_target("erp", "mysql+pymysql://root:canary@127.0.0.1/shop")
    assert str(refused.value) == (
        "erp is mysql+pymysql: an effect needs SQLite or PostgreSQL (postgresql+psycopg://). On MariaDB and MySQL, "
        "where statements commit by themselves, make the step a verified one: .verified(probe)."
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
    assert list(tmp_path.iterdir()) == []
