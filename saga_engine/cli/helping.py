"""A worker beside the command that waits for its run, in this very process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

from saga_engine.cli.here import Here
from saga_engine.cli.waiting import Check, unchecked
from saga_engine.errors import WorkerGaveUp
from saga_engine.runtime.worker import GAVE_UP_EXIT, Worker


@contextmanager
def working(here: Here, queue: str, *, wanted: bool) -> Iterator[Check]:
    """Be a worker of *queue* until the block ends, if that is *wanted*; then drain, as ``saga worker`` does.

    What is yielded raises KeyboardInterrupt once Ctrl-C or SIGTERM has asked for the end, and what ended the worker
    before its time: nobody would ever see the run move again.
    """
    if not wanted:
        yield unchecked
        return
    worker = here.engine.worker(queues=(queue,))
    with _signals_to(worker) as asked, ThreadPoolExecutor(1, thread_name_prefix="saga-worker") as pool:
        result = pool.submit(worker.run)

        def check() -> None:
            if asked:
                raise KeyboardInterrupt
            if result.done() and result.result() == GAVE_UP_EXIT:
                raise WorkerGaveUp

        try:
            yield check
        finally:
            worker.stop()


@contextmanager
def _signals_to(worker: Worker) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM ask *worker* to drain; the next is KeyboardInterrupt. Yields what has come.

    Raised in the middle of a look, an exception would keep the look's lock while it waits for the worker to drain,
    and the worker could not record what it hands back.
    """
    came: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)
        worker.stop()

    heard = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
