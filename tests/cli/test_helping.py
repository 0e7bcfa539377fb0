"""A worker beside a command: when a signal is heard."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from saga_engine.cli.helping import working
from saga_engine.errors import WorkerGaveUp
from saga_engine.runtime.worker import GAVE_UP_EXIT


class Idle:
    """A worker that does nothing until it is asked to stop."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.code = 0

    def run(self) -> int:
        assert self.asked.wait(30)
        return self.code

    def stop(self) -> None:
        self.asked.set()


@pytest.fixture
def worker() -> Idle:
    return Idle()


@pytest.fixture
def here(worker: Idle) -> Iterator[Any]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield SimpleNamespace(engine=SimpleNamespace(worker=lambda **_queues: worker))
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_look_is_heard_after_it_and_drains_at_once(
    here: Any, worker: Idle, number: int
) -> None:
    looked = []

    def looks() -> None:
        with working(here, "default", wanted=True) as check:
            check()
            os.kill(os.getpid(), number)
            looked.append(worker.asked.is_set())
            check()

    with pytest.raises(KeyboardInterrupt):
        looks()
    assert looked == [True]


def test_a_second_signal_is_heard_at_once(here: Any) -> None:
    looked = []

    def looks() -> None:
        with working(here, "default", wanted=True):
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
                looked.append(number)

    with pytest.raises(KeyboardInterrupt):
        looks()
    assert looked == [signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_ignored(here: Any, worker: Idle) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with working(here, "default", wanted=True) as check:
            os.kill(os.getpid(), signal.SIGINT)
            check()
            assert not worker.asked.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_worker_that_gave_up_ends_the_wait(here: Any, worker: Idle) -> None:
    worker.code = GAVE_UP_EXIT

    def looks() -> None:
        with working(here, "default", wanted=True) as check:
            worker.stop()
            while True:
                check()

    with pytest.raises(WorkerGaveUp):
        looks()
