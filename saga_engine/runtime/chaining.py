"""Whether a worker goes on with a run without a claim: its next task recorded already leased (PROTOCOL, T2)."""

from time import monotonic
from typing import Final

from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime.incarnation import Incarnation

SECONDS_MAX: Final = 0.3
"""For so long the steps of a run follow each other while other work is due."""


class Chaining:
    """The chains of one incarnation. Used by one thread."""

    def __init__(self, me: Incarnation) -> None:
        self._me = me
        self._free = 0
        self._since: dict[str, float] = {}
        """Run -> when the first step after its last claim was decided."""

    def begin(self, free: int) -> None:
        """A batch is to be decided; there are so many free slots for what follows."""
        self._free = free

    def forget(self, run_id: str) -> None:
        """Begin anew with the run: this worker holds nothing of it any more."""
        self._since.pop(run_id, None)

    def goes_on(self, run: Snapshot, *, backlog: bool) -> bool:
        """True when its next task is to be leased at once; with a *backlog*, other work gets its turn after a while.

        Never without a slot to run it, or on a lease that may have run out.
        """
        if self._free <= 0 or not self._me.trusted:
            return False
        now = monotonic()
        if backlog and now - self._since.setdefault(run.run_id, now) > SECONDS_MAX:
            self.forget(run.run_id)
            return False
        self._free -= 1
        return True
