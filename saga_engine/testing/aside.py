"""A worker beside the test, in a thread, that stops at the moment at which something has become true."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.worker import Worker

RECORDED: Final = "runtime.recorder.recorded"
"""A decision is committed, and the worker has begun nothing of what follows from it."""


class Aside:
    """Run *worker* inside the block, until *enough*: asked after each decision that the worker records.

    What either of them raises is raised at the end of the block.
    """

    def __init__(self, worker: Worker, enough: Callable[[], bool]) -> None:
        self._worker = worker
        self._enough = enough
        self._raised: BaseException | None = None
        self._points = switched_on(self._at)
        self._thread = threading.Thread(target=self._work, name="saga-test-worker", daemon=True)

    def __enter__(self) -> Self:
        self._points.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._worker.stop()
        self._thread.join()
        self._points.__exit__(None, None, None)
        if self._raised is not None:
            raise self._raised from error

    def stopped(self) -> bool:
        """Whether the worker has ended."""
        return not self._thread.is_alive()

    def _at(self, name: str) -> None:
        if name == RECORDED and threading.current_thread() is self._thread and self._is_enough():
            self._worker.stop()

    def _is_enough(self) -> bool:
        try:
            return self._enough()
        except BaseException as error:  # noqa: BLE001  not to be taken for a trouble of the worker's
            self._raised = error
            return True

    def _work(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:  # noqa: BLE001  raised again where the test sees it
            self._raised = error


def one_worker(engine: Engine) -> Worker:
    """A worker for all queues, with one attempt at a time: so that a test goes the same way each time."""
    return engine.worker(concurrency=1, queues=sorted({chart.saga.queue for chart in engine.registry}))
