"""Which attempts of a worker run in processes of their own, and the end of those."""

from __future__ import annotations

from saga_engine.domain.chart import Chart
from saga_engine.errors import DefinitionError
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation import linux
from saga_engine.runtime.isolation.forks import NO_SOURCE, Forks
from saga_engine.runtime.isolation.process import Process, SuspectProcess
from saga_engine.runtime.isolation.sources import source_of
from saga_engine.runtime.isolation.wanted import asks_for_it, isolated
from saga_engine.runtime.isolation.warden import Terms
from saga_engine.runtime.registry import Registry
from saga_engine.settings import Limits


class Isolation:
    """The processes of one worker. Used by its thread, in which they have to begin: they end with it."""

    def __init__(self, known: Registry, hands: StoreHands, limits: Limits) -> None:
        """``DefinitionError`` for a saga that asks for what cannot be given here."""
        self._known, self._hands, self._limits = known, hands, limits
        self._forks = Forks(known)
        self._terms = Terms("", limits.memory_mib)
        for chart in known:
            self._refuse(chart)

    def begin(self, life_file: str) -> None:
        """Be ready for a life of the worker: processes begun from now on are part of it."""
        self._terms = Terms(life_file, self._limits.memory_mib)
        wanted = [chart for chart in self._known if asks_for_it(chart)]
        if wanted:
            self._forks.begin()
            self._forks.load(wanted)

    def process(self, attempt: Attempt, *, suspect: bool) -> Process | None:
        """The process for an attempt, not yet begun; None for one that runs on a thread.

        A *suspect*, with which a worker has died, may take a process along that nobody misses, if that can load it.
        """
        if isolated(attempt):
            kind, terms = Process, self._terms
        elif suspect and linux.HERE and source_of(self._known, attempt.chart):
            # Without the limit of memory: its saga was written for a thread, which has none.
            kind, terms = SuspectProcess, Terms(self._terms.life)
        else:
            return None
        self._forks.begin()
        return kind(attempt, self._hands, self._forks, terms, self._limits.lease_seconds)

    def close(self) -> None:
        """End what is still there."""
        self._forks.close()

    def _refuse(self, chart: Chart) -> None:
        if not asks_for_it(chart):
            return
        problem = "" if linux.HERE else "that needs Linux"
        if not problem and source_of(self._known, chart) is None:
            problem = NO_SOURCE
        if problem:
            raise DefinitionError(f'{chart.name} asks for isolation="process": {problem}')
