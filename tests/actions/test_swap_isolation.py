"""The cut-over sees the tables as they are once it has their locks, whatever level the database's default is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from saga_engine.errors import MoveError, StagingChanged
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE relation = '{staging}'::regclass AND NOT granted"


@pytest.fixture
def source(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, name text)")
    database.fill("item", [(n, f"new {n}") for n in range(1, 6)])
    return database


@pytest.fixture
def target(postgres_url: str) -> Database:
    database = Database(postgres_url)
    database.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "INSERT INTO item VALUES (1, 'old')")
    return database


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_row_that_is_committed_while_the_staging_table_is_waited_for_is_seen(
    source: Database, target: Database, exports: Path, level: str
) -> None:
    [(name,)] = target.rows("SELECT quote_ident(current_database())")
    target.run(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    mover = Mover(move("item", exports), source, target)
    staging = mover.up_to_load().staging.name
    mover.validate()
    with psycopg.connect(target.libpq) as writer, ThreadPoolExecutor() as pool:
        writer.execute(f"UPDATE {staging} SET name = 'slipped in' WHERE id = 3".encode())
        swap = pool.submit(mover.cut_over)
        until_waited_for(target, staging)
        writer.commit()
        with pytest.raises(StagingChanged, match="rows of it were changed"):
            swap.result(timeout=30)
    assert target.rows("SELECT * FROM item") == [(1, "old")]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_url_that_asks_for_another_level_is_refused(
    source: Database, target: Database, exports: Path, level: str
) -> None:
    escaped = level.replace(" ", "%5C%20")
    strict = Database(f"{target.url}?options=-c%20default_transaction_isolation%3D{escaped}")
    mover = Mover(move("item", exports), source, strict)
    mover.up_to_load()
    before = target.tables()
    with pytest.raises(MoveError, match=f"works at {level}.*take default_transaction_isolation out of the options"):
        mover.cut_over()
    assert (target.tables(), target.rows("SELECT * FROM item")) == (before, [(1, "old")])


def until_waited_for(target: Database, staging: str) -> None:
    """Wait until somebody waits for the staging table."""
    for _ in range(1000):
        if target.rows(WAITED_FOR.format(staging=staging)) != [(0,)]:
            return
        time.sleep(0.005)
    raise AssertionError("nobody waits for the staging table")
