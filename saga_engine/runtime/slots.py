"""The attempts that run in this process: started on a pool of threads, watched by the clock, ended on request."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from queue import SimpleQueue
from time import monotonic
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from saga_engine.domain import events as e
from saga_engine.domain.definition.table import NOTICE_TIMEOUT, Run
from saga_engine.runtime import executor
from saga_engine.runtime.step import Attempt, Hands

GAVE_UP: Final = "worker pid {pid}, which gave up on it"


class Slots:
    """A bounded number of attempts at a time. Reports come out of ``reports``. Used by one thread, its own threads aside."""

    def __init__(self, size: int, hands: Hands, grace_seconds: float, pid: int) -> None:
        self.size = size
        self.reports: SimpleQueue[tuple[str, e.Report | None]] = SimpleQueue()
        """``(task, report)`` of every attempt that came back; None where nobody is to be told."""
        self._hands = hands
        self._grace = grace_seconds
        self._pid = pid
        self._running: dict[str, Attempt] = {}
        self._ending_since: dict[str, float] = {}
        self._given_up: dict[str, Attempt] = {}
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="saga-action")

    @property
    def free(self) -> int:
        """How many more attempts may start. A thread that hangs keeps its slot."""
        return self.size - len(self._running) - len(self._given_up)

    @property
    def hung(self) -> int:
        """Slots whose thread does not come back."""
        return len(self._given_up)

    @property
    def busy(self) -> int:
        """Slots whose attempt still counts."""
        return len(self._running)

    def start(self, attempt: Attempt) -> None:
        """Run an attempt on a thread of the pool."""
        self._running[attempt.task.name] = attempt
        self._pool.submit(self._run, attempt)

    def has(self, task: str) -> bool:
        """True while an attempt of the task runs here."""
        return task in self._running

    def finished(self, task: str) -> bool:
        """Forget an attempt that came back; False when it had been given up, and its report counts no more."""
        self._ending_since.pop(task, None)
        self._given_up.pop(task, None)
        return self._running.pop(task, None) is not None

    def held(self) -> dict[str, int]:
        """The running attempts: ``{task: attempt}``."""
        return {name: attempt.task.attempt for name, attempt in list(self._running.items())}

    def ask_to_end(self, names: set[str]) -> None:
        """Tell these attempts that nobody wants their result; from now on the grace runs."""
        for name in names & self._running.keys():
            self._running[name].ends.set()
            self._ending_since.setdefault(name, monotonic())

    def ask_all_to_end(self) -> None:
        """The same for all."""
        self.ask_to_end(set(self._running))

    def disown(self) -> None:
        """The lease is lost: nothing that runs here counts any more."""
        for name, attempt in list(self._running.items()):
            attempt.gone.set()
            self._give_up(name)

    def overdue(self) -> Iterator[e.Report]:
        """Reports of attempts that took too long, and of those that did not end when asked to, at most one each."""
        now = monotonic()
        for name, attempt in list(self._running.items()):
            who = (name, attempt.task.attempt, attempt.incarnation)
            since = self._ending_since.get(name)
            if since is not None and now - since > self._grace:
                self._give_up(name)
                runner = GAVE_UP.format(pid=self._pid)
                yield e.AttemptLost(*who, crashes=0, known_dead=False, runner=runner)
            elif not attempt.timed_out and (late := _late(attempt, now)):
                attempt.timed_out = True
                self.ask_to_end({name})
                yield e.AttemptTimedOut(*who, late)

    def close(self) -> None:
        """Start nothing more. Threads that hang are left to the end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, name: str) -> None:
        """The thread cannot be ended: its slot is lost until it comes back by itself."""
        self._given_up[name] = self._running.pop(name)
        structlog.get_logger().warning("attempt.hangs", task=name)

    def _run(self, attempt: Attempt) -> None:
        with bound_contextvars(run=attempt.run.run_id, state=attempt.task.state, attempt=attempt.task.attempt):
            try:
                report = executor.run(attempt, self._hands)
            except BaseException as error:  # a bug of ours must not leave the run waiting for ever
                structlog.get_logger().error("attempt.broke", error=executor.told(error))
                who = (attempt.task.name, attempt.task.attempt, attempt.incarnation)
                report = e.ActionFailed(*who, executor.told(error))
            self.reports.put((attempt.task.name, report))


def _late(attempt: Attempt, now: float) -> str:
    """Why the attempt has run out of time; empty where it has not."""
    timeout, heartbeat = _times(attempt)
    if timeout is not None and now - attempt.started > timeout.total_seconds():
        return f"no end within its timeout of {timeout}"
    if heartbeat is not None and now - attempt.heard > heartbeat.total_seconds():
        return f"silent for longer than its heartbeat of {heartbeat}"
    return ""


def _times(attempt: Attempt) -> tuple[timedelta | None, timedelta | None]:
    """``(timeout, heartbeat)`` of an attempt; an undo is held to those of its step."""
    activity = attempt.chart.activity(attempt.task.state)
    if attempt.task.kind in ("step", "undo") and isinstance(activity, Run):
        return activity.timeout, activity.heartbeat
    return NOTICE_TIMEOUT, None
