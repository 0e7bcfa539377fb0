"""A worker in a process of its own, forked from the test and really killed with SIGKILL: nothing of it is simulated."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Final

END_SECONDS: Final = 10.0
"""How long a worker that is asked to drain may take."""
PAUSE_SECONDS: Final = 0.005
BROKE: Final = 70
"""Its exit code where the worker itself broke; what broke it is on its standard error."""


class Victim:
    """A forked child that runs *work*. It ends with this process, however that ends."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.was_killed = False
        """It has died of a SIGKILL that did not come from ``end``."""
        self._alive = True
        self._gave_up = False
        end, self._line = os.pipe()
        with warnings.catch_warnings():
            # From 3.12 on Python warns of threads. The child starts anew: its own engine, its own connections.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(self._line)
            _be(work, end)
        os.close(end)

    def ended(self) -> bool:
        """Whether it has ended by now."""
        if self._alive:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._alive = False
                self.was_killed = not self._gave_up and os.waitstatus_to_exitcode(status) == -signal.SIGKILL
                os.close(self._line)
        return not self._alive

    def end(self) -> bool:
        """See to it that it has ended: asked to drain first, killed when it does not. Return ``was_killed``."""
        if not self.ended():
            os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + END_SECONDS
        while not self.ended():
            time.sleep(PAUSE_SECONDS)
            if time.monotonic() >= until:
                self._gave_up = True
                os.kill(self.pid, signal.SIGKILL)
        return self.was_killed


def _be(work: Callable[[], int], line: int) -> None:
    """The life of the child. It never returns into the test that it was forked from."""
    status = BROKE
    try:
        threading.Thread(target=_die_with_parent, args=(line,), daemon=True).start()
        status = work()
    except BaseException as error:  # noqa: BLE001  whatever it was, the parent reads it and nobody runs on here
        print(f"the worker broke: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201  as above
    finally:
        os._exit(status)


def _die_with_parent(line: int) -> None:
    os.read(line, 1)  # nobody writes: it returns when the other end is gone
    os.kill(os.getpid(), signal.SIGKILL)
