"""Only the engine ends a transaction of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from saga_engine.errors import TransactionEnded
from saga_engine.ledger import effect, undo
from saga_engine.ledger.parts import Part
from tests.ledger.support import TASK, Loaded, apply, insert, key, loaded, part_rows, remove, undo_all

Way = Callable[[Connection], object]

SQLALCHEMY = {
    "db.commit()": lambda db: db.commit(),
    "db.rollback()": lambda db: db.rollback(),
    "db.close()": lambda db: db.close(),
    "with db.begin(): …": lambda db: db.get_transaction().commit(),
}
DRIVER = {
    "COMMIT": lambda db: db.exec_driver_sql("COMMIT"),
    "text COMMIT": lambda db: db.execute(text("/* done */ commit")),
    "driver commit": lambda db: db.connection.driver_connection.commit(),
    "COMMIT, BEGIN": lambda db: (db.exec_driver_sql("COMMIT"), db.exec_driver_sql("BEGIN")),
}
ROLLBACK = {
    "ROLLBACK": lambda db: db.exec_driver_sql("ROLLBACK"),
    "driver rollback": lambda db: db.connection.driver_connection.rollback(),
}
SQLITE_ONLY = {
    "END": lambda db: db.exec_driver_sql("END"),
    "executescript": lambda db: db.connection.driver_connection.executescript("SELECT 1"),
    "isolation level": lambda db: setattr(db.connection.driver_connection, "isolation_level", None),
}


def ends(way: Way, hide: bool = False) -> Callable[[Connection], Any]:
    """Work that ends its transaction in the middle; *hide*: and does as if nothing had been."""

    def work(db: Connection) -> Loaded:
        insert("before")(db)
        try:
            way(db)
        except Exception:
            if not hide:
                raise
        return Loaded(rows=1)

    return work


def each(ways: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways.values(), ids=ways.keys())


@pytest.mark.parametrize("hide", [False, True], ids=["told", "hidden"])
@each(SQLALCHEMY)
def test_ending_the_transaction_by_sqlalchemy_is_refused_before_it_happens(
    target: Engine, way: Way, hide: bool
) -> None:
    effect.open_head(target, key(1))
    with pytest.raises(TransactionEnded, match="that was refused, and nothing was kept"):
        apply(target, key(1), "a", ends(way, hide))
    assert (loaded(target), part_rows(target)) == ([], [])
    assert apply(target, key(1), "a") == Loaded(rows=1)


@pytest.mark.parametrize("hide", [False, True], ids=["told", "hidden"])
@each(DRIVER | ROLLBACK | SQLITE_ONLY)
def test_sqlite_itself_refuses_whatever_the_driver_is_told(sqlite: Engine, way: Way, hide: bool) -> None:
    effect.open_head(sqlite, key(1))
    with pytest.raises(TransactionEnded, match="that was refused, and nothing was kept"):
        apply(sqlite, key(1), "a", ends(way, hide))
    assert (loaded(sqlite), part_rows(sqlite)) == ([], [])
    assert apply(sqlite, key(1), "a") == Loaded(rows=1)


@each(DRIVER)
def test_a_commit_behind_sqlalchemys_back_is_found_out_and_puts_the_part_in_doubt(postgres: Engine, way: Way) -> None:
    effect.open_head(postgres, key(1))
    with pytest.raises(TransactionEnded, match="what it committed is there, and its part is in doubt"):
        apply(postgres, key(1), "a", ends(way))
    with pytest.raises(TransactionEnded, match="an earlier attempt of it did so"):
        apply(postgres, key(1), "a")
    assert (loaded(postgres), part_rows(postgres)) == (["before"], [("a", "intended", 1, None)])
    undo_all_in_doubt(postgres)
    assert (loaded(postgres), part_rows(postgres)) == ([], [("a", "undone", 1, None)])


def undo_all_in_doubt(target: Engine) -> None:
    undo.begin_undo(target, key(1))
    assert undo.applied(target, key(1)) == [Part("a", None)]
    undo.undo_part(target, key(1), "a", remove())
    undo.finish_undo(target, key(1), None)


@each(ROLLBACK)
def test_a_rollback_behind_sqlalchemys_back_leaves_nothing(postgres: Engine, way: Way) -> None:
    effect.open_head(postgres, key(1))
    with pytest.raises(TransactionEnded):
        apply(postgres, key(1), "a", lambda db: (ends(way)(db), insert("after")(db))[1])
    assert (loaded(postgres), part_rows(postgres)) == ([], [])
    assert apply(postgres, key(1), "a") == Loaded(rows=1)


def test_sqlite_rolling_back_by_itself_is_found_out(sqlite: Engine) -> None:
    def full(db: Connection) -> None:
        pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        db.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        db.execute(text("INSERT INTO loaded VALUES ('big', hex(zeroblob(1000000)))"))

    effect.open_head(sqlite, key(1))
    with pytest.raises(TransactionEnded, match="what it wrote after that was committed piece by piece"):
        apply(sqlite, key(1), "a", ends(full, hide=True))
    assert (loaded(sqlite), part_rows(sqlite)) == ([], [])


@pytest.mark.parametrize("same", [False, True], ids=["another statement", "the same again"])
def test_nothing_is_written_after_sqlite_has_rolled_back_by_itself(sqlite: Engine, same: bool) -> None:
    """Else what follows would be committed alone, and the row that tells of the part has gone with the transaction."""
    with sqlite.begin() as db:
        db.exec_driver_sql("CREATE TRIGGER no BEFORE INSERT ON loaded WHEN NEW.part = 'bad' BEGIN "
                           "SELECT RAISE(ROLLBACK, 'not this one'); END")  # fmt: skip

    def work(db: Connection) -> Loaded:
        for name in ("good", "bad", "late"):
            with suppress(Exception):
                statement = f"INSERT INTO loaded VALUES ('{TASK}', ?)" + ("" if same else f" -- {name}")
                db.exec_driver_sql(statement, (name,))
        return Loaded(rows=3)

    effect.open_head(sqlite, key(1))
    with pytest.raises(TransactionEnded, match="SQLite had rolled it back by itself"):
        apply(sqlite, key(1), "a", work)
    assert (loaded(sqlite), part_rows(sqlite)) == ([], [])
    assert apply(sqlite, key(1), "a") == Loaded(rows=1)


@each(SQLALCHEMY | DRIVER)
def test_an_undo_that_commits_by_itself_is_not_done(target: Engine, way: Way) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    undo.begin_undo(target, key(1))
    with pytest.raises(TransactionEnded):
        undo.undo_part(target, key(1), "a", lambda db: (remove("a")(db), way(db))[0])
    assert part_rows(target) == [("a", "applied", 1, '{"rows":1}')]
    undo_all(target, key(2))
    assert (loaded(target), part_rows(target)) == ([], [("a", "undone", 1, '{"rows":1}')])
