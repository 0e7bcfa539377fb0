"""Who waits in this process for a run to stand still hears of it at once."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Flag
from threading import Lock

from saga_engine.domain.snapshot import Snapshot


class Still:
    """The waiting threads of a process, by run. What another process records nobody hears here."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._waiting: defaultdict[str, list[Flag]] = defaultdict(list)

    @contextmanager
    def awaited(self, run_id: str) -> Iterator[Flag]:
        """A flag that is set whenever this process records that the run stands still."""
        flag = Flag()
        with self._changing:
            self._waiting[run_id].append(flag)
        try:
            yield flag
        finally:
            with self._changing:
                self._waiting[run_id].remove(flag)
                if not self._waiting[run_id]:
                    del self._waiting[run_id]

    def tell(self, run: Snapshot) -> None:
        """The run has been recorded like this."""
        if self._waiting and stands_still(run):
            with self._changing:
                for flag in self._waiting.get(run.run_id, ()):
                    flag.set()


def stands_still(run: Snapshot) -> bool:
    """True for a run that has ended, and for one that goes on only with a person (``RunView.stands_still``)."""
    return run.ended or run.paused or run.status == "parked" or run.gate is not None
