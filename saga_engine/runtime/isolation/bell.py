"""Signals that wake whoever waits for a file to become readable."""

from __future__ import annotations

import os
import signal
from typing import Final

LEFT_BEHIND: Final = signal.SIGUSR1
"""Sent when the parent has ended, or its thread: whoever hears it looks at its parent again."""
ASKED_TO_END: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""A service manager sends them to all processes of a worker; it is for the worker to say when the others end."""


class Bell:
    """Readable after each of the signals *numbers*. One for a process."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._rings, self._pull = os.pipe()
        os.set_blocking(self._rings, False)
        os.set_blocking(self._pull, False)
        signal.set_wakeup_fd(self._pull, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _rung)

    def fileno(self) -> int:
        """For ``selectors``."""
        return self._rings

    def silence(self) -> None:
        """It was heard."""
        try:
            while os.read(self._rings, 1024):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Signals wake nobody any more."""
        signal.set_wakeup_fd(-1)
        os.close(self._rings)
        os.close(self._pull)


def _rung(_number: int, _frame: object) -> None:
    """The interpreter has written to the bell by now."""
