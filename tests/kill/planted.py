"""Bugs that a test puts into a worker, to see that it would be caught; and ways to be slow that only widen a race."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime.incarnation import Incarnation
from saga_engine.store import record
from saga_engine.store.record import Head

SLOW_RENEWAL_SECONDS: Final = 2.0


def revision_alone() -> None:
    """The fence of T2 compares revisions only: a claim raises the attempt, not the revision."""

    def unmoved(before: Snapshot, head: Head | None) -> bool:
        return head is not None and head.revision == before.revision

    record._unmoved = unmoved


def slow_renewal() -> None:
    """The worker learns late that its lease is gone, so that its report meets the fence. No bug."""
    renew = Incarnation.renew

    def late(self: Incarnation) -> None:
        time.sleep(SLOW_RENEWAL_SECONDS)
        renew(self)

    Incarnation.renew = late  # type: ignore[method-assign]


BUGS: Final[Mapping[str, Callable[[], None]]] = {"revision alone": revision_alone, "slow renewal": slow_renewal}
