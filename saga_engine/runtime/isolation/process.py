"""One attempt in a process of its own, as its worker sees it: ordered, answered, ended, and told about."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic
from typing import ClassVar, Final, TypeAlias

import structlog

from saga_engine import errors
from saga_engine.domain import codec
from saga_engine.domain import events as e
from saga_engine.failpoints import hit
from saga_engine.runtime import executor
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation.desk import Desk
from saga_engine.runtime.isolation.lines import Lines
from saga_engine.runtime.isolation.order import order_of
from saga_engine.runtime.isolation.spares import Spares
from saga_engine.runtime.isolation.wire import Frame, Wire, WireBroken
from saga_engine.runtime.life import host
from saga_engine.runtime.telling import told

Fork: TypeAlias = Callable[[], Lines]
EXIT_SECONDS: Final = 1.0
"""How long a process may live on that has reported, or has closed its line to the worker."""
NOT_BEGUN: Final = "it was asked to end before it had begun"


class Process:
    """``run`` in a thread of the worker's; ``kill`` from any."""

    stays: ClassVar = False
    """Whether the process may take another attempt when this one has ended."""

    def __init__(self, attempt: Attempt, hands: StoreHands, fork: Fork, lease_seconds: float) -> None:
        self._attempt, self._hands, self._fork, self._lease_seconds = attempt, hands, fork, lease_seconds
        attempt.started = attempt.heard = inf
        self._holding = Lock()
        self._lines: Lines | None = None
        """While it is this attempt's."""
        self._killed_for = ""
        self._said: list[e.Report | None] = []
        """The report, when it has come."""
        self._stayed = False

    def kill(self, reason: str) -> None:
        """Have the process ended, and all that it has started. Returns at once; ``run`` then returns soon."""
        with self._holding:
            self._killed_for = self._killed_for or reason
            if self._lines is not None:
                self._lines.kill()

    def run(self) -> e.Report | None:
        """Run the attempt to its end, when nothing of it lives any more. None: nobody is to be told."""
        hit("runtime.isolation.before_fork")
        try:
            lines = self._take()
        except (errors.IsolationFailed, OSError) as error:
            return self._not_started(error)
        if lines is None:
            return self._not_begun()
        with self._holding:
            self._lines = lines
        try:
            self._begin(lines)
            self._serve(lines)
        finally:
            with self._holding:  # from now on a kill is meant for nobody
                self._lines = None
                self._stayed = self._stayed and not self._killed_for
            self._leave(lines)
        if lines.failed:
            return self._not_started(errors.IsolationFailed(saga=self._attempt.chart.name, problem=lines.failed))
        return self._said[0] if self._said else self._died(lines)

    def _take(self) -> Lines | None:
        """A process for it; None where it is to end before it has begun."""
        return None if self._killed_for else self._fork()

    def _leave(self, lines: Lines) -> None:
        """It has no use for the process any more."""
        lines.close()

    def _begin(self, lines: Lines) -> None:
        """Give it its order."""
        if self._killed_for:  # while it was forked
            lines.kill()
            return
        self._attempt.started = self._attempt.heard = monotonic()
        with suppress(WireBroken):  # it has ended already: its warden tells how
            lines.wire.send(order_of(self._attempt, self._hands, self._lease_seconds, stays=self.stays))

    def _serve(self, lines: Lines) -> None:
        """Answer what it asks, until its warden says that it has ended, or it is ready for another attempt."""
        desk = Desk(self._attempt, self._hands)
        until: float | None = None
        while True:
            asks, ends = lines.ready(None if until is None else until - monotonic())
            if asks and not self._hear(lines.wire, desk):
                if self._stayed:
                    return
                lines.hear_no_more()
                until = monotonic() + EXIT_SECONDS
            if ends and lines.over():
                while lines.ready(0)[0] and self._hear(lines.wire, desk):
                    pass  # what it has said last
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
                    self._stayed = self.stays and frame.get("stays") is True and not wire.has_more()
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

    def _died(self, lines: Lines) -> e.Report | None:
        """No report will come."""
        text = self._killed_for or _how(lines.ended)
        structlog.get_logger().warning("attempt.died", task=self._attempt.task.name, pid=lines.pid, reason=text)
        return e.ActionFailed(*self._attempt.who, text)

    def _not_begun(self) -> e.Report | None:
        """Nobody wanted it any more, before it had a process."""
        return None if self._attempt.gone else e.ActionFailed(*self._attempt.who, self._killed_for or NOT_BEGUN)

    def _not_started(self, error: errors.IsolationFailed | OSError) -> e.Report | None:
        """Nothing of it ran: it is tried again, and nothing is counted."""
        self._say_not_started(error)
        return e.ActionFailed(*self._attempt.who, told(error), busy=True)

    def _say_not_started(self, error: errors.IsolationFailed | OSError) -> None:
        structlog.get_logger().warning("attempt.not_isolated", task=self._attempt.task.name, reason=str(error))


class SuspectProcess(Process):
    """A task that runs on a thread, until a worker has died with it. This worker runs nothing else meanwhile."""

    def _died(self, lines: Lines) -> e.Report | None:
        """As when a worker died with it; where the store is away the renewals hand it back, and this is not counted."""
        report = super()._died(lines)
        if self._killed_for:
            return report
        with suppress(*executor.STORE_AWAY):
            self._hands.crashed(self._attempt, f"{host()} pid {lines.pid}: {_how(lines.ended)}")
        return None

    def _not_started(self, error: errors.IsolationFailed | OSError) -> e.Report | None:
        """It takes its chance with this worker, as it did before."""
        self._say_not_started(error)
        if self._killed_for or self._attempt.gone:  # while it was forked
            return self._not_begun()
        self._attempt.started = self._attempt.heard = monotonic()
        return executor.run(self._attempt, self._hands)


class SparedProcess(SuspectProcess):
    """One that others run beside: in a process that one after the other has to itself, and never on a thread."""

    stays: ClassVar = True

    def __init__(  # noqa: PLR0917  as the others, and where it has its process from
        self, attempt: Attempt, hands: StoreHands, fork: Fork, lease_seconds: float, spares: Spares, key: str
    ) -> None:
        super().__init__(attempt, hands, fork, lease_seconds)
        self._spares, self._key = spares, key

    def _take(self) -> Lines | None:
        return self._spares.take(self._key, self._fork, self._is_wanted)

    def _is_wanted(self) -> bool:
        return not (self._attempt.ends or self._attempt.gone or self._killed_for)

    def _leave(self, lines: Lines) -> None:
        if self._stayed:
            self._spares.give(self._key, lines)
        else:
            self._spares.lost(self._key)
            lines.close()

    def _not_started(self, error: errors.IsolationFailed | OSError) -> e.Report | None:
        """Handed back, to be claimed by a worker that runs nothing beside it."""
        self._say_not_started(error)
        self._spares.refuse(self._key)
        with suppress(*executor.STORE_AWAY):
            self._hands.hand_back(self._attempt)
        return None


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
