"""A lock that is not given in time: on the ledger it means later, in the work it is a failure of the work."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from saga_engine.errors import TargetBusy
from saga_engine.ledger import effect, undo
from tests.ledger.conftest import Opened
from tests.ledger.support import Head, Loaded, apply, counted, head, insert, key, loaded, part_rows


def holding(target: Engine, statement: str) -> Connection:
    """A session of somebody else that has locked what *statement* names, and does nothing more."""
    stranger = sqlalchemy.create_engine(target.url, poolclass=sqlalchemy.NullPool, connect_args={}).connect()
    if target.dialect.name == "sqlite":
        stranger.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        stranger.execute(text(statement))
    return stranger


def test_a_lock_on_the_head_row_that_is_not_given_in_time_means_later(target: Engine, impatient: Engine) -> None:
    effect.open_head(target, key(1))
    with holding(target, "SELECT * FROM saga_ledger.saga_ledger_heads FOR UPDATE"):
        for act in (
            lambda: effect.open_head(impatient, key(2)),
            lambda: apply(impatient, key(1), "a"),
            lambda: undo.begin_undo(impatient, key(1)),
        ):
            with pytest.raises(TargetBusy, match=r"waited 0\.8 s for a lock on the ledger of dw"):
                act()
    assert (loaded(target), part_rows(target), head(target)) == ([], [], Head("open", 1, 0))
    assert apply(target, key(1), "a") == Loaded(rows=1)


def test_a_lock_on_the_part_row_that_is_not_given_in_time_means_later(
    postgres: Engine, impatient_postgres: Engine
) -> None:
    effect.open_head(postgres, key(1))
    insertion = (
        "INSERT INTO saga_ledger.saga_ledger_parts (store, task, part, token, status, intended_at)"
        " SELECT store, task, 'a', 1, 'intended', now() FROM saga_ledger.saga_ledger_heads"
    )
    with holding(postgres, insertion), pytest.raises(TargetBusy):
        apply(impatient_postgres, key(1), "a")
    assert apply(postgres, key(1), "a") == Loaded(rows=1)


def test_a_lock_that_the_work_itself_does_not_get_is_its_failure(postgres: Engine, impatient_postgres: Engine) -> None:
    effect.open_head(postgres, key(1))
    work, calls = counted(insert("a"))
    with holding(postgres, "LOCK TABLE loaded"), pytest.raises(OperationalError) as error:
        apply(impatient_postgres, key(1), "a", work)
    assert (error.value.orig.sqlstate, len(calls)) == ("55P03", 1)  # type: ignore[union-attr]


def test_a_reader_that_keeps_sqlite_from_committing_means_later(sqlite: Engine, opened: Opened) -> None:
    impatient = opened(str(sqlite.url), lease=timedelta(seconds=0.1))
    effect.open_head(sqlite, key(1))
    with sqlite.connect() as reader:
        assert reader.execute(text("SELECT * FROM loaded")).all() == []  # the shared lock stays until it ends
        with pytest.raises(TargetBusy):
            apply(impatient, key(1), "a")
    assert (loaded(sqlite), part_rows(sqlite)) == ([], [])
    assert apply(sqlite, key(1), "a") == Loaded(rows=1)
