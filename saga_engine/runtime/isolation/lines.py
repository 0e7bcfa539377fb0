"""A forked process as its worker sees it: the wire to it, the line to its warden, and what that has told."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from selectors import EVENT_READ, DefaultSelector

import structlog

from saga_engine.domain.chart import Chart
from saga_engine.runtime.isolation.forks import Forks
from saga_engine.runtime.isolation.warden import CONTROL_BYTES_MAX, Terms
from saga_engine.runtime.isolation.wire import Wire, WireBroken, pair


class Lines:
    """``kill`` may be called from any thread, all else by one at a time."""

    def __init__(self, ends: ExitStack, control: socket.socket, wire: socket.socket, frame_bytes_max: int) -> None:
        self._ends, self._kills = ends, control
        self.wire, self.control = Wire(wire, frame_bytes_max), Wire(control, CONTROL_BYTES_MAX)
        self._selector = ends.enter_context(DefaultSelector())
        self._selector.register(self.wire, EVENT_READ)
        self._selector.register(self.control, EVENT_READ)
        self.pid = 0
        self.ended: int | None = None
        """How it has ended."""
        self.failed = ""
        """Why its warden could not start it."""

    @classmethod
    def fork(cls, forks: Forks, chart: Chart, terms: Terms, frame_bytes_max: int) -> Lines:
        """Have a process forked that waits for its order; ``IsolationFailed`` or ``OSError``: there is none."""
        with ExitStack() as ends:
            control, wardens = (ends.enter_context(end) for end in pair())
            wire, childs = (ends.enter_context(end) for end in pair())
            forks.fork(chart, terms, wardens, childs)
            wardens.close()
            childs.close()
            return cls(ends.pop_all(), control, wire, frame_bytes_max)
        raise AssertionError  # an ExitStack that swallows nothing

    def kill(self) -> None:
        """Have the process ended, and all that it has started. Returns at once."""
        with suppress(OSError):  # it is over, or about to be
            self._kills.shutdown(socket.SHUT_WR)

    def ready(self, seconds: float | None) -> tuple[bool, bool]:
        """Wait; whether there is something to hear from the process, and from its warden."""
        found = [key.fileobj for key, _ in self._selector.select(seconds)]
        return self.wire in found, self.control in found

    def waits(self) -> bool:
        """Whether it is whole, and waits for an order. That it was begun may be heard only now: a step may be quick."""
        said, told = self.ready(0)
        while told:
            if self.over():
                return False
            said, told = self.ready(0)
        return not said and not self.failed and self.ended is None

    def hear_no_more(self) -> None:
        """The process has nothing more to say; its warden has."""
        self._selector.unregister(self.wire)

    def over(self) -> bool:
        """Hear the warden; True when all has ended, or it has ended itself."""
        try:
            frames, goes_on = self.control.arrived()
        except WireBroken:
            return True
        for frame in frames:
            self.failed = frame.get("failed", "")
            self.pid = frame.get("pid", self.pid)
            if "pid" in frame:
                structlog.get_logger().info("attempt.isolated", pid=self.pid)
            if "ended" in frame:
                self.ended = frame["ended"]
                if not frame["clean"]:
                    structlog.get_logger().warning("attempt.left_processes", pid=self.pid)
        # The line itself may stay open: what the worker has forked meanwhile has a copy of its end.
        return not goes_on or self.ended is not None or bool(self.failed)

    def close(self) -> None:
        """Let go of both lines: the process ends, if it has not."""
        self._ends.close()
