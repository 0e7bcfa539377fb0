"""One attempt in a process of its own, as its worker sees it: ordered, answered, ended, and told about."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack, suppress
from math import inf
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Final

import structlog

from saga_engine import errors
from saga_engine.domain import codec
from saga_engine.domain import events as e
from saga_engine.failpoints import hit
from saga_engine.runtime import executor
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation.desk import Desk
from saga_engine.runtime.isolation.forks import Forks
from saga_engine.runtime.isolation.order import order_of
from saga_engine.runtime.isolation.warden import CONTROL_BYTES_MAX, Terms
from saga_engine.runtime.isolation.wire import Frame, Wire, WireBroken, pair
from saga_engine.runtime.life import host

EXIT_SECONDS: Final = 1.0
"""How long a process may live on that has reported, or has closed its line to the worker."""
FRAME_ROOM: Final = 4
"""A result as JSON within JSON, everything in it escaped, is at most so many times as long."""
FRAME_BYTES_MIN: Final = 1024 * 1024


class Process:
    """``run`` in a thread of the worker's; ``kill`` from any."""

    def __init__(self, attempt: Attempt, hands: StoreHands, forks: Forks, terms: Terms, lease_seconds: float) -> None:
        self._attempt, self._hands = attempt, hands
        attempt.started = attempt.heard = inf
        self._forks, self._terms, self._lease_seconds = forks, terms, lease_seconds
        self._control: socket.socket | None = None
        self._killed_for = ""
        self._pid = 0
        self._ended: int | None = None
        self._failed = ""
        """Why its warden could not start it."""
        self._said: list[e.Report | None] = []
        """The report, when it has come."""

    def kill(self, reason: str) -> None:
        """Have the process ended, and all that it has started. Returns at once; ``run`` then returns soon."""
        self._killed_for = self._killed_for or reason
        if self._control is not None:
            with suppress(OSError):  # it is over, or about to be
                self._control.shutdown(socket.SHUT_WR)

    def run(self) -> e.Report | None:
        """Run the attempt to its end, when nothing of it lives any more. None: nobody is to be told."""
        with ExitStack() as ends:
            try:
                lines = self._begin(ends)
            except (errors.IsolationFailed, OSError) as error:
                return self._not_started(error)
            if lines is not None:
                self._serve(*lines)
        if self._failed:
            return self._not_started(errors.IsolationFailed(saga=self._attempt.chart.name, problem=self._failed))
        return self._said[0] if self._said else self._died()

    def _begin(self, ends: ExitStack) -> tuple[Wire, Wire] | None:
        """Have it forked, and give it its order; its line and its warden's. None where it was killed before."""
        self._control, wardens = (ends.enter_context(end) for end in pair())
        ours, childs = (ends.enter_context(end) for end in pair())
        if self._killed_for:
            return None
        hit("runtime.isolation.before_fork")
        self._forks.fork(self._attempt.chart, self._terms, wardens, childs)
        self._attempt.started = self._attempt.heard = monotonic()
        wardens.close()
        childs.close()
        wire = Wire(ours, max(FRAME_BYTES_MIN, FRAME_ROOM * self._hands.result_bytes_max))
        with suppress(WireBroken):  # it has ended already: its warden tells how
            wire.send(order_of(self._attempt, self._hands, self._lease_seconds))
        return wire, Wire(self._control, CONTROL_BYTES_MAX)

    def _serve(self, wire: Wire, control: Wire) -> None:
        """Answer what it asks, until its warden says that it has ended."""
        desk = Desk(self._attempt, self._hands)
        until: float | None = None
        with DefaultSelector() as lines:
            lines.register(wire, EVENT_READ)
            lines.register(control, EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in lines.select(None if until is None else until - monotonic())]
                if wire in ready and not self._hear(wire, desk):
                    lines.unregister(wire)
                    until = monotonic() + EXIT_SECONDS
                if control in ready and self._over(control):
                    return
                if until is not None and monotonic() >= until:
                    self.kill("its process closed its line to the worker, lived on, and was killed")
                    until = None

    def _hear(self, wire: Wire, desk: Desk) -> bool:
        """Take what it says; False where no more is to be expected."""
        try:
            frames, goes_on = wire.arrived()
            for frame in frames:
                if "report" in frame:
                    self._said = [self._report(frame)]
                    return False
                answer = desk.answer(frame)
                if answer is not None:
                    wire.send(answer)
        except WireBroken as broken:
            self.kill(f"its process was killed: nobody understands what it says ({broken})")
            return False
        return goes_on

    def _report(self, frame: Frame) -> e.Report | None:
        """What the child reports of its attempt; of another it may say nothing."""
        try:
            report = None if frame["report"] is None else codec.load_event(frame["report"])
        except (KeyError, TypeError, ValueError) as error:
            raise WireBroken(f"a report that is none: {type(error).__name__}") from None
        match report:
            case None:
                return None
            case e.ActionSucceeded() | e.ActionFailed() if self._is_mine(report):
                return report
            case _:
                raise WireBroken("a report of something else")

    def _is_mine(self, report: e.ActionSucceeded | e.ActionFailed) -> bool:
        return (report.task, report.attempt, report.incarnation) == self._attempt.who

    def _over(self, control: Wire) -> bool:
        """Hear the warden; True when all has ended, or it has ended itself."""
        try:
            frames, goes_on = control.arrived()
        except WireBroken:
            return True
        for frame in frames:
            self._failed = frame.get("failed", "")
            self._pid = frame.get("pid", self._pid)
            if "pid" in frame:
                structlog.get_logger().info("attempt.isolated", task=self._attempt.task.name, pid=self._pid)
            if "ended" in frame:
                self._ended = frame["ended"]
                if not frame["clean"]:
                    structlog.get_logger().warning("attempt.left_processes", task=self._attempt.task.name)
        return not goes_on

    def _died(self) -> e.Report | None:
        """No report will come."""
        text = self._killed_for or _how(self._ended)
        structlog.get_logger().warning("attempt.died", task=self._attempt.task.name, pid=self._pid, reason=text)
        return e.ActionFailed(*self._attempt.who, text)

    def _not_started(self, error: errors.IsolationFailed | OSError) -> e.Report | None:
        """Nothing of it ran: it is tried again, and nothing is counted."""
        structlog.get_logger().warning("attempt.not_isolated", task=self._attempt.task.name, reason=str(error))
        return e.ActionFailed(*self._attempt.who, executor.told(error), busy=True)


class SuspectProcess(Process):
    """A task that runs on a thread, until a worker has died with it."""

    def _died(self) -> e.Report | None:
        """As when a worker died with it; where the store is away the renewals hand it back, and this is not counted."""
        report = super()._died()
        if self._killed_for:
            return report
        with suppress(*executor.STORE_AWAY):
            self._hands.crashed(self._attempt, f"{host()} pid {self._pid}: {_how(self._ended)}")
        return None

    def _not_started(self, error: errors.IsolationFailed | OSError) -> e.Report | None:
        """It takes its chance with this worker, as it did before."""
        super()._not_started(error)
        self._attempt.started = self._attempt.heard = monotonic()
        return executor.run(self._attempt, self._hands)


def _how(ended: int | None) -> str:
    """How a process ended, for people."""
    if ended is None:
        return "its process was lost"
    if ended < 0:
        try:
            name = f" ({signal.Signals(-ended).name})"
        except ValueError:
            name = ""
        return f"its process ended by signal {-ended}{name}"
    return f"its process ended with exit code {ended} in the middle of it"
