"""Which attempts of a worker run in processes of their own, and the end of those."""

from __future__ import annotations

from functools import partial
from typing import Final

from saga_engine.domain.chart import Chart
from saga_engine.errors import DefinitionError
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import StoreHands
from saga_engine.runtime.isolation import linux
from saga_engine.runtime.isolation.forks import NO_SOURCE, Forks
from saga_engine.runtime.isolation.lines import Lines
from saga_engine.runtime.isolation.process import Fork, Process, SparedProcess, SuspectProcess
from saga_engine.runtime.isolation.sources import source_of
from saga_engine.runtime.isolation.spares import Spares
from saga_engine.runtime.isolation.wanted import asks_for_it, isolated
from saga_engine.runtime.isolation.warden import Terms
from saga_engine.runtime.registry import Registry
from saga_engine.settings import Limits

FRAME_ROOM: Final = 4
"""A result as JSON within JSON, everything in it escaped, is at most so many times as long."""
FRAME_BYTES_MIN: Final = 1024 * 1024


class Isolation:
    """The processes of one worker. Used by its thread, in which they have to begin: they end with it."""

    def __init__(self, known: Registry, hands: StoreHands, limits: Limits) -> None:
        """``DefinitionError`` for a saga that asks for what cannot be given here."""
        self._known, self._hands, self._limits = known, hands, limits
        self._forks = Forks(known)
        self._spares = Spares()
        self._terms = Terms("", limits.memory_mib)
        self._loads: dict[str, bool] = {}
        for chart in known:
            self._refuse(chart)

    def begin(self, life_file: str) -> None:
        """Be ready for a life of the worker: processes begun from now on are part of it."""
        self._terms = Terms(life_file, self._limits.memory_mib)
        self._spares.tidy(everything=True)
        wanted = [chart for chart in self._known if asks_for_it(chart)]
        if wanted:
            self._forks.begin()
            self._forks.load(wanted)

    def parts(self, chart: Chart) -> bool:
        """Whether a suspect of *chart* gets a process of its own, so that others may run beside it."""
        return self._can_load(chart) and not self._spares.refused(self._key(chart))

    def process(self, attempt: Attempt, *, suspect: bool, alone: bool) -> Process | None:
        """The process for an attempt, not yet begun; None for one that runs on a thread.

        A *suspect*, with which a worker has died, may take a process along that nobody misses. One that is *alone*,
        with nothing beside it in this worker, has one that is new, if there can be any.
        """
        chart, hands, lease = attempt.chart, self._hands, self._limits.lease_seconds
        if isolated(attempt):
            self._forks.begin()
            return Process(attempt, hands, self._forking(chart, self._terms), lease)
        if not suspect or (alone and not self._can_load(chart)):
            return None
        self._forks.begin()
        # Without the limit of memory: its saga was written for a thread, which has none.
        fork = self._forking(chart, Terms(self._terms.life))
        if alone:
            return SuspectProcess(attempt, hands, fork, lease)
        return SparedProcess(attempt, hands, fork, lease, self._spares, self._key(chart))

    def tidy(self) -> None:
        """Let processes end that nobody has needed for a while."""
        self._spares.tidy()

    def close(self) -> None:
        """End what is still there."""
        self._spares.close()
        self._forks.close()

    def _forking(self, chart: Chart, terms: Terms) -> Fork:
        most = max(FRAME_BYTES_MIN, FRAME_ROOM * self._hands.result_bytes_max)
        return partial(Lines.fork, self._forks, chart, terms, most)

    def _key(self, chart: Chart) -> str:
        return f"{chart.digest} {self._terms.life}"

    def _can_load(self, chart: Chart) -> bool:
        """Whether another process could load it. Looked up once: it may take a look at all that is imported."""
        if chart.digest not in self._loads:
            self._loads[chart.digest] = linux.HERE and source_of(self._known, chart) is not None
        return self._loads[chart.digest]

    def _refuse(self, chart: Chart) -> None:
        if not asks_for_it(chart):
            return
        problem = "" if linux.HERE else "that needs Linux"
        if not problem and source_of(self._known, chart) is None:
            problem = NO_SOURCE
        if problem:
            raise DefinitionError(f'{chart.name} asks for isolation="process": {problem}')
