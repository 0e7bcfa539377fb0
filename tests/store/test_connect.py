"""What both stores promise: one transaction a block, plain errors, one process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from saga_engine.errors import OutcomeUnknown, StoreBusy, StoreError, StoreForbidden, StoreUnreachable
from saga_engine.store.connect import Store, open_store, retrying
from saga_engine.store.retry import TRIES_MAX

numbers = Table("numbers", MetaData(), Column("n", Integer, primary_key=True))

FORK = """
import os, sys
from saga_engine.errors import StoreError
from saga_engine.store.connect import open_store
store = open_store(sys.argv[1])
with store.write():
    child = os.fork()
    if child == 0:
        try:
            with store.read():
                os._exit(1)
        except StoreError as error:
            os.write(1, str(error).replace(str(os.getpid()), "CHILD").replace(str(os.getppid()), "PARENT").encode())
            os._exit(0)
    os.waitpid(child, 0)
with store.read() as db:
    os.write(1, str(db.exec_driver_sql("SELECT 1").scalar()).encode())
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    with opened.write() as db:
        numbers.create(db)
    yield opened
    opened.close()


def kept(store: Store) -> list[int]:
    with store.read() as db:
        return list(db.scalars(select(numbers.c.n).order_by(numbers.c.n)))


def insert_each(db: Connection, *values: int) -> None:
    for value in values:
        db.execute(insert(numbers), {"n": value})


def test_what_a_write_block_wrote_is_there_when_it_has_ended(store: Store) -> None:
    with store.write() as db:
        db.execute(insert(numbers), [{"n": 1}, {"n": 2}])
    assert kept(store) == [1, 2]


def test_a_write_block_that_raises_leaves_nothing_behind(store: Store) -> None:
    def write_and_fail(db: Connection) -> float:
        db.execute(insert(numbers), {"n": 1})
        return 1 / 0

    with pytest.raises(ZeroDivisionError), store.write() as db:
        write_and_fail(db)
    assert kept(store) == []


