"""How a fork server comes about: forked early, where that is safe, or executed anew."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final

from saga_engine.runtime.isolation import linux, server
from saga_engine.runtime.isolation.wire import Door, pair

START_SECONDS: Final = 60.0
"""How long a fork server may take for its imports, on a busy machine."""
END_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.002
ANSWER_BYTES_MAX: Final = 1024 * 1024
STANDARD_ERROR: Final = 2
PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from saga_engine.runtime.isolation.server import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


class ForkServer(ABC):
    """A running fork server, and the door to it. It ends with the thread that has started it."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(START_SECONDS)
        self.door = Door(end, ANSWER_BYTES_MAX)

    def end(self) -> None:
        """Close the door, and see that it has ended; what is below it then ends, too."""
        self.door.close()
        until = time.monotonic() + END_SECONDS
        while self.lives():
            if time.monotonic() > until:  # it was stopped, or hangs in an import of a user's
                self.kill()
            time.sleep(LOOK_SECONDS)

    @abstractmethod
    def lives(self) -> bool:
        """Whether it has not ended; one that has is reaped."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL."""


class Executed(ForkServer):
    """A program of its own, with nothing of this process but the way in which it finds modules."""

    def __init__(self) -> None:
        ours, theirs = pair()
        path = [str(entry) or str(Path.cwd()) for entry in sys.path]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable or "python", "-c", PROGRAM, str(theirs.fileno()), str(os.getpid()), *path],
                    stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
        super().__init__(ours)

    def lives(self) -> bool:
        """See above."""
        return self._process.poll() is None

    def kill(self) -> None:
        """See above."""
        self._process.kill()


class Forked(ForkServer):
    """A fork of this process, which has imported all that is needed: ready at once."""

    def __init__(self) -> None:
        me = os.getpid()
        ours, theirs = pair()
        with theirs:
            self._pid = os.fork()
            if self._pid == 0:
                ours.close()  # else it would hold its own door open
                _become_server(me, theirs)
        self._ended = False
        super().__init__(ours)

    def lives(self) -> bool:
        """See above."""
        if not self._ended:
            with suppress(ChildProcessError):
                self._ended = os.waitpid(self._pid, os.WNOHANG)[0] != 0
        return not self._ended

    def kill(self) -> None:
        """See above."""
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)


def prefork() -> None:
    """Fork a server for the worker that this process will be: to be called before it has a thread or a connection.

    Does nothing where it has threads by now, or cannot fork: then one is executed when it is needed.
    """
    if linux.HERE and threading.active_count() == 1 and not _early:
        with suppress(OSError):
            _early.append((os.getpid(), Forked()))


def a_server() -> ForkServer:
    """The one that was forked early, once; else one that is executed now. OSError where that fails."""
    return take_early() or Executed()


def take_early() -> ForkServer | None:
    """The one that was forked early, if that was in this very process, and nobody has taken it."""
    made_in, found = _early.pop() if _early else (0, None)
    return found if made_in == os.getpid() else None


_early: Final[list[tuple[int, Forked]]] = []
"""At most one, and the process that has forked it."""


def _become_server(parent: int, end: socket.socket) -> None:
    """In the fork: what a program gets when it is executed, then the same."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(STANDARD_ERROR, 1)
        server.main(end.detach(), parent)
    finally:
        os._exit(0)
