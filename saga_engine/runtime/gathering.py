"""How long reports wait for one another: steps that begin together and take no time come back together."""

from time import monotonic

from saga_engine.store.tasks import Lease


class Gathering:
    """Attempts that have just begun. While any of them is out, its report may be worth a moment's waiting.

    A run alone never waits: when its attempt is back, nobody is out. Used by one thread.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._out: set[Lease] = set()
        self._until = 0.0

    def began(self, lease: Lease) -> None:
        """An attempt begins."""
        self._out.add(lease)
        self._until = monotonic() + self._seconds

    def back(self, lease: Lease) -> None:
        """An attempt came back, or is given up."""
        self._out.discard(lease)

    def seconds(self) -> float:
        """For how long to wait for the next report, before those that came are recorded."""
        left = self._until - monotonic() if self._out else 0.0
        if left > 0:
            return left
        self._out.clear()  # they take their time: nobody waits for them again
        return 0.0
