"""The warden of one attempt: starts its process, and lets nothing of it live on when it ends or has to.

It holds a death lock of the worker's life while anything of the attempt is there, so that a worker that was killed is
known to be dead only when that is gone, too.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, PollSelector
from typing import Final

from saga_engine.runtime import life
from saga_engine.runtime.isolation import linux
from saga_engine.runtime.isolation.bell import ASKED_TO_END, LEFT_BEHIND, Bell
from saga_engine.runtime.isolation.wire import Wire, WireBroken

CONTROL_BYTES_MAX: Final = 4 * 1024
MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt runs under: the file of the worker's life, and a limit of memory in MiB."""

    life: str
    memory_mib: int | None = None


def warden(parent: int, control: socket.socket, wire: socket.socket, terms: Terms, run: Callable[[], int]) -> None:
    """Be the warden, in a process that *parent* has just forked: *run* is run in a child of it, and its end told.

    The end of *control* is the order to kill, whether the worker has given it or has died. Told on it are
    ``{"pid": n}``, then ``{"ended": status, "clean": true}``, when all that the child had started has ended, too; or
    ``{"failed": why}``, and nothing has run.
    """
    bell = Bell(signal.SIGCHLD, LEFT_BEHIND)
    linux.die_with_parent(LEFT_BEHIND, parent)
    linux.adopt_orphans()
    linux.call_me("saga-warden")
    me, line = os.getpid(), Wire(control, CONTROL_BYTES_MAX)
    try:
        file = life.hold(Path(terms.life))
        child = os.fork()
    except OSError as error:
        _tell(line, failed=str(error))
        return
    if child == 0:
        _become_child(me, bell, terms)
        line.close()
        os.close(file)
        os._exit(run())
    wire.close()
    _tell(line, pid=child)
    _watch(parent, child, control, bell)
    linux.end_group(child)
    linux.kill([child])  # which need not lead a group yet
    # As long as it takes: a process that hangs in the kernel is there, and so is the lock.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    _, status = os.waitpid(child, 0)
    clean = linux.end_children()
    _tell(line, ended=os.waitstatus_to_exitcode(status), clean=clean)


def _watch(parent: int, child: int, control: socket.socket, bell: Bell) -> None:
    """Until the child has ended, the worker wants it to, or nobody is left who could."""
    with PollSelector() as events:
        events.register(control, EVENT_READ)
        events.register(bell, EVENT_READ)
        while True:
            if os.getppid() != parent or os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            if any(key.fileobj is control for key, _ in events.select()):
                return
            bell.silence()
            for orphan in linux.children():
                if orphan != child:  # its end is told by what `waitpid` says of it later
                    with suppress(ChildProcessError):
                        os.waitpid(orphan, os.WNOHANG)


def _become_child(warden: int, bell: Bell, terms: Terms) -> None:
    """A session and a process group of its own, so that what it forks dies with it; signals as a program expects."""
    os.setsid()
    linux.die_with_parent(signal.SIGKILL, warden)
    linux.call_me("saga-step")
    linux.die_first()
    bell.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(LEFT_BEHIND, signal.SIG_DFL)
    for number in ASKED_TO_END:  # a function, not "ignored": programs that a step runs do not inherit it
        signal.signal(number, _not_for_us)
    if terms.memory_mib is not None:
        # What the program writes to: reserved addresses and mapped libraries do not count.
        most = terms.memory_mib * MEBIBYTE
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _not_for_us(_number: int, _frame: object) -> None:
    """The worker tells the step by ``cancelled``."""


def _tell(line: Wire, **facts: object) -> None:
    with suppress(WireBroken):  # the worker is gone
        line.send(facts)
