"""Hints that something may have come due: each commit of others is heard, and whoever listens can be woken."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from saga_engine.errors import StoreUnreachable
from saga_engine.store import wake
from saga_engine.store.connect import Ear, Store, open_store
from saga_engine.store.definitions import identity
from saga_engine.store.schema import definitions
from saga_engine.store.wake import RACY_NANOSECONDS, Changes

SECONDS_MAX = 20.0
FILES_OF_SELECT = 1024
"""select(2) knows no file with a higher number."""


@pytest.fixture
def other(made: Store, made_url: str) -> Iterator[Store]:
    """The same store as another process has it."""
    store = open_store(made_url)
    with store.write() as db:
        identity(db, store.clock(db))
    yield store
    store.close()


def change(store: Store, number: int) -> None:
    """Commit something, then say so."""
    with store.write() as db:
        row = {"saga": "s", "version": number, "digest": f"d{number}", "spec": "{}"}
        db.execute(sa.insert(definitions), row)
    store.tell_due()


def count(store: Store) -> int:
    with store.read() as db:
        return int(db.execute(sa.select(sa.func.count()).select_from(definitions)).scalar_one())


def grow_old(file: Path) -> None:
    long_ago = time.time_ns() - 100 * RACY_NANOSECONDS
    os.utime(file, ns=(long_ago, long_ago))


class Listening:
    """A thread that looks at the store whenever it hears something, and at no other time."""

    def __init__(self, store: Store, ear: Ear) -> None:
        self.seen = self.heard = 0
        self._store, self._ear, self._over = store, ear, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            self.seen = count(self._store)
            self._ear.wait()
            self.heard += 1

    def until(self, rows: int) -> None:
        end = time.monotonic() + SECONDS_MAX
        while self.seen != rows:
            assert time.monotonic() < end, f"saw {self.seen} of {rows} rows, heard {self.heard} times"
            time.sleep(0.001)

    def end(self) -> None:
        self._over = True
        self._ear.poke()
        self._thread.join(SECONDS_MAX)
        assert not self._thread.is_alive()


@contextmanager
def listening(store: Store) -> Iterator[Listening]:
    with store.listening() as ear:
        found = Listening(store, ear)
        try:
            yield found
        finally:
            found.end()


def test_each_commit_of_another_process_is_heard(made: Store, other: Store) -> None:
    with listening(made) as found:
        for number in range(1, 51):
            change(other, number)
            found.until(number)


def test_a_commit_of_this_process_is_heard(made: Store) -> None:
    with listening(made) as found:
        for number in range(1, 11):
            change(made, number)
            found.until(number)


def test_of_many_who_tell_at_once_the_last_is_heard(made: Store, other: Store) -> None:
    """One NOTIFY may speak for several threads; none of them may have committed after it."""
    with listening(made) as found:
        for turn in range(10):
            threads = [threading.Thread(target=change, args=(other, turn * 8 + number)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found.until((turn + 1) * 8)


def test_who_listens_and_hears_nothing_can_be_woken(made: Store) -> None:
    with made.listening() as ear:
        if isinstance(ear, Changes):
            grow_old(ear._files[0])
            ear._seen, ear._sure = ear._look()
        thread = threading.Thread(target=ear.wait, daemon=True)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive(), "nothing has happened"
        ear.poke()
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()


def test_poking_an_ear_that_is_closed_does_nothing(made: Store) -> None:
    with made.listening() as ear:
        pass
    ear.poke()
    ear.close()


def test_a_program_that_has_many_files_open_hears_too(made: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2 * FILES_OF_SELECT
    if hard != resource.RLIM_INFINITY and hard < most:
        pytest.skip("this machine allows no more files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(FILES_OF_SELECT)]
    try:
        with made.listening() as ear:
            ear.poke()
            ear.wait()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_pokes_hold_nobody_up(made: Store) -> None:
    with made.listening() as ear:
        for _ in range(10_000):
            ear.poke()
        ear.wait()


def test_a_session_that_is_ended_says_so(made: Store, other: Store) -> None:
    if made.dialect == "sqlite":
        pytest.skip("a file has no session")
    ended: list[Exception] = []

    def listen() -> None:
        try:
            with made.listening() as ear:
                ear.wait()
        except StoreUnreachable as error:
            ended.append(error)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ending = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    end = time.monotonic() + SECONDS_MAX
    while not ended and time.monotonic() < end:
        with other.write() as db:
            db.execute(ending)
        time.sleep(0.02)
    thread.join(SECONDS_MAX)
    assert len(ended) == 1
    assert "cannot be reached" in str(ended[0])


def test_a_hint_that_cannot_be_given_is_no_error(other: Store) -> None:
    other.close()
    other.tell_due()


def test_a_second_change_within_one_tick_of_the_clock_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "RACY_NANOSECONDS", 10**12)  # a tick that no busy machine outlasts
    file = tmp_path / "saga.db"
    file.write_text("a")
    ear = Changes(file)
    now = time.time_ns()
    os.utime(file, ns=(now, now))
    ear.wait()
    file.write_text("b")
    os.utime(file, ns=(now, now))  # the same time, the same size
    ear.wait()
    ear.close()


def test_a_file_that_nobody_changes_is_not_heard(tmp_path: Path) -> None:
    file = tmp_path / "saga.db"
    file.write_text("a")
    grow_old(file)
    ear = Changes(file)
    assert [ear._look() for _ in range(3)] == [(ear._seen, True)] * 3
    ear.close()


def test_a_wal_is_heard_too(tmp_path: Path) -> None:
    file = tmp_path / "saga.db"
    file.write_text("a")
    ear = Changes(file)
    (tmp_path / "saga.db-wal").write_text("w")
    ear.wait()
    assert ear._seen[1] is not None
    ear.close()
