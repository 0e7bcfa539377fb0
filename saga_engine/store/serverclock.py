"""The time of a PostgreSQL store: the server's clock, carried on for a moment by the clock that nobody can set.

To ask the server each time would be a round trip in every transaction. What it answered is never ahead of it: it was
said before it was heard.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from saga_engine.store.hostclock import steady

CARRIED_SECONDS: Final = 1.0
"""So long an answer is carried on."""
PROMPT_SECONDS: Final = 0.05
"""An answer that took longer is right when it is asked for, and not carried on: nobody knows when it was said."""


class ServerClock:
    """Tells the time. Threads may share one."""

    def __init__(self, steady: Callable[[], float] = steady) -> None:
        self._steady = steady
        self._said: tuple[datetime, float] | None = None

    def now(self, ask: Callable[[], datetime]) -> datetime:
        """The server's time; *ask* asks it, where what it last said is too old."""
        said, at = self._said, self._steady()
        if said is not None and 0 <= at - said[1] < CARRIED_SECONDS:
            return said[0] + timedelta(seconds=at - said[1])
        now = ask()
        heard = self._steady()
        self._said = (now, heard) if heard - at < PROMPT_SECONDS else None
        return now