def interrupt_one(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Ctrl-C at the next COMMIT: the driver has not been asked yet."""
    dialect, left = type(store._writer.dialect), [KeyboardInterrupt]
    commit = dialect.do_commit

    def do_commit(self: Any, connection: Any) -> None:
        if left:
            raise left.pop()
        commit(self, connection)

    monkeypatch.setattr(dialect, "do_commit", do_commit)


def test_a_write_that_is_interrupted_at_its_commit_leaves_nothing_behind(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_one(monkeypatch, store)
    with pytest.raises(KeyboardInterrupt), store.write() as db:
        insert_each(db, 1)
    # Neither a lock that keeps others from writing, nor a beginning that the next one of this process would commit.
    other = open_store(store_url, wait_seconds=1)
    with other.write() as db:
        insert_each(db, 1)
    other.close()
    with store.write() as db:
        insert_each(db, 2)
    assert kept(store) == [1, 2]


def test_a_read_that_is_interrupted_at_its_end_holds_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_one(monkeypatch, store)
    with pytest.raises(KeyboardInterrupt), store.read() as db:
        db.execute(select(numbers)).all()
    began = time.monotonic()
    with store.write() as db:
        insert_each(db, 1)
    assert time.monotonic() - began < 5
    assert kept(store) == [1]


def test_a_read_block_cannot_write(store: Store) -> None:
    with pytest.raises(StoreForbidden), store.read() as db:
        db.execute(insert(numbers), {"n": 1})
    assert kept(store) == []


def test_a_read_block_sees_one_moment_whatever_others_commit(store: Store) -> None:
    def write() -> None:
        with store.write() as db:
            db.execute(insert(numbers), {"n": 1})

    with store.read() as db:
        before = list(db.scalars(select(numbers.c.n)))
        other = threading.Thread(target=write)
        other.start()
        time.sleep(0.2)
        after = list(db.scalars(select(numbers.c.n)))
    other.join()
    assert (before, after, kept(store)) == ([], [], [1])


def test_a_constraint_speaks_for_itself_and_takes_the_block_back(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as db:
        insert_each(db, 1, 2, 1)
    assert kept(store) == []


def test_an_error_shows_no_bound_value(store: Store) -> None:
    with pytest.raises(IntegrityError) as failed, store.write() as db:
        insert_each(db, 1, 1)
    assert "[SQL parameters hidden due to hide_parameters=True]" in str(failed.value)


def test_a_thread_that_has_a_transaction_open_gets_no_second_one(store: Store) -> None:
    with store.read(), pytest.raises(AssertionError), store.write():
        pass
    with store.write(), pytest.raises(AssertionError), store.read():
        pass
    with store.write() as db:
        db.execute(insert(numbers), {"n": 1})
    assert kept(store) == [1]


def test_threads_that_share_a_store_lose_no_write(store: Store) -> None:
    with store.write() as db:
        db.execute(insert(numbers), {"n": 0})

    def add_one(_: int) -> None:
        with store.write() as db:
            db.execute(update(numbers).values(n=numbers.c.n + 1))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add_one, range(160)))
    assert kept(store) == [160]


def test_the_clock_is_in_utc_and_moves_on_within_a_transaction(store: Store) -> None:
    with store.write() as db:
        first = store.clock(db)
        time.sleep(0.01)
        second = store.clock(db)
    assert (first.tzinfo, second.tzinfo) == (UTC, UTC)
    assert timedelta(seconds=0.01) <= second - first < timedelta(seconds=5)
    assert abs(datetime.now(UTC) - second) < timedelta(seconds=30)


def test_after_a_fork_the_child_is_refused_and_the_parent_goes_on(store: Store, store_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, store_url], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"The store {store.url} was opened by process PARENT; this is process CHILD, forked from it. "
        "Connections and locks do not survive a fork: open the store again here.1"
    )
    assert done.stderr == ""


def test_retrying_returns_what_the_work_returns_and_commits_it(store: Store) -> None:
    def work(db: Connection) -> str:
        db.execute(insert(numbers), {"n": 1})
        return "done"

    assert retrying(store, work) == "done"
    assert kept(store) == [1]


@pytest.mark.parametrize("kind", [StoreBusy, StoreUnreachable])
def test_retrying_begins_the_whole_transaction_anew_after_a_passing_error(store: Store, kind: type[StoreError]) -> None:
    tries: list[list[int]] = []

    def work(db: Connection) -> None:
        tries.append(list(db.scalars(select(numbers.c.n))))
        db.execute(insert(numbers), {"n": len(tries)})
        if len(tries) < 3:
            raise kind(url="store", reason="planted")

    retrying(store, work)
    assert tries == [[], [], []]
    assert kept(store) == [3]


def test_retrying_gives_up_after_its_bound_with_the_last_error(store: Store) -> None:
    tries: list[int] = []

    def work(_: Connection) -> None:
        tries.append(1)
        raise StoreBusy(url="store", reason=f"try {len(tries)}")

    with pytest.raises(StoreBusy, match=f"try {TRIES_MAX}"):
        retrying(store, work)
    assert len(tries) == TRIES_MAX


@pytest.mark.parametrize("error", [OutcomeUnknown(url="store", reason="lost"), ZeroDivisionError()])
def test_retrying_does_not_repeat_what_may_have_happened_or_cannot_help(store: Store, error: Exception) -> None:
    tries: list[int] = []

    def work(_: Connection) -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        retrying(store, work)
    assert tries == [1]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "The store … cannot be reached: this is no URL"),
        ("postgresql://u:sec:ret@127.0.0.1:port/d", "The store postgresql://… cannot be reached: this is no URL"),
        ("postgres://u:sec@ret@host/d", "The store postgres://… cannot be reached: write @ in a password as %40"),
        ("mysql://u:secret@host/d", "The store mysql://… cannot be reached: a store is sqlite:///FILE or postgresql"),
        ("postgresql+asyncpg://u:secret@h/d", "The store postgresql+asyncpg://… cannot be reached: a store is sqlite"),
        ("sqlite://", "The store sqlite:// cannot be reached: a store is a file that several processes share"),
        ("sqlite:///:memory:", "The store sqlite:///:memory: cannot be reached: a store is a file"),
        ("sqlite:///saga.db?mode=memory&uri=true", "The store sqlite:///saga.db cannot be reached: a store is a file"),
    ],
)
def test_an_address_that_is_no_store_is_refused_without_showing_a_secret(url: str, text: str) -> None:
    with pytest.raises(StoreUnreachable) as refused:
        open_store(url)
    assert str(refused.value).startswith(text)
    assert "sec" not in str(refused.value)
    assert refused.value.exit_code == 9
