"""What several threads decide at once is written in one transaction, and each hears of its own."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import pytest

from saga_engine import errors
from saga_engine.failpoints import Injected, switched_on
from saga_engine.runtime import together
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.together import Together, Written
from tests.runtime import plays
from tests.runtime.conftest import Opened

pytestmark = pytest.mark.parametrize("made_url", ["sqlite"], indirect=True)

THREADS = 5
HELPER = "saga-together"
BEGUN, BEFORE_WRITE, AFTER_COMMIT = "store.write.begun", "store.record.before_write", "store.write.after_commit"

Happens = Callable[[str, str], object]
"""Called with a failpoint, and the name of the thread that is there: that of its run, or the helper's."""


class Sends:
    """A thread for each send. The first writes its own, and it and the helper are held up until all others wait."""

    def __init__(self, engine: Engine, happens: Happens = lambda _name, _who: None) -> None:
        self.engine, self.happens = engine, happens
        self.begun: Counter[str] = Counter()
        self.told: dict[str, Any] = {}
        self.there, self.goes = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self, name: str) -> None:
        """At a failpoint."""
        who = threading.current_thread().name
        self.begun[who] += name == BEGUN
        first = name == BEFORE_WRITE and not self.there.is_set()
        if first:
            self.there.set()
        if first or (name == BEGUN and who == HELPER):
            assert self.goes.wait(plays.WAIT_SECONDS_MAX)
        self.happens(name, who)

    def send(self, run: str, text: str = "x", as_what: str = "") -> None:
        try:
            self.told[as_what or run] = self.engine.send(run, "go", {"text": text}).revision
        except BaseException as error:  # noqa: BLE001  it is what the test asks about
            self.told[as_what or run] = error

    def begin(self, run: str, *more: str) -> None:
        self.threads.append(threading.Thread(target=self.send, args=(run, *more), name=run, daemon=True))
        self.threads[-1].start()

    def go(self) -> None:
        """Let all go on when they are there: one writes, one is with the helper already, the others wait."""
        shared = self.engine.door.together
        plays.until(lambda: shared._helping and shared._waiting.qsize() == len(self.threads) - 2)
        self.goes.set()

    def end(self) -> dict[str, Any]:
        if not self.goes.is_set():
            self.go()
        for thread in self.threads:
            thread.join(plays.WAIT_SECONDS_MAX)
            assert not thread.is_alive()
        return self.told


