"""The worker's side of its fork server: had when it is needed, and another when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from socket import socket
from threading import Lock, Thread
from time import monotonic
from typing import Final

import structlog

from saga_engine.domain.chart import Chart
from saga_engine.errors import IsolationFailed
from saga_engine.runtime.isolation import servers
from saga_engine.runtime.isolation.servers import ForkServer
from saga_engine.runtime.isolation.sources import source_of
from saga_engine.runtime.isolation.warden import Terms
from saga_engine.runtime.isolation.wire import Frame, WireBroken
from saga_engine.runtime.registry import Registry

NO_SOURCE: Final = (
    "a process of its own cannot load it: it has to stand at module level of a file, not be made by a function"
)


NO_SERVER: Final = (
    "the process that it is forked from could not be started, or has ended, maybe while it imported the file"
)
HANGS: Final = "its file was imported for {seconds:g} s and was not done; until {until} it is not tried again"
PAUSE: Final = timedelta(minutes=10)
"""How long a file that hangs is left alone: each try holds up all other sagas for as long."""


class Forks:
    """One fork server at a time. ``begin`` is for one thread, the worker's: the server ends with it. Else any."""

    def __init__(self, known: Registry) -> None:
        self._known = known
        self._server: ForkServer | None = None
        self._retired: list[ForkServer] = []
        """They fork no more; what they have forked runs on, and ends with them."""
        self._broken = False
        self._loaded: set[str] = set()
        self._refused: dict[str, str] = {}
        """Sagas after whose import nothing can be forked, and why."""
        self._hung: dict[str, tuple[float, str]] = {}
        """Sagas whose import did not end: until when they are not tried again, and why."""
        self._talking = Lock()
        self._loading: Thread | None = None

    def begin(self) -> None:
        """Have a fork server; does not wait until it is ready. Where none can be started, ``fork`` says so."""
        found = self._server  # another thread may retire it meanwhile
        if found is not None and not self._broken and found.lives():
            return
        with self._talking:
            if self._server is not None and self._server.lives():
                self._retired.append(self._server)  # it hangs in an import, and others run on below it
                self._server, self._broken, self._loaded = None, False, set()
            self._end()
            try:
                self._server = servers.a_server()
            except OSError as error:
                structlog.get_logger().warning("isolation.not_started", reason=str(error))

    def load(self, charts: Sequence[Chart]) -> None:
        """Have the server import these sagas in the meantime, as their files are now."""

        def load() -> None:
            for chart in charts:
                try:
                    with self._talking:
                        self._have(chart)
                except IsolationFailed as error:  # its first attempt says it where people look
                    structlog.get_logger().warning("isolation.not_loaded", saga=chart.name, reason=str(error))

        self._loading = Thread(target=load, name="saga-isolation", daemon=True)
        self._loading.start()

    def fork(self, chart: Chart, terms: Terms, control: socket, wire: socket) -> None:
        """Fork a warden for an attempt of *chart*, at the ends *control* and *wire*; ``IsolationFailed``: it cannot."""
        with self._talking:
            self._have(chart)
            answer = self._ask(chart, {"fork": asdict(terms)}, control, wire)
        if "failed" in answer:
            raise IsolationFailed(saga=chart.name, problem=answer["failed"])

    def close(self) -> None:
        """Let the fork server end, and all below it."""
        found = self._server
        if found is not None:
            found.door.hang_up()  # who waits for an answer gets none
        with self._talking:
            self._server = self._server or servers.take_early()
            self._end()
            for spoilt in self._retired:
                spoilt.end()
            self._retired.clear()
        if self._loading is not None:
            self._loading.join()

    def _end(self) -> None:
        if self._server is not None:
            self._server.end()
        self._server, self._broken, self._loaded = None, False, set()

    def _retire(self, chart: Chart, problem: str) -> None:
        """The import of *chart* has spoilt the server: the others get another one, *chart* gets none any more."""
        assert self._server is not None, "it has answered"
        self._retired.append(self._server)
        self._server, self._loaded = None, set()
        self._refused[chart.digest] = problem

    def _have(self, chart: Chart) -> None:
        if chart.digest in self._refused:
            raise IsolationFailed(saga=chart.name, problem=self._refused[chart.digest])
        if chart.digest in self._loaded:
            return
        until, problem = self._hung.get(chart.digest, (0.0, ""))
        if monotonic() < until:
            raise IsolationFailed(saga=chart.name, problem=problem)
        source = source_of(self._known, chart)
        if source is None:
            raise IsolationFailed(saga=chart.name, problem=NO_SOURCE)
        answer = self._ask(chart, {"load": asdict(source)})
        if answer["spoilt"]:
            self._retire(chart, answer["broken"])
            raise IsolationFailed(saga=chart.name, problem=answer["broken"])
        self._loaded = set(answer["loaded"])
        if chart.digest not in self._loaded:
            problem = answer["broken"] or "the file has changed since this worker loaded it: start the worker again"
            raise IsolationFailed(saga=chart.name, problem=problem)
        structlog.get_logger().info("isolation.loaded", saga=chart.name, version=chart.version)

    def _ask(self, chart: Chart, frame: Frame, *ends: socket) -> Frame:
        """What the server answers; one that does not is of no more use."""
        problem = NO_SERVER
        with suppress(WireBroken):
            if self._server is not None and not self._broken:  # a late answer would be taken for that to another order
                self._server.door.hand(frame, *ends)
                if (answer := self._server.door.receive()) is not None:
                    return answer
                if self._server.door.silent and "load" in frame:
                    problem = self._leave_alone(chart)
        self._broken = True  # the next attempt has another one
        raise IsolationFailed(saga=chart.name, problem=problem)

    def _leave_alone(self, chart: Chart) -> str:
        """Not to import it again for a while; why."""
        until = datetime.now().astimezone() + PAUSE
        problem = HANGS.format(seconds=servers.START_SECONDS, until=f"{until:%H:%M:%S}")
        self._hung[chart.digest] = monotonic() + PAUSE.total_seconds(), problem
        return problem
