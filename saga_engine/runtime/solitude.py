"""A worker that runs empty for a suspect which has to run alone: for how long, how often, and which one it runs."""

from collections.abc import Callable, Collection
from time import monotonic
from typing import Final

from saga_engine.store.tasks import Lease

WINDOWS: Final = 4
"""A worker that sees such a suspect keeps its free slots free for one part in so many of its time."""
WINDOW_LEASES_MAX: Final = 8
"""For no longer than so many leases at a time, however long the steps are that run here."""


class Solitude:
    """Used by one thread. *mine* answers what this process holds."""

    def __init__(self, lease_seconds: float, mine: Callable[[], Collection[Lease]]) -> None:
        self._lease_seconds, self._mine = lease_seconds, mine
        self._alone: Lease | None = None
        self._holds_back_until = self._holds_back_again = 0.0
        self._window = lease_seconds

    @property
    def runs_one(self) -> bool:
        """True while a suspect runs here, alone."""
        if self._alone is not None and self._alone not in self._mine():
            self._alone = None
        return self._alone is not None

    @property
    def holds_back(self) -> bool:
        """True while this worker runs empty for a suspect, or runs one: nothing else begins here."""
        return self.runs_one or monotonic() < self._holds_back_until

    def is_of(self, lease: Lease) -> bool:
        """True for a suspect that was claimed to run alone."""
        return lease == self._alone

    def begins(self, lease: Lease | None) -> None:
        """Let this suspect have the worker to itself; None: it was not to be had."""
        self._alone = lease
        self.ends()

    def waits(self) -> bool:
        """Whether to begin nothing, so that this worker runs empty.

        For the length of a lease, then not for some: what runs here may take hours. The next time twice as long, for
        of steps that take longer than a lease one would always have begun before.
        """
        now = monotonic()
        if now >= self._holds_back_again:
            self._holds_back_until, self._holds_back_again = now + self._window, now + WINDOWS * self._window
            self._window = min(2 * self._window, WINDOW_LEASES_MAX * self._lease_seconds)
        return now < self._holds_back_until

    def ends(self) -> None:
        """Nobody waits for an empty worker any more; whoever will, begins with a short window, and soon."""
        self._holds_back_until, self._window = 0.0, self._lease_seconds
        self._holds_back_again = min(self._holds_back_again, monotonic() + WINDOWS * self._window)
