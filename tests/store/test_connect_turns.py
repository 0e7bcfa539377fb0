"""Who writes next to a SQLite store: several processes, one that is killed, one that is stopped, a queue of threads."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from saga_engine.errors import StoreBusy, StoreError
from saga_engine.store import turnstile
from saga_engine.store.connect import Store, open_store
from saga_engine.store.turnstile import FairLock

# Each says "ready" when its store is open, and begins at the first line it is sent.
OPEN = """
import os, sys, time
from saga_engine.store.connect import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""
COUNT = f"""{OPEN}
end, written = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    with store.write() as db:
        (n,) = db.exec_driver_sql("SELECT n FROM counter").one()
        db.exec_driver_sql("UPDATE counter SET n = ?", (n + 1,))
    written += 1
print(written)
"""
ONCE = f"""{OPEN}
with store.write() as db:
    db.exec_driver_sql("UPDATE counter SET n = n + 1")
"""
FORKING = f"""{OPEN}
with store.write() as db:
    if os.fork() == 0:
        os.close(1)
        time.sleep(30)
        os._exit(0)
    print("forked", flush=True)
    time.sleep(30)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saga.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{path}", wait_seconds=10)
    with made.write() as db:
        db.exec_driver_sql("CREATE TABLE counter (n INTEGER)")
        db.exec_driver_sql("INSERT INTO counter VALUES (0)")
    yield made
    made.close()


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start a script on the store in a process group of its own; whatever is left of it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: object, failpoints: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, f"sqlite:///{path}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "SAGA_FAILPOINTS": failpoints},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def add_one(store: Store) -> None:
    with store.write() as db:
        db.exec_driver_sql("UPDATE counter SET n = n + 1")


def counted(store: Store) -> int:
    with store.read() as db:
        return int(db.exec_driver_sql("SELECT n FROM counter").scalar_one())


def sound(path: Path) -> bool:
    db = sqlite3.connect(path)
    try:
        return bool(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
    finally:
        db.close()


def until_stopped(process: subprocess.Popen[str]) -> None:
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


@pytest.mark.serial
def test_eight_processes_lose_no_write_and_harm_no_page(start: Start, store: Store, path: Path) -> None:
    processes = [start(COUNT, 1.5) for _ in range(8)]
    go(*processes)
    written = [int(process.communicate()[0]) for process in processes]
    assert counted(store) == sum(written)
    assert min(written) > 0
    assert sound(path)


@pytest.mark.serial
def test_a_busy_writer_does_not_keep_the_single_write_of_another_process_waiting(start: Start, store: Store) -> None:
    busy = start(COUNT, 3.0)
    go(busy)
    waits = []
    for _ in range(50):
        before = time.monotonic()
        add_one(store)
        waits.append(time.monotonic() - before)
        time.sleep(0.02)
    still_busy = busy.poll() is None
    written = int(busy.communicate()[0])
    assert max(waits) < 0.5
    assert still_busy
    assert counted(store) == written + 50


def test_who_closes_the_store_beside_a_writer_waits_for_it_and_leaves_nothing_open(path: Path, store: Store) -> None:
    closed = open_store(f"sqlite:///{path}")
    add_one(closed)
    before = opened(path)
    closing = threading.Thread(target=closed.close)
    with closed.write() as db:
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
        db.exec_driver_sql("UPDATE counter SET n = n + 1")
    closing.join(10)
    assert before - opened(path) == 3, "its connection and its two locks"
    assert counted(store) == 2
    with pytest.raises(StoreError, match="is closed"):
        add_one(closed)


def opened(path: Path) -> int:
    """How many files of the store this process has open."""
    names = [path, path.with_name(path.name + ".turn"), path.with_name(path.name + ".lock")]
    numbers = {name.stat().st_ino for name in names}
    return sum(_number(file) in numbers for file in Path("/proc/self/fd").iterdir())


def _number(file: Path) -> int:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("point", ["store.turnstile.turn", "store.turnstile.lock", "store.write.begun"])
def test_a_writer_killed_before_it_wrote_holds_up_nobody(start: Start, store: Store, point: str) -> None:
    # Opening the store is two turns, and one write.
    killed = start(ONCE, failpoints=f"{point}:{2 if 'write' in point else 3}=kill")
    go(killed)
    assert killed.wait() == -signal.SIGKILL
    add_one(store)
    assert counted(store) == 1


def test_a_writer_killed_before_its_commit_leaves_nothing_and_the_next_goes_on(
    start: Start, store: Store, path: Path
) -> None:
    killed = start(ONCE, failpoints="store.write.before_commit:2=kill")
    go(killed)
    assert killed.wait() == -signal.SIGKILL
    assert counted(store) == 0
    add_one(store)
    assert counted(store) == 1
    assert sound(path)


def test_a_writer_killed_after_its_commit_has_written(start: Start, store: Store) -> None:
    killed = start(ONCE, failpoints="store.write.after_commit:2=kill")
    go(killed)
    assert killed.wait() == -signal.SIGKILL
    assert counted(store) == 1


@pytest.mark.parametrize(("point", "hit"), [("store.turnstile.turn", 3), ("store.write.before_commit", 2)])
def test_who_waits_for_a_stopped_writer_is_told_its_process_and_goes_on_when_it_does(
    start: Start, store: Store, path: Path, point: str, hit: int
) -> None:
    stopped = start(ONCE, failpoints=f"{point}:{hit}=stop")
    go(stopped)
    until_stopped(stopped)
    with pytest.raises(StoreBusy) as busy:
        open_store(f"sqlite:///{path}", wait_seconds=0.3)
    assert str(busy.value) == (
        f"The store sqlite:///{path} is busy: process {stopped.pid} has held the write lock for 0.3 s; if it is "
        "stopped, continue or kill it. Nothing was changed; try again, and end what holds it if it stays so."
    )
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait() == 0
    add_one(store)
    assert counted(store) == 2


def test_a_child_that_user_code_forks_does_not_keep_the_lock_of_its_killed_parent(start: Start, store: Store) -> None:
    parent = start(FORKING)
    go(parent)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "forked\n"
    time.sleep(0.1)  # the child's first steps after the fork
    parent.kill()
    parent.wait()
    before = time.monotonic()
    add_one(store)
    assert time.monotonic() - before < 5
    assert counted(store) == 1


def test_threads_get_the_lock_in_the_order_of_asking() -> None:
    lock, first = FairLock(), threading.Lock()
    order: list[int] = []
    assert lock.acquire(first, 1)

    def ask(number: int) -> None:
        mine = threading.Lock()
        assert lock.acquire(mine, 5)
        order.append(number)
        lock.release(mine)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    assert order == []
    lock.release(first)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_who_gives_up_waiting_is_passed_over() -> None:
    lock, first, second = FairLock(), threading.Lock(), threading.Lock()
    assert lock.acquire(first, 1)
    assert not lock.acquire(second, 0.05)
    lock.release(second)
    lock.release(first)
    assert lock.acquire(threading.Lock(), 0)


class Interrupt:
    """Ctrl-C in the code of the turnstile, at the so manieth moment at which Python looks for signals.

    Those are a function's entry and the return of one that is written in C.
    """

    def __init__(self, at: int) -> None:
        self.left = at

    @contextmanager
    def comes(self) -> Iterator[None]:
        sys.setprofile(self._look)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, _arg: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename == turnstile.__file__:
            self.left -= 1
            if self.left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


def writes(store: Store) -> bool:
    with store.write():
        return True


@pytest.mark.parametrize("others", [0, 2])
def test_ctrl_c_at_any_moment_leaves_the_write_lock_free(path: Path, others: int) -> None:
    """Alone, and where other threads have queued behind."""
    store = open_store(f"sqlite:///{path}", wait_seconds=5)
    for at in count(1):
        interrupt, wrote = Interrupt(at), list[bool]()
        threads = [threading.Thread(target=lambda: wrote.append(writes(store))) for _ in range(others)]  # noqa: B023
        began = time.monotonic()
        with suppress(KeyboardInterrupt):
            with interrupt.comes():
                write = store.write()
                write.__enter__()
            for thread in threads:
                thread.start()
            waited = time.monotonic() + 5
            while len(store._turnstile._line._waiting) < others:  # type: ignore[attr-defined]
                assert time.monotonic() < waited
                time.sleep(0.001)
            with interrupt.comes():
                write.__exit__(None, None, None)
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        assert writes(store)
        assert time.monotonic() - began < 4, f"interrupted at moment {at}, it stayed held"
        if interrupt.left > 0:
            break
    assert at > 15, "it has come to all of them"
    store.close()


def test_a_thread_that_waits_in_vain_is_told_that_its_own_process_writes(path: Path) -> None:
    store = open_store(f"sqlite:///{path}", wait_seconds=0.2)
    refused: list[str] = []

    def wait() -> None:
        with pytest.raises(StoreBusy) as busy, store.write():
            pass
        refused.append(str(busy.value))

    with store.write():
        other = threading.Thread(target=wait)
        other.start()
        other.join()
    store.close()
    assert len(refused) == 1
    assert f"another thread of this process ({os.getpid()}) has written for 0.2 s" in refused[0]
