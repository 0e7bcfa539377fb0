"""The worker's side of its fork server: had when it is needed, and another when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from socket import socket
from threading import Lock, Thread
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


class Forks:
    """One fork server at a time. ``begin`` is for one thread, the worker's: the server ends with it. Else any."""

    def __init__(self, known: Registry) -> None:
        self._known = known
        self._server: ForkServer | None = None
        self._broken = False
        self._loaded: set[str] = set()
        self._talking = Lock()
        self._loading: Thread | None = None

    def begin(self) -> None:
        """Have a fork server; does not wait until it is ready. Where none can be started, ``fork`` says so."""
        if self._server is not None and not self._broken and self._server.lives():
            return
        with self._talking:
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
        if self._server is not None:
            self._server.door.hang_up()  # who waits for an answer gets none
        with self._talking:
            self._server = self._server or servers.take_early()
            self._end()
        if self._loading is not None:
            self._loading.join()

    def _end(self) -> None:
        if self._server is not None:
            self._server.end()
        self._server, self._broken, self._loaded = None, False, set()

    def _have(self, chart: Chart) -> None:
        if chart.digest in self._loaded:
            return
        source = source_of(self._known, chart)
        if source is None:
            raise IsolationFailed(saga=chart.name, problem=NO_SOURCE)
        answer = self._ask(chart, {"load": asdict(source)})
        self._loaded = set(answer["loaded"])
        if chart.digest not in self._loaded:
            problem = answer["broken"] or "the file has changed since this worker loaded it: start the worker again"
            raise IsolationFailed(saga=chart.name, problem=problem)
        structlog.get_logger().info("isolation.loaded", saga=chart.name, version=chart.version)

    def _ask(self, chart: Chart, frame: Frame, *ends: socket) -> Frame:
        """What the server answers; one that does not is of no more use."""
        with suppress(WireBroken):
            if self._server is not None:
                self._server.door.hand(frame, *ends)
                if (answer := self._server.door.receive()) is not None:
                    return answer
        self._broken = True  # the next attempt has another one
        raise IsolationFailed(saga=chart.name, problem=NO_SERVER)