@contextmanager
def held_up(engine: Engine, runs: list[str], happens: Happens = lambda _name, _who: None) -> Iterator[Sends]:
    sends = Sends(engine, happens)
    assert engine.door.together._has_help()  # two that find none at once: one begins it, the other writes alone
    with switched_on(sends):
        sends.begin(runs[0])
        assert sends.there.wait(plays.WAIT_SECONDS_MAX)
        for run in runs[1:]:
            sends.begin(run)
        yield sends


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes alone because the machine is slow."""
    monkeypatch.setattr(together, "PATIENCE_SECONDS", plays.WAIT_SECONDS_MAX)


@pytest.fixture
def engine(opened: Opened) -> Engine:
    return opened(plays.waiting())


@pytest.fixture
def runs(engine: Engine) -> list[str]:
    """Runs that wait for an event."""
    return [engine.start("waiting", {}).id for _ in range(THREADS)]


def notes(engine: Engine, run: str) -> list[str]:
    """What the run has heard, in order."""
    return [json.loads(line.event["payload"])["text"] for line in engine.history(run) if line.kind == "EventReceived"]


def test_one_alone_writes_its_own(engine: Engine, runs: list[str]) -> None:
    assert [engine.send(run, "go", {"text": "x"}).revision for run in runs] == [2] * THREADS
    assert engine.door.together._helper is None


def test_those_that_come_while_one_writes_are_written_together(engine: Engine, runs: list[str]) -> None:
    with held_up(engine, runs) as sends:
        assert sends.end() == dict.fromkeys(runs, 2)
    assert sends.begun == {runs[0]: 1, HELPER: 1}
    assert [notes(engine, run) for run in runs] == [["x"]] * THREADS


def test_two_for_one_run_are_written_one_after_the_other(engine: Engine, runs: list[str]) -> None:
    first, other, *_ = runs
    with held_up(engine, [first]) as sends:
        for text in ("a", "b", "c"):
            sends.begin(other, text, text)
        told = sends.end()
    assert sorted(told[text] for text in ("a", "b", "c")) == [2, 3, 4]
    assert sorted(notes(engine, other)) == ["a", "b", "c"]


def test_a_transaction_takes_no_more_than_so_many(opened: Opened) -> None:
    engine = opened(plays.waiting(), batch_rows=2)
    runs = [engine.start("waiting", {}).id for _ in range(THREADS)]
    with held_up(engine, runs) as sends:
        assert sends.end() == dict.fromkeys(runs, 2)
    assert sends.begun == {runs[0]: 1, HELPER: 2}


@pytest.mark.parametrize("error", [Injected(), errors.StoreFull(url="here", reason="no room")])
def test_what_cannot_be_written_together_each_writes_alone(
    engine: Engine, runs: list[str], error: BaseException
) -> None:
    refused, helped = runs[3], list[str]()

    def fails(name: str, who: str) -> None:
        if name == BEFORE_WRITE and who in {HELPER, refused}:
            helped.append(who)
            raise error

    with held_up(engine, runs, fails) as sends:
        told = sends.end()
    assert helped == [HELPER, refused]
    assert told == {run: error if run == refused else 2 for run in runs}, "only its own thread hears of it"
    assert [notes(engine, run) for run in runs] == [[] if run == refused else ["x"] for run in runs]


def test_where_no_transaction_is_to_be_had_nobody_waits_for_the_others(engine: Engine, runs: list[str]) -> None:
    def fails(name: str, who: str) -> None:
        if name == BEGUN and who == HELPER:
            raise errors.StoreBusy(url="here", reason="somebody writes")

    with held_up(engine, runs, fails) as sends:
        assert sends.end() == dict.fromkeys(runs, 2)
    assert sends.begun == {HELPER: 1, **dict.fromkeys(runs, 1)}
    assert [notes(engine, run) for run in runs] == [["x"]] * THREADS


@pytest.mark.parametrize("committed", [True, False])
def test_each_asks_after_an_unknown_outcome(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    commit, lost = engine.store._commit, list[Any]()

    def loses_the_answer(transaction: Any) -> None:
        if threading.current_thread().name == HELPER and not lost:
            lost.append(transaction)
            (commit if committed else lambda gone: gone.rollback())(transaction)
            raise errors.OutcomeUnknown(url="here", reason="the line broke")
        commit(transaction)

    monkeypatch.setattr(engine.store, "_commit", loses_the_answer)
    with held_up(engine, runs) as sends:
        assert sends.end() == dict.fromkeys(runs, 2)
    assert len(lost) == 1
    assert [notes(engine, run) for run in runs] == [["x"]] * THREADS


@pytest.mark.parametrize("point", ["store.write.before_commit", AFTER_COMMIT])
def test_what_broke_at_the_commit_is_asked_after(engine: Engine, runs: list[str], point: str) -> None:
    broken: list[str] = []

    def breaks(name: str, who: str) -> None:
        if name == point and who == HELPER and not broken:
            broken.append(name)
            raise Injected

    with held_up(engine, runs, breaks) as sends:
        assert sends.end() == dict.fromkeys(runs, 2)
    assert broken == [point]
    assert [notes(engine, run) for run in runs] == [["x"]] * THREADS


def test_one_that_waits_no_longer_is_not_written(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = runs[-1]

    class Interrupted(SimpleQueue[Written | None]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            if threading.current_thread().name == left:
                raise KeyboardInterrupt
            return super().get(block, timeout)

    with held_up(engine, runs[:2]) as sends:
        plays.until(lambda: engine.door.together._helping)
        monkeypatch.setattr(together, "SimpleQueue", Interrupted)
        sends.begin(left)
        told = sends.end()
    assert (told[runs[0]], told[runs[1]], type(told[left])) == (2, 2, KeyboardInterrupt)
    assert [notes(engine, run) for run in runs] == [["x"], ["x"], [], [], []]


def test_one_that_has_waited_long_enough_writes_its_own(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_up(engine, runs[:2]) as sends:
        plays.until(lambda: engine.door.together._helping)
        monkeypatch.setattr(together, "PATIENCE_SECONDS", 0.01)
        sends.begin(runs[2])
        time.sleep(0.2)
        assert sends.end() == dict.fromkeys(runs[:3], 2)
    assert sends.begun[runs[2]] == 1
    assert [notes(engine, run) for run in runs] == [["x"], ["x"], ["x"], [], []]


def test_a_handler_of_a_signal_may_send_while_its_thread_waits(engine: Engine, runs: list[str]) -> None:
    found = engine.door.together
    assert found._alone.acquire(blocking=False)  # as an interrupted thread may leave it: the helper writes everything
    raised: list[int] = []
    replies: list[int] = []

    def handler(_number: int, _frame: object) -> None:
        replies.append(engine.send(runs[1], "go", {"text": "x"}).revision)

    class Signalled(Sends):
        def __call__(self, name: str) -> None:
            if name == BEGUN and not raised:
                raised.append(signal.SIGUSR1)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                plays.until(lambda: found._waiting.qsize() or replies, 2)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with switched_on(Signalled(engine)):
            assert engine.send(runs[0], "go", {"text": "x"}).revision == 2
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert replies == [2]
    assert [notes(engine, run) for run in runs[:2]] == [["x"], ["x"]]


def test_the_helper_ends_when_nothing_comes_and_another_begins(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "IDLE_SECONDS", 0.05)
    found = engine.door.together
    assert found._alone.acquire(blocking=False)
    assert engine.send(runs[0], "go", {"text": "x"}).revision == 2
    helper = found._helper
    assert helper is not None
    helper.join(plays.WAIT_SECONDS_MAX)
    assert not helper.is_alive()
    assert engine.send(runs[1], "go", {"text": "x"}).revision == 2
    other = found._helper
    assert other is not None
    assert other is not helper
    found.close()
    assert not other.is_alive()


def test_a_closed_engine_has_no_helper_and_says_that_it_is_closed(engine: Engine, runs: list[str]) -> None:
    with held_up(engine, runs) as sends:
        sends.end()
    helper = engine.door.together._helper
    assert helper is not None
    engine.close()
    assert not helper.is_alive()
    with pytest.raises(errors.StoreError, match="is closed: open it again"):
        engine.send(runs[0], "go", {"text": "again"})


def test_a_helper_that_is_asked_to_end_writes_what_waits_first(engine: Engine, runs: list[str]) -> None:
    with held_up(engine, runs) as sends:
        plays.until(lambda: engine.door.together._waiting.qsize() == len(runs) - 2)
        engine.door.together._waiting.put(None)
        sends.goes.set()
        assert sends.end() == dict.fromkeys(runs, 2)
    helper = engine.door.together._helper
    assert helper is not None
    helper.join(plays.WAIT_SECONDS_MAX)
    assert not helper.is_alive()


def test_without_a_thread_to_be_had_each_writes_alone(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert engine.door.together._alone.acquire(blocking=False)
    monkeypatch.setattr(threading.Thread, "start", refuses)
    assert engine.send(runs[0], "go", {"text": "x"}).revision == 2


def test_an_error_of_a_thread_that_did_begin_is_told(
    engine: Engine, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def breaks(self: threading.Thread) -> None:
        start(self)
        raise RuntimeError("release unlocked lock")

    assert engine.door.together._alone.acquire(blocking=False)
    monkeypatch.setattr(threading.Thread, "start", breaks)
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        engine.send(runs[0], "go", {"text": "x"})
    assert notes(engine, runs[0]) == []


def test_while_somebody_begins_a_helper_others_write_alone(engine: Engine, runs: list[str]) -> None:
    found: Together = engine.door.together
    assert found._alone.acquire(blocking=False)
    assert found._beginning.acquire(blocking=False)
    assert engine.send(runs[0], "go", {"text": "x"}).revision == 2
    assert found._helper is None
