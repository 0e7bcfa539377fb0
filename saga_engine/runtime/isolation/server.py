"""The fork server: a process that has loaded the sagas, and forks a warden for each attempt.

Executed anew, it has no thread and no connection of the worker's; it never makes one of its own, so a fork of it is
safe. It ends with the worker, and whatever is below it ends with it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, PollSelector
from typing import Final, NoReturn

import structlog

from saga_engine import errors, log
from saga_engine.failpoints import hit
from saga_engine.ledger import connect
from saga_engine.runtime.isolation import child, linux, role
from saga_engine.runtime.isolation.bell import ASKED_TO_END, LEFT_BEHIND, Bell
from saga_engine.runtime.isolation.sources import Source, loaded
from saga_engine.runtime.isolation.warden import Terms, warden
from saga_engine.runtime.isolation.wire import Door, Frame, WireBroken
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.telling import told

ORDER_BYTES_MAX: Final = 1024 * 1024
BROKE: Final = 70
"""The exit code of a child that our own code fails in."""
THREADS: Final = "importing its file has started a thread, and a process with threads cannot be forked safely"


class Server:
    """The charts that its children find, and the wardens that it has forked."""

    def __init__(self, door: Door, parent: int) -> None:
        self._door, self._parent = door, parent
        self._bell = Bell(signal.SIGCHLD, LEFT_BEHIND)
        self._sagas = Registry()
        self._wardens: set[int] = set()

    def serve(self) -> None:
        """Until the worker has ended, or closed the door."""
        with PollSelector() as events:
            events.register(self._door, EVENT_READ)
            events.register(self._bell, EVENT_READ)
            while os.getppid() == self._parent:
                heard = [key.fileobj for key, _ in events.select()]
                self._bell.silence()
                self._clear_up()
                if self._door in heard and not self._obey():
                    return

    def _obey(self) -> bool:
        """Carry out what has come through the door; False where it is closed."""
        frames, goes_on = self._door.arrived()
        for frame in frames:
            self._door.send(self._load(frame) if "load" in frame else self._fork(frame))
        return goes_on

    def _load(self, frame: Frame) -> Frame:
        """Import a module; its sagas are known to all later children."""
        _prepare()
        source = Source(**frame["load"])
        role.now_loading(value=True)
        found = loaded([source])
        role.now_loading(value=False)
        broken = next(iter(found.broken.values()), "")
        spoilt = threading.active_count() > 1
        if not broken and spoilt:
            broken = THREADS
        if not broken:
            try:
                for chart in found:
                    self._sagas.add(chart.saga)
            except errors.DefinitionError as error:
                broken = str(error)
        gc.freeze()  # what children share with this process they shall not copy when they collect garbage
        return {"broken": broken, "spoilt": spoilt, "loaded": [chart.digest for chart in self._sagas]}

    def _fork(self, frame: Frame) -> Frame:
        """Start an attempt: its two lines came along with the order."""
        control, wire = (socket.socket(fileno=file) for file in self._door.take_files())
        terms = Terms(**frame["fork"])
        me = os.getpid()
        with control, wire:
            if threading.active_count() > 1:
                return {"failed": THREADS}
            try:
                pid = os.fork()
            except OSError as error:
                return {"failed": str(error)}
            if pid == 0:
                self._warden(me, control, wire, terms)
        self._wardens.add(pid)
        return {"forked": pid}

    def _warden(self, me: int, control: socket.socket, wire: socket.socket, terms: Terms) -> NoReturn:
        """In the forked process, and in the child of it that runs the attempt."""
        status = BROKE
        try:
            hit("runtime.isolation.forked")
            self._door.close()
            self._bell.close()
            warden(me, control, wire, terms, partial(child.main, wire, self._sagas))
            status = 0
        except BaseException as error:  # noqa: BLE001  whatever it was, nothing runs on here
            structlog.get_logger().error("isolation.broke", error=told(error))
        finally:
            os._exit(status)

    def _clear_up(self) -> None:
        """Reap wardens; what one that was killed has left behind has come to us, and ends here."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._wardens.discard(pid)
        linux.kill(set(linux.children()) - self._wardens)  # the end of each rings the bell again


def main(file: int, parent: int) -> None:
    """Be the fork server of the process *parent*; *file* is its end of the door."""
    # The thread that started this process may have blocked what we wait for.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)
    sys.argv[1:] = []
    door = Door(socket.socket(fileno=file), ORDER_BYTES_MAX)
    server = Server(door, parent)
    linux.die_with_parent(LEFT_BEHIND, parent)
    linux.adopt_orphans()
    linux.call_me("saga-forks")
    log.configure()
    with suppress(WireBroken):
        server.serve()
    door.close()


def _prepare() -> None:
    """What every child needs, once here. Nothing is connected."""
    for dialect, driver in connect.DATABASES:
        try:
            connect.open_target("none", f"{dialect}+{driver}://").dispose()
        except errors.SagaError:
            continue  # not installed here
