"""What the database may do to a transaction: some of it is tried again, some means later, some is said plainly."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from saga_engine.errors import WorkIdle
from saga_engine.ledger import connect, effect, undo
from saga_engine.ledger.transaction import TRIES_MAX
from tests.ledger.conftest import Opened, without_sessions
from tests.ledger.support import (
    TASK,
    Head,
    Loaded,
    apply,
    change,
    counted,
    head,
    insert,
    key,
    loaded,
    part_rows,
    remove,
)


def raises(code: str | int) -> str:
    """A statement that fails in this way, on the server that knows such a code."""
    if isinstance(code, int):
        return f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'on purpose'"
    return f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END $$"


def test_two_works_that_deadlock_both_take_effect_once(server: Engine) -> None:
    change(server, "CREATE TABLE account (id int PRIMARY KEY, changes int)")
    change(server, "INSERT INTO account VALUES (1, 0), (2, 0)")
    both_hold_one = threading.Barrier(2, timeout=30)
    calls: list[str] = []

    def work(part: str, first: int, second: int) -> Callable[[Connection], Loaded]:
        def update(db: Connection) -> Loaded:
            calls.append(part)
            db.execute(text("UPDATE account SET changes = changes + 1 WHERE id = :id"), {"id": first})
            if calls.count(part) == 1:
                both_hold_one.wait()
            db.execute(text("UPDATE account SET changes = changes + 1 WHERE id = :id"), {"id": second})
            return Loaded(rows=2)

        return update

    effect.open_head(server, key(1))
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(apply, server, key(1), "one", work("one", 1, 2))
        two = threads.submit(apply, server, key(1), "two", work("two", 2, 1))
        assert (one.result(), two.result()) == (Loaded(rows=2), Loaded(rows=2))
    with server.connect() as db:
        assert db.execute(text("SELECT id, changes FROM account ORDER BY id")).all() == [(1, 2), (2, 2)]
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("name", "code"), [("postgres", "40001"), ("postgres", "40P01"), ("mariadb", 1213), ("mariadb", 1020)]
)
def test_a_transaction_that_is_given_up_again_and_again_ends_with_its_own_error(
    request: pytest.FixtureRequest, name: str, code: str | int
) -> None:
    server: Engine = request.getfixturevalue(name)
    work, calls = counted(lambda db: (insert("a")(db), db.execute(text(raises(code)))))
    effect.open_head(server, key(1))
    with pytest.raises(DBAPIError) as error:
        apply(server, key(1), "a", work)
    assert code in (error.value.orig.args[0], getattr(error.value.orig, "sqlstate", None))  # type: ignore[union-attr]
    assert (len(calls), loaded(server), part_rows(server)) == (TRIES_MAX, [], [])


def test_a_driver_error_that_never_went_through_sqlalchemy_is_understood_too(server: Engine) -> None:
    statement = raises("40001" if server.dialect.name == "postgresql" else 1213)

    def raw(db: Connection) -> Loaded:
        if len(calls) == 1:
            db.connection.driver_connection.cursor().execute(statement)  # type: ignore[union-attr]
        return insert("a")(db)

    work, calls = counted(raw)
    effect.open_head(server, key(1))
    assert apply(server, key(1), "a", work) == Loaded(rows=1)
    assert (len(calls), loaded(server)) == (2, ["a"])


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_newer_attempt_is_noticed_at_every_isolation_level(postgres: Engine, opened: Opened, isolation: str) -> None:
    strict = opened(f"{postgres.url}?options=-c%20default_transaction_isolation%3D{isolation.replace(' ', '%5C%20')}")
    show = text("SHOW transaction_isolation")

    def work(db: Connection) -> Loaded:
        assert db.scalar(show) == isolation
        return insert("a")(db)

    effect.open_head(strict, key(1))
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: apply(strict, key(1), "a", work), range(8)))
    assert (results, loaded(postgres)) == ([Loaded(rows=1)] * 8, ["a"])


def test_a_serialization_failure_at_commit_is_tried_again(postgres: Engine, opened: Opened) -> None:
    """Write skew: each reads what the other writes; the server lets only one of them commit."""
    strict = opened(f"{postgres.url}?options=-c%20default_transaction_isolation%3Dserializable")
    change(postgres, "INSERT INTO loaded VALUES ('seen', 'x'), ('seen', 'y')")
    both_have_read = threading.Barrier(2, timeout=30)
    calls: list[str] = []

    def work(part: str) -> Callable[[Connection], Loaded]:
        def skew(db: Connection) -> Loaded:
            calls.append(part)
            count = db.scalar(text("SELECT count(*) FROM loaded"))
            if calls.count(part) == 1:
                both_have_read.wait()
            insert(part)(db)
            return Loaded(rows=count or 0)

        return skew

    # Two tasks, so that they have nothing of the ledger in common.
    attempts = [key(1, task="r.1"), key(1, task="r.2")]
    for attempt in attempts:
        effect.open_head(strict, attempt)
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(apply, strict, attempt, attempt.task, work(attempt.task)) for attempt in attempts]
        counts = sorted(future.result().rows for future in futures)
    assert (counts, sorted(loaded(postgres))) == ([2, 3], ["r.1", "r.2"])
    assert len(calls) == 3


def test_an_io_error_at_a_commit_on_sqlite_is_asked_after(sqlite: Engine) -> None:
    """The file may not grow any more when the first try is committed."""
    wide = "x" * 50_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def work(db: Connection) -> Loaded:
        db.execute(text("INSERT INTO loaded VALUES (:task, :part)"), {"task": TASK, "part": wide})
        if len(calls) == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (Path(str(sqlite.url.database)).stat().st_size, limits[1]))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return Loaded(rows=1)

    counting, calls = counted(work)
    effect.open_head(sqlite, key(1))
    try:
        assert apply(sqlite, key(1), "a", counting) == Loaded(rows=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (len(calls), loaded(sqlite)) == (2, [wide])


@pytest.mark.parametrize("again", [False, True], ids=["returns", "goes on"])
def test_work_that_says_nothing_for_a_lease_is_ended_and_told_so(
    server: Engine, impatient_server: Engine, again: bool
) -> None:
    lease = lease_of(impatient_server)

    def idle(db: Connection) -> Loaded:
        insert("a")(db)
        time.sleep(lease + 0.3)
        return insert("a")(db) if again else Loaded(rows=1)

    effect.open_head(impatient_server, key(1))
    work, calls = counted(idle)
    with pytest.raises(
        WorkIdle, match=rf"said nothing to dw for {lease} s, the lease, inside its transaction"
    ) as error:
        apply(impatient_server, key(1), "a", work)
    assert (len(calls), loaded(impatient_server), part_rows(impatient_server)) == (1, [], [])
    assert "Read and compute before step.effect" in str(error.value)
    assert apply(server, key(1), "a") == Loaded(rows=1)


def lease_of(target: Engine) -> float:
    with target.connect() as db:
        return connect.lease_of(db)


END_OTHER_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def end_sessions(target: Engine) -> None:
    stranger = sqlalchemy.create_engine(target.url, poolclass=sqlalchemy.NullPool)
    with stranger.connect() as db:
        if stranger.dialect.name == "postgresql":
            db.execute(text(END_OTHER_SESSIONS))
        else:
            without_sessions(db, str(target.url.database))


def test_connections_that_died_in_the_pool_are_replaced(server: Engine) -> None:
    effect.open_head(server, key(1))
    apply(server, key(1), "a")
    end_sessions(server)
    assert apply(server, key(1), "b") == Loaded(rows=1)
    assert loaded(server) == ["a", "b"]


def test_a_connection_lost_inside_the_work_is_its_failure_and_leaves_nothing(server: Engine) -> None:
    def work(db: Connection) -> Loaded:
        insert("a")(db)
        end_sessions(server)
        return insert("a")(db)

    effect.open_head(server, key(1))
    counting, calls = counted(work)
    with pytest.raises(OperationalError):
        apply(server, key(1), "a", counting)
    assert (len(calls), loaded(server), part_rows(server)) == (1, [], [])


def test_a_connection_lost_after_the_work_and_before_commit_is_tried_again(server: Engine) -> None:
    def work(db: Connection) -> Loaded:
        result = insert("a")(db)
        if len(calls) == 1:
            end_sessions(server)
        return result

    effect.open_head(server, key(1))
    counting, calls = counted(work)
    assert apply(server, key(1), "a", counting) == Loaded(rows=1)
    assert (len(calls), loaded(server)) == (2, ["a"])


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_a_target_that_does_not_answer_is_told_at_once(opened: Opened, driver: str) -> None:
    nowhere = opened(f"{driver}://me:canary@127.0.0.1:1/x")
    with pytest.raises(OperationalError) as error:
        effect.open_head(nowhere, key(1))
    assert "canary" not in str(error.value)


def test_a_deferred_constraint_that_fails_at_commit_is_the_works_failure(postgres: Engine) -> None:
    change(postgres, "CREATE TABLE parent (id int PRIMARY KEY)")
    change(postgres, "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    work, calls = counted(lambda db: (db.execute(text("INSERT INTO child VALUES (7)")), Loaded(rows=1))[1])
    effect.open_head(postgres, key(1))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        apply(postgres, key(1), "a", work)
    assert (len(calls), part_rows(postgres)) == (1, [])


def test_an_undo_is_held_to_the_same_rules(impatient_server: Engine) -> None:
    def idle(db: Connection) -> None:
        remove("a")(db)
        time.sleep(lease_of(impatient_server) + 0.3)

    effect.open_head(impatient_server, key(1))
    apply(impatient_server, key(1), "a")
    undo.begin_undo(impatient_server, key(1))
    with pytest.raises(WorkIdle):
        undo.undo_part(impatient_server, key(1), "a", idle)
    assert (loaded(impatient_server), head(impatient_server)) == (["a"], Head("undoing", 1, 1))


def test_a_target_that_can_only_be_read_says_so_itself(sqlite: Engine, opened: Opened) -> None:
    read_only = opened(f"sqlite:///file:{sqlite.url.database}?mode=ro&uri=true")
    with pytest.raises(OperationalError, match="attempt to write a readonly database"):
        effect.open_head(read_only, key(1))
    assert head(sqlite) is None


def test_a_file_that_is_overwritten_by_something_else_says_so_as_the_transaction_begins(sqlite: Engine) -> None:
    """After it was opened: it was a database then."""
    file = Path(str(sqlite.url.database))
    event.listen(sqlite, "connect", lambda *_: file.write_bytes(b"no database any more" * 1000))
    with pytest.raises(sqlalchemy.exc.DatabaseError, match="file is not a database"):
        effect.open_head(sqlite, key(1))


def test_an_integrity_error_of_the_part_row_that_is_no_duplicate_is_told(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    refuses = "SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1048, MESSAGE_TEXT = 'on purpose'"
    change(mariadb, f"CREATE TRIGGER refuses BEFORE INSERT ON saga_ledger_parts FOR EACH ROW {refuses}")
    try:
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="on purpose"):
            apply(mariadb, key(1), "a")
    finally:
        change(mariadb, "DROP TRIGGER refuses")
    assert apply(mariadb, key(1), "a") == Loaded(rows=1)


@pytest.mark.parametrize("after", ["CHARACTERISTICS", "RELEASE"])
def test_a_connection_lost_at_a_statement_around_the_work_is_tried_again(mariadb: Engine, after: str) -> None:
    lost: list[str] = []

    def lose(_db: Connection, _cursor: object, statement: str, *_: object) -> None:
        if after in statement and not lost:
            lost.append(statement)
            end_sessions(mariadb)

    effect.open_head(mariadb, key(1))
    event.listen(mariadb, "after_cursor_execute", lose)
    try:
        assert apply(mariadb, key(1), "a") == Loaded(rows=1)
    finally:
        event.remove(mariadb, "after_cursor_execute", lose)
    assert (len(lost), loaded(mariadb)) == (1, ["a"])
