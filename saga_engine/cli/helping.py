"""A worker beside the command that waits for its run, in this very process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from saga_engine.cli.here import Here
from saga_engine.errors import WorkerGaveUp
from saga_engine.runtime.worker import GAVE_UP_EXIT

Check = Callable[[], None]


@contextmanager
def working(here: Here, queue: str, *, wanted: bool) -> Iterator[Check]:
    """Be a worker of *queue* until the block ends, if that is *wanted*; then drain, as ``saga worker`` does.

    What is yielded raises what ended the worker before its time: nobody would ever see the run move again.
    """
    if not wanted:
        yield lambda: None
        return
    worker = here.engine.worker(queues=(queue,))
    # As with Ctrl-C: the block is left, and the worker hands back what it holds.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="saga-worker") as pool:
            result = pool.submit(worker.run)
            try:
                yield lambda: _check(result)
            finally:
                worker.stop()
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(result: Future[int]) -> None:
    if result.done() and result.result() == GAVE_UP_EXIT:
        raise WorkerGaveUp
