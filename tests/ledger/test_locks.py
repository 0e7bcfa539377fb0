"""A lock that is not given in time: on the ledger it means later, in the work it is a failure of the work."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from saga_engine.errors import TargetBusy
from saga_engine.ledger import connect, effect, undo
from tests.ledger.conftest import Opened
from tests.ledger.support import Head, Loaded, apply, counted, head, key, loaded, part_rows


def holding(target: Engine, statement: str) -> Connection:
    """A session of somebody else that has locked what *statement* names, and does nothing more."""
    stranger = sqlalchemy.create_engine(target.url, poolclass=sqlalchemy.NullPool, connect_args={}).connect()
    if target.dialect.name == "sqlite":
        stranger.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        stranger.execute(text(statement.format(ledger=connect.database_of(target).schema(target.url))))
    return stranger


def test_a_lock_on_the_head_row_that_is_not_given_in_time_means_later(target: Engine, impatient: Engine) -> None:
    effect.open_head(target, key(1))
    with holding(target, "SELECT * FROM {ledger}.saga_ledger_heads FOR UPDATE"):
        for act in (
            lambda: effect.open_head(impatient, key(2)),
            lambda: apply(impatient, key(1), "a"),
            lambda: undo.begin_undo(impatient, key(1)),
        ):
            with pytest.raises(TargetBusy, match=r"waited (0\.8|2\.0) s for a lock on the ledger of dw"):
                act()
    assert (loaded(target), part_rows(target), head(target)) == ([], [], Head("open", 1, 0))
    assert apply(target, key(1), "a") == Loaded(rows=1)


def test_a_lock_on_the_part_row_that_is_not_given_in_time_means_later(server: Engine, impatient_server: Engine) -> None:
    effect.open_head(server, key(1))
    insertion = (
        "INSERT INTO {ledger}.saga_ledger_parts (store, task, part, token, status, intended_at)"
        " SELECT store, task, 'a', 1, 'intended', now() FROM {ledger}.saga_ledger_heads"
    )
    with holding(server, insertion), pytest.raises(TargetBusy):
        apply(impatient_server, key(1), "a")
    assert apply(server, key(1), "a") == Loaded(rows=1)


def update(db: Connection) -> Loaded:
    return Loaded(rows=db.execute(text("UPDATE loaded SET part = 'y'")).rowcount)


def test_a_lock_that_the_work_itself_does_not_get_is_its_failure(server: Engine, impatient_server: Engine) -> None:
    effect.open_head(server, key(1))
    apply(server, key(1), "x")
    work, calls = counted(update)
    with holding(server, "UPDATE loaded SET part = 'z'"), pytest.raises(OperationalError) as error:
        apply(impatient_server, key(1), "a", work)
    found = getattr(error.value.orig, "diag", None)
    number = found.sqlstate if found else error.value.orig.args[0]  # type: ignore[union-attr]
    assert (number, len(calls), loaded(server)) == ("55P03" if found else 1205, 1, ["x"])


def test_on_mariadb_a_work_may_do_something_else_where_it_did_not_get_a_lock(mariadb: Engine, opened: Opened) -> None:
    """There only the statement is taken back, and the transaction stays open."""
    impatient = opened(mariadb.url.render_as_string(hide_password=False), lease=timedelta(seconds=1))
    effect.open_head(mariadb, key(1))
    apply(mariadb, key(1), "x")

    def work(db: Connection) -> Loaded:
        with pytest.raises(OperationalError):
            update(db)
        return Loaded(rows=0)

    with holding(mariadb, "UPDATE loaded SET part = 'z'"):
        assert apply(impatient, key(1), "a", work) == Loaded(rows=0)
    assert (loaded(mariadb), [part for part, *_ in part_rows(mariadb)]) == (["x"], ["x", "a"])


def test_a_reader_that_keeps_sqlite_from_committing_means_later(sqlite: Engine, opened: Opened) -> None:
    impatient = opened(str(sqlite.url), lease=timedelta(seconds=0.1))
    effect.open_head(sqlite, key(1))
    with sqlite.connect() as reader:
        assert reader.execute(text("SELECT * FROM loaded")).all() == []  # the shared lock stays until it ends
        with pytest.raises(TargetBusy):
            apply(impatient, key(1), "a")
    assert (loaded(sqlite), part_rows(sqlite)) == ([], [])
    assert apply(sqlite, key(1), "a") == Loaded(rows=1)
