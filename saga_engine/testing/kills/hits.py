"""Where a process is killed: the n-th time that it comes to a failpoint; and which of those a sample takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

NO_NUMBER: Final = "{!r} is not NAME:N, a failpoint and the hit of it that counts, from 1"


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """The *nth* hit, from 1, of the failpoint *name*: the same in every run, however often a loop has turned."""

    name: str
    nth: int

    @classmethod
    def read(cls, text: str) -> Hit:
        """The hit that is written as ``name:n``; ValueError for anything else."""
        name, _, nth = text.rpartition(":")
        if not name or not nth.isdecimal() or int(nth) < 1:
            raise ValueError(NO_NUMBER.format(text))
        return cls(name, int(nth))

    def __str__(self) -> str:
        return f"{self.name}:{self.nth}"


def numbered(names: Sequence[str]) -> list[Hit]:
    """The hits of a run, in order, from the names that it came to."""
    counted: Counter[str] = Counter()
    hits = []
    for name in names:
        counted[name] += 1
        hits.append(Hit(name, counted[name]))
    return hits


def covering(hits: Sequence[Hit], chance: Random) -> list[Hit]:
    """One hit of each failpoint, by chance."""
    by_name: dict[str, list[Hit]] = {}
    for hit in hits:
        by_name.setdefault(hit.name, []).append(hit)
    return [chance.choice(by_name[name]) for name in sorted(by_name)]


def second(hits: Sequence[Hit], first: Hit, chance: Random) -> Hit:
    """A hit for whoever goes on after a death at *first*: it has the rest of the run before it, and its own opening."""
    left = len(hits) - (hits.index(first) if first in hits else 0)
    return chance.choice(hits[: max(left, 1)])


def singles(hits: Sequence[Hit], chance: Random) -> list[Hit]:
    """Every hit, those first that cover the failpoints, the rest by chance: any beginning of it is a fair sample."""
    first = covering(hits, chance)
    rest = sorted(set(hits) - set(first))
    return first + chance.sample(rest, len(rest))
