"""What only Linux does: a signal at the parent's death, orphans that come to us, a name for ``ps``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

HERE: Final = sys.platform == "linux"
"""Whether processes can be isolated at all."""
_DEATH_SIGNAL: Final = 1
_NAME: Final = 15
_SUBREAPER: Final = 36
END_SECONDS: Final = 5.0
"""How long processes that cannot be killed (they belong to somebody else, or hang in the kernel) are waited for."""
LOOK_SECONDS: Final = 0.002
EXPENDABLE: Final = 800
"""Of 1,000, as /proc/PID/oom_score_adj counts."""


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Have this process sent a signal when the thread that started it ends; at once where *parent* is gone already.

    A thread, not a process: whoever gets another signal than SIGKILL looks at its parent again. Not inherited.
    """
    _prctl(_DEATH_SIGNAL, number)
    if os.getppid() != parent:
        signal.raise_signal(number)


def adopt_orphans() -> None:
    """Be the parent of whatever loses its parent below this process: nothing there can slip away."""
    _prctl(_SUBREAPER, 1)


def call_me(name: str) -> None:
    """Show *name* (15 characters) in ``ps -o comm`` and ``top``."""
    _prctl(_NAME, ctypes.c_char_p(name.encode()))


def children() -> list[int]:
    """The processes whose parent this one is, adopted ones too."""
    found: list[int] = []
    for tasks in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += map(int, (tasks / "children").read_text().split())
    return found


def has_nothing_below() -> bool:
    """Whether this process has one thread and no child, and its parent no child but it; False where nobody tells."""
    me, parent = os.getpid(), os.getppid()
    try:
        threads = [thread.name for thread in Path("/proc/self/task").iterdir()]
        below = Path(f"/proc/{me}/task/{me}/children").read_text()
        beside = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except OSError:
        return False
    return (threads, below.split(), beside.split()) == ([str(me)], [], [str(me)])


def die_first() -> None:
    """Let the kernel, when it is out of memory, end this process and not the worker or the database beside it."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(f"{EXPENDABLE}\n")


def end_group(leader: int) -> None:
    """Kill a process group at once: one that forks without an end cannot outrun this.

    Only while its leader has not been reaped: until then nobody else can be given its number.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_children() -> bool:
    """Kill and reap every child, until there is none; False where some stay.

    A killed child's children come to us and are next: the end of one is not the end of what it has started.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        kill(children())
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # only this is certain: the list may leave one out while others end
            return True
        time.sleep(LOOK_SECONDS)
    return False


def kill(processes: Iterable[int]) -> None:
    """SIGKILL to each that is there, and ours."""
    for pid in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _prctl(what: int, value: int | ctypes.c_char_p) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_ulong(0)
    given = ctypes.c_ulong(value) if isinstance(value, int) else value
    if libc.prctl(what, given, none, none, none) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {what}: {os.strerror(number)}")
