"""What the checker is given: the rows of runs and ledgers, the rows of the business, and what clients were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from saga_engine.domain.chart import BUDGET, Budget, Chart
from saga_engine.domain.events import Request, RunStarted
from saga_engine.ledger.evidence import Books
from saga_engine.store.evidence import Evidence

Answer: TypeAlias = Literal["recorded", "noted", "refused", "unknown"]
"""recorded: the call returned, and what was asked is in the history · noted: there was nothing to do, said so ·
refused: an error that says why, and nothing moved · unknown: the client never heard."""


@dataclass(frozen=True, slots=True)
class Told:
    """One request of a client, and what it was told. The log must hold every request of every client it names."""

    run: str
    request: Request | RunStarted
    answer: Answer


@dataclass(frozen=True, slots=True)
class Story:
    """One run: what the store holds of it, and the definition that it is pinned to."""

    evidence: Evidence
    chart: Chart


@dataclass(frozen=True, slots=True)
class Expected:
    """The rows that a run's business must have, each as often as it is counted, and those that it may have besides."""

    must: Counter[Hashable] = field(default_factory=Counter)
    may: Counter[Hashable] = field(default_factory=Counter)


Model: TypeAlias = "Callable[[Story, Mapping[str, Books]], Expected]"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a check looks at. Only *stories* must be given; a rule without its evidence finds nothing.

    *ledgers* by the name of the connection; *business* are the rows that the steps of a run have written, in any form
    that *model* gives too. *quiet*: the faults have stopped long enough ago that nothing may be held by the dead.
    *steady*: the store's clock was never set back; where it was, nothing can be said of what came too early.
    *pruned*: the rows of ended runs may have been taken out of the ledgers (``saga prune --ledgers``); where they may,
    nothing is said of what an ended run has none of.
    """

    stories: Mapping[str, Story]
    ledgers: Mapping[str, Books] = field(default_factory=dict)
    told: Iterable[Told] = ()
    business: Mapping[str, Iterable[Hashable]] = field(default_factory=dict)
    model: Model | None = None
    budget: Budget = BUDGET
    quiet: bool = False
    steady: bool = True
    pruned: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept: which rule, in which run, and what shows it."""

    rule: str
    run: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.rule}: run {self.run}: {self.evidence}"
