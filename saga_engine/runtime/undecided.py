"""Reports that could not be recorded, whatever was tried: kept, and tried again after a pause."""

from collections.abc import Iterator
from time import monotonic
from typing import Final

from saga_engine.domain import events as e
from saga_engine.store.tasks import Lease

AGAIN_SECONDS: Final = 10.0


class Undecided:
    """Those of one life. Their leases are kept: nobody else knows what came of these attempts.

    Used by one thread; ``leases`` may be asked from any.
    """

    def __init__(self) -> None:
        self._kept: dict[Lease, tuple[float, e.Report]] = {}

    def keep(self, report: e.Report) -> None:
        """Try it again in a while."""
        self._kept[report.task, report.attempt] = (monotonic() + AGAIN_SECONDS, report)

    def due(self) -> Iterator[e.Report]:
        """Those whose pause is over, each once."""
        now = monotonic()
        for lease, (until, report) in [*self._kept.items()]:
            if until <= now:
                del self._kept[lease]
                yield report

    def leases(self) -> set[Lease]:
        """The attempts whose reports wait."""
        return {*self._kept.copy()}
