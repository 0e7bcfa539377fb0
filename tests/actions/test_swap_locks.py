"""A swap never costs anybody else a transaction: where two would wait for each other, it gives up first."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from saga_engine.actions.copy.plan import CutOver
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
SEQUENCE = "SELECT last_value, is_called FROM item_n_seq"
GRANTED = """
SELECT count(*) FROM pg_locks
 WHERE relation = 'item'::regclass AND mode = 'AccessExclusiveLock' AND granted = {granted}"""


@pytest.fixture
def target(postgres_url: str) -> Database:
    database = Database(postgres_url)
    database.run(
        *(f"CREATE TABLE parent_{n} (id bigint PRIMARY KEY)" for n in (1, 2)),
        *(f"INSERT INTO parent_{n} SELECT generate_series(1, 9)" for n in (1, 2)),
        "CREATE TABLE item (id bigint PRIMARY KEY, n serial, a bigint REFERENCES parent_1,"
        " b bigint REFERENCES parent_2)",
    )
    return database


@pytest.fixture
def mover(fresh_url: Fresh, target: Database, exports: Path) -> Mover:
    source = Database(fresh_url("sqlite", "source"))
    source.run("CREATE TABLE item (id integer PRIMARY KEY, n integer, a integer, b integer)")
    source.fill("item", [(n, n + 100, n, n) for n in range(1, 6)])
    mover = Mover(move("item", exports), source, target)
    mover.up_to_load()
    mover.validate()
    return mover


def until(target: Database, *, granted: bool) -> None:
    """Wait until somebody has the exclusive lock on the target, or waits for it."""
    for _ in range(1000):
        if target.rows(GRANTED.format(granted=granted)) != [(0,)]:
            return
        time.sleep(0.005)
    raise AssertionError("nobody wants the target")


def gave_up(swap: Future[CutOver]) -> None:
    with pytest.raises(OperationalError, match="lock timeout"):
        swap.result(timeout=30)


@pytest.mark.parametrize("parent", [1, 2])
def test_who_holds_a_parent_and_then_wants_the_target_gets_it(mover: Mover, target: Database, parent: int) -> None:
    before, sequence = target.tables(), target.rows(SEQUENCE)
    with psycopg.connect(target.libpq) as user, ThreadPoolExecutor() as pool:
        user.execute(f"INSERT INTO parent_{parent} VALUES (77)".encode())
        swap = pool.submit(mover.cut_over)
        until(target, granted=True)
        user.execute(f"INSERT INTO item (id, {'ab'[parent - 1]}) VALUES (1000, 77)".encode())
        user.commit()
        gave_up(swap)
    assert target.tables() == before
    assert sequence == [(1, False)]
    assert target.rows(SEQUENCE) == [(1, True)]  # as the insert left it
    mover.cutting_over = mover.cutting_over.again()
    assert mover.cut_over().rows == 5
    assert target.rows(SEQUENCE) == [(105, True)]


def test_who_has_waited_for_the_target_all_the_while_gets_it_too(mover: Mover, target: Database) -> None:
    """His deadlock_timeout began when he queued, long before the swap has waited for anything but the target."""
    with psycopg.connect(target.libpq) as reader, psycopg.connect(target.libpq) as user, ThreadPoolExecutor() as pool:
        reader.execute("SELECT count(*) FROM item")
        user.execute("INSERT INTO parent_1 VALUES (77)")
        swap = pool.submit(mover.cut_over)
        until(target, granted=False)
        waits = pool.submit(user.execute, "INSERT INTO item (id, a) VALUES (1000, 77)")
        time.sleep(0.75)
        reader.rollback()
        waits.result(timeout=30)
        user.commit()
        gave_up(swap)
    assert target.rows("SELECT id, a FROM item") == [(1000, 77)]


def test_a_swap_that_failed_has_moved_no_sequence(mover: Mover, target: Database) -> None:
    with psycopg.connect(target.libpq) as user:
        user.execute("INSERT INTO parent_1 VALUES (77)")
        with pytest.raises(OperationalError, match="lock timeout"):
            mover.cut_over()
    assert target.rows(SEQUENCE) == [(1, False)]
    mover.cutting_over = mover.cutting_over.again()
    assert mover.cut_over().statements[-3].startswith("SELECT setval(")
    assert target.rows(SEQUENCE) == [(105, True)]
