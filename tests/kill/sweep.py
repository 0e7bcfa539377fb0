"""A process that kills others: it forks what plays the shapes of an order, and answers with what came of it.

The order is one JSON object on standard input, see ``Order``; the answer is one on standard output. A process of its
own because it must have no threads and nothing open when it forks, which a process of pytest cannot promise.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from saga_engine.testing.kills import hits, trial
from saga_engine.testing.kills.finisher import Finisher
from saga_engine.testing.kills.forks import fork
from saga_engine.testing.kills.hits import Hit
from saga_engine.testing.kills.trial import Trial
from tests.kill.harness import prepared
from tests.kill.shapes.plays import SHAPES, MakingPlay, ShapePlay

FAILURES_MAX: Final = 5
"""After so many the rest tells nothing new."""
COVERING_TRIES: Final = 4
MAKING: Final = "making"
"""Not a shape: what comes before the first worker, in a place where nothing is yet."""
WORKS: Final = "store.incarnation.begin"
"""The failpoint at which a worker begins."""


@dataclass(frozen=True)
class Order:
    """What to kill, and how often."""

    store: str
    target: str
    seed: str
    kills: int
    """Go on to so many, once everything is covered that is to be."""
    shapes: Sequence[str] = ()
    """None: all."""
    at: Sequence[str] = ()
    """Instead of a sample: the one trial with these hits."""
    cover_shapes: bool = True
    """A sample has each failpoint in each shape, else each in any shape."""
    every_hit: bool = False
    """Instead of a sample: each hit alone, and each followed by a second one."""
    planted: Sequence[str] = ()
    """Bugs, to see that they are caught."""


@dataclass
class Answer:
    """What came of an order."""

    kills: int = 0
    trials: int = 0
    seconds: float = 0.0
    failpoints: list[str] = field(default_factory=list)
    """Those at which a process was killed."""
    uncovered: list[str] = field(default_factory=list)
    """What was to be covered and at which nobody was killed: ``shape/failpoint``, or failpoints."""
    wrong: list[dict[str, Any]] = field(default_factory=list)
    """Shape, hits and problems of each trial that went wrong."""


class Sweep:
    """The trials of one order."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._log = folder / "processes.log"
        self._chance = Random(order.seed)
        self._number = 0
        self._came: Counter[tuple[str, str]] = Counter()
        """How often somebody was killed, by shape and failpoint."""
        self.answer = Answer()

    def run(self) -> Answer:
        began = time.monotonic()
        plays = {name: self._play(name) for name in self._order.shapes or SHAPES}
        clean = {name: self._clean(name, play) for name, play in plays.items()}
        gc.freeze()
        finishers = {name: Finisher(play, self._log) for name, play in plays.items() if name != MAKING}
        for name, at in self._trials(clean):
            if len(self.answer.wrong) >= FAILURES_MAX:
                break
            self._note(name, trial.kill(plays[name], self._key(name), at, self._log, finishers.get(name)))
        for finisher in finishers.values():
            finisher.close()
        self.answer.failpoints = sorted({point for _, point in self._came})
        self.answer.uncovered = sorted(self._wanted(clean) - {self._place(*came) for came in self._came})
        self.answer.seconds = time.monotonic() - began
        return self.answer

    def _place(self, name: str, point: str) -> str:
        return f"{name}/{point}" if self._order.cover_shapes else point

    def _wanted(self, clean: dict[str, list[Hit]]) -> set[str]:
        found = {self._place(name, hit.name) for name, hits in clean.items() for hit in hits}
        return set() if self._order.at else found

    def _play(self, name: str) -> ShapePlay:
        if name == MAKING:
            return MakingPlay(SHAPES["linear"], self._order.store, self._order.target, {})
        return ShapePlay(SHAPES[name], self._order.store, self._order.target, {})

    def _clean(self, name: str, play: ShapePlay) -> list[Hit]:
        """Make what is needed, and see the shape through once in this process, for what that imports and compiles."""
        assert fork(lambda _tell: play.make(), self._log).ended().code == 0, self._log.read_text()
        with play.open() as engine:
            key = self._key(name)
            play.act(engine, key, lambda _told: None)
            assert not play.problems(engine, key, [])
        came, names = trial.count(play, self._key(name), self._log)
        self._note(name, came)
        if name == MAKING:
            names = names[: names.index(WORKS)]
        return hits.numbered(names)

    def _trials(self, clean: dict[str, list[Hit]]) -> Iterator[tuple[str, list[Hit]]]:
        """Which shape, and where. A sample: pairs by chance, first those that cover the failpoints."""
        if self._order.at:
            yield from ((name, [Hit.read(text) for text in self._order.at]) for name in clean)
            return
        if self._order.every_hit:
            for name, found in clean.items():
                for hit in found:
                    yield name, [hit]
                    yield name, [hit, hits.second(found, hit, self._chance)]
            return
        for tried in range(COVERING_TRIES):
            covering = [(name, hit) for name, found in clean.items() for hit in hits.covering(found, self._chance)]
            for name, hit in self._chance.sample(covering, len(covering)):
                if self._place(name, hit.name) not in {self._place(*came) for came in self._came}:
                    # Some hits depend on the clock: a run that is quicker has fewer of them, but for the first.
                    first = Hit(hit.name, 1) if tried else hit
                    yield name, [first, hits.second(clean[name], first, self._chance)]
        while self.answer.kills < self._order.kills:
            name = self._chance.choice(sorted(clean))
            first = self._chance.choice(clean[name])
            yield name, [first, hits.second(clean[name], first, self._chance)]

    def _note(self, name: str, came: Trial) -> None:
        self.answer.trials += 1
        self.answer.kills += len(came.killed)
        self._came.update((name, hit.name) for hit in came.killed)
        if came.problems:
            at = [str(hit) for hit in came.at]
            self.answer.wrong.append({"shape": name, "key": came.key, "at": at, "problems": came.problems})

    def _key(self, name: str) -> str:
        self._number += 1
        return f"{name}-{self._number}"


def main() -> None:
    order = Order(**json.load(sys.stdin))
    with prepared(order.planted) as folder:
        answer = Sweep(order, folder).run()
    json.dump(dataclasses.asdict(answer), sys.stdout)


if __name__ == "__main__":
    main()
