"""The attempts that a worker runs: on threads or in processes, watched by the clock, ended on request."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Final, TypeAlias

import structlog
from structlog.contextvars import bind_contextvars

from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import NOTICE_TIMEOUT, Run
from saga_engine.runtime import executor
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.gathering import Gathering
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation import spares
from saga_engine.runtime.isolation.isolation import Isolation
from saga_engine.runtime.isolation.process import Process
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.telling import told
from saga_engine.runtime.threads import Threads
from saga_engine.settings import Limits, Settings
from saga_engine.store.tasks import Lease

CLOSE_SECONDS: Final = 1.0
"""How long the threads of attempts that came back may take to end."""
KILL_SECONDS: Final = 1.0
"""How long the process of an attempt may take to end when it is killed; one that hangs in the kernel takes longer."""
KILLED: Final = "it did not end within the grace of {grace:g} s, and its process was killed"

Came: TypeAlias = tuple[Lease, e.Report | None]
"""An attempt that came back, and its report; None where nobody is to be told."""


def slots_of(door: Door, targets: Targets, settings: Settings, store_uuid: str, size: int) -> Slots:
    """The slots of a worker of this process."""
    limits = settings.limits
    hands = StoreHands(door.store, targets, store_uuid, limits.result_bytes_max, settings.exports)
    return Slots(size, hands, Isolation(door.registry, hands, limits), limits, f"worker pid {os.getpid()}")


class Slots:
    """A bounded number of attempts at a time, each known by task and attempt: a later attempt is another one.

    Used by one thread, that of the worker; ``held`` may be asked from any.
    """

    def __init__(self, size: int, hands: StoreHands, isolation: Isolation, limits: Limits, runner: str) -> None:
        self.size = size
        self.came: SimpleQueue[Came | None] = SimpleQueue()
        """What came back; None only wakes whoever waits here."""
        self._hands = hands
        self._isolation = isolation
        self._grace = limits.grace_seconds
        self._runner = runner
        self._running: dict[Lease, Attempt] = {}
        self._ending_since: dict[Lease, float] = {}
        self._given_up: dict[Lease, float] = {}
        """Attempts that count no more and whose threads have not come back, with the moment from which they hang."""
        self._processes: dict[Lease, Process] = {}
        """Those of them, and of the running, that can be killed."""
        self._threads = Threads()
        self.gathering = Gathering(limits.batch_milliseconds / 1_000)

    @property
    def free(self) -> int:
        """How many more attempts may start. A thread that does not come back keeps its slot."""
        return self.size - len(self._running) - len(self._given_up)

    @property
    def busy(self) -> int:
        """Slots whose attempt still counts."""
        return len(self._running)

    @property
    def hung(self) -> int:
        """Slots whose thread has not come back within the grace, nor when its process was killed."""
        now = monotonic()
        return sum(hangs_from + self._kill_seconds(lease) <= now for lease, hangs_from in self._given_up.items())

    def begin(self, life_file: str) -> None:
        """Be ready for a life of the worker; its processes will be part of it."""
        self._isolation.begin(life_file)

    def parts(self, chart: Chart) -> bool:
        """Whether an attempt with which a worker has died gets a process of its own, whatever else runs here."""
        return self._isolation.parts(chart)

    def room(self) -> int:
        """For how many more of those there are processes: the others would wait in a slot."""
        return spares.PROCESSES_MAX - sum(process.stays for process in self._processes.values())

    def start(self, attempt: Attempt, *, suspect: bool = False, alone: bool = False) -> None:
        """Run an attempt, in a process of its own where its saga asks for it, or a worker has died with it.

        A *suspect* that is *alone* here may run on a thread, where there is no process to be had.
        """
        assert self.free > 0, "an attempt starts only where a slot is free"
        self._running[attempt.lease] = attempt
        self.gathering.began(attempt.lease)
        process = self._isolation.process(attempt, suspect=suspect, alone=alone)
        if process is not None:
            self._processes[attempt.lease] = process
        self._threads.submit(partial(self._run, attempt, process), self.size - self.free)

    def has(self, lease: Lease) -> bool:
        """True while this attempt runs here and counts."""
        return lease in self._running

    def knows(self, lease: Lease) -> bool:
        """True while a thread runs this attempt, though it may count no more."""
        return lease in self._running or lease in self._given_up

    def held(self) -> list[Lease]:
        """The attempts that run here and count."""
        return list(self._running)

    def attempts(self) -> list[Attempt]:
        """The same, whole."""
        return list(self._running.values())

    def finished(self, lease: Lease) -> Attempt | None:
        """Forget an attempt that came back; None when it had been given up, and its report counts no more."""
        self.gathering.back(lease)
        self._ending_since.pop(lease, None)
        self._given_up.pop(lease, None)
        self._processes.pop(lease, None)
        return self._running.pop(lease, None)

    def ask_to_end(self, leases: Collection[Lease]) -> None:
        """Tell these attempts that nobody wants their result; from now on the grace runs."""
        for lease in leases:
            if lease in self._running:
                self._running[lease].ends = True
                self._ending_since.setdefault(lease, monotonic())

    def tell_all(self) -> None:
        """Ask all attempts to end; whoever asks counts the grace."""
        for attempt in self._running.values():
            attempt.ends = True

    def disown(self, leases: Collection[Lease]) -> None:
        """The store no longer knows these leases: what still runs of them counts no more, and has the grace to end."""
        for lease in leases:
            if lease in self._running:
                self._running[lease].gone = True
                self._give_up(lease, monotonic() + self._grace)

    def overdue(self) -> Iterator[e.Report]:
        """Reports of attempts that took too long, and of those that did not end when asked to, one each."""
        now = monotonic()
        self._isolation.tidy()
        self.kill([lease for lease, hangs_from in self._given_up.items() if hangs_from <= now])
        self.kill([lease for lease, since in self._ending_since.items() if now - since > self._grace])
        for lease, attempt in list(self._running.items()):
            since = self._ending_since.get(lease)
            if since is not None and now - since > self._grace + self._kill_seconds(lease):
                self._give_up(lease, now)
                structlog.get_logger().warning("attempt.hangs", task=lease[0], attempt=lease[1])
                yield e.AttemptLost(*attempt.who, crashes=0, known_dead=False, runner=f"{self._runner}, which gave up")
            elif not attempt.timed_out and (late := _late(attempt, now)):
                attempt.timed_out = True
                self.ask_to_end([lease])
                yield e.AttemptTimedOut(*attempt.who, late)

    def kill(self, leases: Collection[Lease]) -> bool:
        """End the processes of these attempts, with all that they have started; False where none has one."""
        processes = [self._processes[lease] for lease in leases if lease in self._processes]
        for process in processes:
            process.kill(KILLED.format(grace=self._grace))
        return bool(processes)

    def close(self) -> None:
        """Start nothing more, end every process. Threads that hang are left to the end of the worker's."""
        self.kill([*self._processes])
        self._isolation.close()
        self._threads.close(0.0 if self._given_up or self._running else CLOSE_SECONDS)

    def _give_up(self, lease: Lease, hangs_from: float) -> None:
        """The thread cannot be ended: its slot is lost until it comes back by itself."""
        del self._running[lease]
        self._ending_since.pop(lease, None)
        self._given_up[lease] = hangs_from

    def _kill_seconds(self, lease: Lease) -> float:
        return KILL_SECONDS if lease in self._processes else 0.0

    def _run(self, attempt: Attempt, process: Process | None) -> None:
        """On a thread; what an attempt binds for its log lines, or in other context variables, ends with it."""
        self.came.put((attempt.lease, copy_context().run(self._reported, attempt, process)))

    def _reported(self, attempt: Attempt, process: Process | None) -> e.Report | None:
        bind_contextvars(run=attempt.run.run_id, state=attempt.task.state, attempt=attempt.task.attempt)
        try:
            return executor.run(attempt, self._hands) if process is None else process.run()
        except BaseException as error:  # noqa: BLE001  a bug of ours must not leave the run waiting for ever
            structlog.get_logger().error("attempt.broke", error=told(error))
            return e.ActionFailed(*attempt.who, told(error))


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
