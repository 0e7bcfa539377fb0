"""On MariaDB many statements commit by themselves, and some tables know no transaction: no effect is built on these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from saga_engine.errors import TransactionEnded, WriteStays
from saga_engine.ledger import effect, undo
from saga_engine.ledger.mariadb_work import COMMITS
from tests.ledger.support import Loaded, apply, change, counted, insert, key, loaded, part_rows, remove

REFUSED = [
    "CREATE TABLE other (id int)",
    "create or replace view v as select 1",
    "CREATE INDEX i ON loaded (task(10))",
    "ALTER TABLE loaded ADD more int",
    "DROP TABLE IF EXISTS other",
    "RENAME TABLE loaded TO other",
    "TRUNCATE TABLE loaded",
    "/* why */ -- because\n # of that\n TRUNCATE loaded",
    "/**/" * 1000 + "TRUNCATE loaded",
    "--\n-- empty it\n--\nTRUNCATE loaded",
    "/*migration 7*/ TRUNCATE loaded",
    "/*My own*/--\t\nTRUNCATE loaded",
    "/*!50000 TRUNCATE loaded */",
    "/*M! TRUNCATE loaded */",
    "COMMIT",
    "commit and chain",
    "ROLLBACK",
    "ROLLBACK WORK",
    "BEGIN",
    "START TRANSACTION",
    "SET autocommit = 1",
    "SET SESSION autocommit=ON",
    "SET autocommit := 1",
    "SET @@autocommit = 1",
    "SET sql_mode = '', autocommit = 1",
    "SET PASSWORD = ''",
    "LOCK TABLES loaded WRITE",
    "ANALYZE TABLE loaded",
    "OPTIMIZE NO_WRITE_TO_BINLOG TABLE loaded",
    "REPAIR TABLE loaded",
    "CHECK TABLE loaded",
    "FLUSH TABLES",
    "GRANT SELECT ON loaded TO nobody",
    "XA START 'x'",
]
FREE = [
    "SELECT 1",
    "SAVEPOINT mine",
    "ROLLBACK TO mine",
    "ROLLBACK WORK TO SAVEPOINT mine",
    "RELEASE SAVEPOINT mine",
    "BEGIN NOT ATOMIC SELECT 1; END",
    "CREATE TEMPORARY TABLE t (id int)",
    "CREATE OR REPLACE TEMPORARY TABLE t (id int)",
    "DROP TEMPORARY TABLE t",
    "ANALYZE SELECT 1",
    "SET @x = 1",
    "SET @x = 'autocommit'",
    "/**/" * 1000 + "SELECT 1",
    "SET SESSION sort_buffer_size = 1000000",
    "INSERT INTO loaded VALUES ('CREATE TABLE', 'COMMIT')",
    "UPDATE loaded SET part = 'x'; -- COMMIT",
    "CALL commit_it()",
    "/* COMMIT */ SELECT 1",
]
HIDDEN = {
    "the driver commits": lambda db: db.connection.driver_connection.commit(),
    "in another guise": "EXECUTE IMMEDIATE 'CREATE OR REPLACE TABLE other (id int)'",
    "a compound statement": "BEGIN NOT ATOMIC COMMIT; INSERT INTO loaded VALUES ('chained', 'b'); END",
    "a compound statement that begins anew": "BEGIN NOT ATOMIC COMMIT AND CHAIN; END",
    "a procedure": "CALL commits()",
    "a statement that failed and yet committed": "EXECUTE IMMEDIATE 'INSTALL SONAME \"no such\"'",
}


def does(way: Any, hide: bool = False) -> Callable[[Connection], Loaded]:
    """Work that writes a row, then does *way*; *hide*: and does as if nothing had been."""

    def work(db: Connection) -> Loaded:
        insert("before")(db)
        try:
            way(db) if callable(way) else db.exec_driver_sql(way)
        except Exception:
            if not hide:
                raise
        return Loaded(rows=1)

    return work


def tables(target: Engine) -> set[str]:
    with target.connect() as db:
        return set(db.exec_driver_sql("SHOW TABLES").scalars())


def shortened(statement: str) -> str:
    return f"{statement[:20]}…{statement[-20:]}" if len(statement) > 60 else statement


@pytest.mark.parametrize("statement", REFUSED, ids=shortened)
def test_a_statement_that_would_commit_is_known(statement: str) -> None:
    assert COMMITS.match(statement)


@pytest.mark.parametrize("statement", FREE, ids=shortened)
def test_a_statement_that_would_not_commit_is_free(statement: str) -> None:
    assert not COMMITS.match(statement)


def test_what_is_known_to_commit_is_refused_before_it_does_and_nothing_is_kept(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    before = tables(mariadb)
    for hide in (False, True):
        for statement in REFUSED:
            with pytest.raises(TransactionEnded, match=r"that was refused, and nothing was kept \(on MariaDB DDL"):
                apply(mariadb, key(1), "a", does(statement, hide))
    assert (loaded(mariadb), part_rows(mariadb), tables(mariadb)) == ([], [], before)
    assert apply(mariadb, key(1), "a") == Loaded(rows=1)


def test_what_is_free_takes_effect(mariadb: Engine) -> None:
    change(mariadb, "CREATE OR REPLACE PROCEDURE commit_it() INSERT INTO loaded VALUES ('called', 'x')")
    effect.open_head(mariadb, key(1))

    def work(db: Connection) -> Loaded:
        for statement in FREE:
            db.exec_driver_sql(statement)
        return Loaded(rows=1)

    assert apply(mariadb, key(1), "a", work) == Loaded(rows=1)
    assert [(part, status) for part, status, *_ in part_rows(mariadb)] == [("a", "applied")]
    assert loaded(mariadb, "called") == ["x"]


@pytest.mark.parametrize("hide", [False, True], ids=["told", "swallowed"])
@pytest.mark.parametrize("way", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_commit_in_disguise_is_found_out_and_puts_the_part_in_doubt(mariadb: Engine, way: Any, hide: bool) -> None:
    change(
        mariadb, "CREATE OR REPLACE PROCEDURE commits() BEGIN COMMIT; INSERT INTO loaded VALUES ('called', 'x'); END"
    )
    effect.open_head(mariadb, key(1))
    fails = isinstance(way, str) and "INSTALL" in way and not hide
    with pytest.raises(DBAPIError if fails else TransactionEnded, match=r"SONAME|its part is in doubt"):
        apply(mariadb, key(1), "a", does(way, hide))
    with pytest.raises(TransactionEnded, match="an earlier attempt of it did so"):
        apply(mariadb, key(1), "a")
    assert (loaded(mariadb), part_rows(mariadb)) == (["before"], [("a", "intended", 1, None)])
    undo.begin_undo(mariadb, key(1))
    undo.undo_part(mariadb, key(1), "a", remove())
    undo.finish_undo(mariadb, key(1), None)
    assert (loaded(mariadb), part_rows(mariadb)) == ([], [("a", "undone", 1, None)])


def test_a_rollback_behind_sqlalchemys_back_leaves_nothing(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    for again in ("", "INSERT INTO loaded VALUES ('after', 'x')"):

        def work(db: Connection, again: str = again) -> Loaded:
            result = does(lambda db: db.connection.driver_connection.rollback())(db)
            if again:
                db.exec_driver_sql(again)
            return result

        with pytest.raises(TransactionEnded):
            apply(mariadb, key(1), "a", work)
    assert (loaded(mariadb), loaded(mariadb, "after"), part_rows(mariadb)) == ([], [], [])


def test_a_deadlock_that_the_work_swallows_keeps_nothing_of_it(mariadb: Engine) -> None:
    """The server has rolled everything back; what comes afterwards would be another transaction."""

    def deadlocks(db: Connection) -> None:
        db.connection.driver_connection.rollback()  # type: ignore[union-attr]  # as the server does
        db.exec_driver_sql("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")

    effect.open_head(mariadb, key(1))
    work, calls = counted(lambda db: (does(deadlocks, hide=True)(db), insert("after")(db))[1])
    with pytest.raises(TransactionEnded):
        apply(mariadb, key(1), "a", work)
    assert (len(calls), loaded(mariadb), part_rows(mariadb)) == (1, [], [])


WITHOUT = ["MyISAM", "Aria", "MEMORY"]


def log(db: Connection) -> None:
    db.exec_driver_sql("INSERT INTO log (id) VALUES (1)")


def raises(db: Connection) -> Loaded:
    insert("before")(db)
    log(db)
    raise ZeroDivisionError


MANY = [{"id": number, "note": "x" * 8000} for number in range(200)]
"""More than PyMySQL puts into one statement."""
WRITES: dict[str, Callable[[Connection], Any]] = {
    "told": does(log),
    "swallowed": does(log, hide=True),
    "raises": raises,
    "in a function": does("SELECT logs()"),
    "in a function, and raises": lambda db: (does("SELECT logs()")(db), 1 // 0)[0],
    "by a trigger": does("INSERT INTO triggers VALUES (1)"),
    "by the driver": does(
        lambda db: db.connection.driver_connection.cursor().execute("INSERT INTO log (id) VALUES (1)")
    ),
    "many rows": does(lambda db: db.execute(text("INSERT INTO log VALUES (:id, :note)"), MANY)),
    "by a procedure that answers first": does("CALL answers_and_logs()"),
}


@pytest.fixture
def logging(mariadb: Engine, request: pytest.FixtureRequest) -> Engine:
    change(mariadb, f"CREATE TABLE log (id int, note varchar(8000)) ENGINE = {getattr(request, 'param', 'MyISAM')}")
    change(mariadb, "CREATE TABLE triggers (id int)")
    change(mariadb, "CREATE TRIGGER logs_it AFTER INSERT ON triggers FOR EACH ROW INSERT INTO log (id) VALUES (NEW.id)")
    change(
        mariadb, "CREATE OR REPLACE PROCEDURE answers_and_logs() BEGIN SELECT 1; INSERT INTO log (id) VALUES (1); END"
    )
    change(
        mariadb, "CREATE OR REPLACE FUNCTION logs() RETURNS int BEGIN INSERT INTO log (id) VALUES (1); RETURN 1; END"
    )
    return mariadb


def logged(target: Engine) -> int:
    with target.connect() as db:
        return int(db.exec_driver_sql("SELECT count(*) FROM log").scalar_one())


@pytest.mark.parametrize(
    ("logging", "way"),
    [*(("MyISAM", way) for way in WRITES), ("Aria", "told"), ("Aria", "in a function"), ("MEMORY", "swallowed")],
    indirect=["logging"],
)
def test_a_write_that_cannot_be_taken_back_is_found_out_and_never_made_again(logging: Engine, way: str) -> None:
    effect.open_head(logging, key(1))
    with pytest.raises(WriteStays, match=r"whose engine has no transactions .* the part is in doubt"):
        apply(logging, key(1), "a", WRITES[way])
    written = logged(logging)
    with pytest.raises(TransactionEnded, match="an earlier attempt of it did so"):
        apply(logging, key(1), "a", WRITES[way])
    assert 1 <= written < len(MANY)
    assert (loaded(logging), logged(logging), part_rows(logging)) == ([], written, [("a", "intended", 1, None)])


def test_such_a_table_may_be_read_and_a_temporary_table_be_written(logging: Engine) -> None:
    change(logging, "INSERT INTO log (id) VALUES (7)")

    def work(db: Connection) -> Loaded:
        db.exec_driver_sql("CREATE TEMPORARY TABLE staging (id int) ENGINE = InnoDB")
        db.exec_driver_sql("INSERT INTO staging SELECT id FROM log")
        db.exec_driver_sql("INSERT INTO loaded SELECT 'read', id FROM staging")
        return Loaded(rows=1)

    effect.open_head(logging, key(1))
    assert apply(logging, key(1), "a", work) == Loaded(rows=1)
    assert loaded(logging, "read") == ["7"]


def test_an_undo_that_writes_so_is_not_done(logging: Engine) -> None:
    def work(db: Connection) -> None:
        remove("a")(db)
        log(db)

    effect.open_head(logging, key(1))
    apply(logging, key(1), "a")
    undo.begin_undo(logging, key(1))
    with pytest.raises(WriteStays):
        undo.undo_part(logging, key(1), "a", work)
    assert (loaded(logging), part_rows(logging)) == (["a"], [("a", "applied", 1, '{"rows":1}')])


def test_a_commit_and_such_a_write_are_told_as_the_commit(logging: Engine) -> None:
    def both(db: Connection) -> None:
        db.connection.driver_connection.commit()  # type: ignore[union-attr]
        log(db)

    effect.open_head(logging, key(1))
    with pytest.raises(TransactionEnded, match="its part is in doubt"):
        apply(logging, key(1), "a", does(both))
    assert part_rows(logging) == [("a", "intended", 1, None)]


def test_a_session_that_was_watched_can_be_used_as_before(mariadb: Engine) -> None:
    effect.open_head(mariadb, key(1))
    seen: list[Any] = []

    def work(db: Connection) -> Loaded:
        seen.append(db.connection.driver_connection)
        return insert("a")(db)

    apply(mariadb, key(1), "a", work)
    with mariadb.connect() as db:
        assert db.connection.driver_connection is seen[0]
        db.exec_driver_sql("COMMIT")
        assert "_read_query_result" not in vars(seen[0])
