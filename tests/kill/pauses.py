"""A process that stops others past their lease: batches of them, each stopped by SIGSTOP at a failpoint of its run.

Others take the runs to their end meanwhile; then the late ones are continued, and must change nothing. The order is
one JSON object on standard input, see ``Order``, the answer one on standard output. A process of its own, as
``tests.kill.sweep`` is.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from saga_engine import failpoints
from saga_engine.errors import SagaError
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from saga_engine.testing.kills import hits, trial
from saga_engine.testing.kills.forks import Child, Tell, fork
from saga_engine.testing.kills.hits import Hit
from tests.kill import planted
from tests.kill.harness import prepared
from tests.kill.shapes.plays import PERSON, SHAPES, ShapePlay

LEASE: Final = {"lease_seconds": 1.0, "renew_seconds": 0.3}
BETWEEN_TRANSACTIONS: Final = (
    "runtime.action.*", "runtime.attempt.start", "runtime.recorder.recorded", "runtime.life.*", "ledger.*.after_commit",
)  # fmt: skip
"""Where a process holds no lock of a SQLite file: one that is stopped with a lock stops the store (PROTOCOL, L1)."""
LATE_SECONDS: Final = 300


@dataclass(frozen=True)
class Order:
    """What to stop, and how often."""

    store: str
    target: str
    seed: str
    pauses: int
    batch: int
    """So many at once: they wait for one lease together."""
    shapes: Sequence[str] = ()
    at: Sequence[str] = ()
    """Instead of a sample: one process, of the one shape, stopped at this hit."""
    planted: Sequence[str] = ()
    """Bugs, to see that they are caught."""


@dataclass
class Answer:
    """What came of an order."""

    pauses: int = 0
    failpoints: list[str] = field(default_factory=list)
    refused: int = 0
    """Late clients who were told that they are late."""
    seconds: float = 0.0
    wrong: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Late:
    """A process that is stopped."""

    name: str
    key: str
    hit: Hit
    child: Child


class Pauses:
    """The batches of one order."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._log = folder / "processes.log"
        self._chance = Random(order.seed)
        shapes = {name: dataclasses.replace(SHAPES[name], client=_patient(name)) for name in self._names()}
        self._plays = {name: ShapePlay(shape, order.store, order.target, LEASE) for name, shape in shapes.items()}
        self._number = 0
        self.answer = Answer()

    def run(self) -> Answer:
        began = time.monotonic()
        places = list(self._places())
        points: set[str] = set()
        wanted = 1 if self._order.at else self._order.pauses
        while self.answer.pauses < wanted and not self.answer.wrong:
            late = self._stopped(places)
            points |= {one.hit.name for one in late}
            self.answer.pauses += len(late)
            self._others_go_on(late)
            if not self.answer.wrong:
                self._late_go_on(late)
            for one in late:
                one.child.signal(signal.SIGKILL)
        self.answer.failpoints = sorted(points)
        self.answer.seconds = time.monotonic() - began
        return self.answer

    def _names(self) -> list[str]:
        return sorted(self._order.shapes or SHAPES)

    def _places(self) -> Iterator[tuple[str, Hit]]:
        """Where each shape may be stopped."""
        for name, play in self._plays.items():
            # At the default limits: with a short lease PostgreSQL ends a session that makes a schema.
            patient = dataclasses.replace(play, lease={})
            assert fork(partial(_makes, patient), self._log).ended().code == 0, self._log.read_text()
            with patient.open() as engine:
                patient.act(engine, self._key(name), lambda _told: None)
            came, names = trial.count(patient, self._key(name), self._log)
            assert not came.problems, came.problems
            for hit in hits.numbered(names):
                if not self._order.store.startswith("sqlite") or any(
                    fnmatchcase(hit.name, pattern) for pattern in BETWEEN_TRANSACTIONS
                ):
                    yield name, hit

    def _stopped(self, places: Sequence[tuple[str, Hit]]) -> list[Late]:
        late = []
        for _ in range(1 if self._order.at else self._order.batch):
            name, hit = self._chance.choice(places)
            if self._order.at:
                hit = Hit.read(self._order.at[0])
            key = self._key(name)
            child = fork(partial(_stops, self._plays[name], key, hit), self._log, LATE_SECONDS)
            if child.stopped():
                late.append(Late(name, key, hit, child))
            elif (ending := child.ended()).code != 0:
                self._wrong(
                    Late(name, key, hit, child), [f"it ended with {ending.code}: {self._log.read_text()[-3000:]}"]
                )
                break
        return late

    def _others_go_on(self, late: Sequence[Late]) -> None:
        for name in sorted({one.name for one in late}):
            play, ours = self._plays[name], [one for one in late if one.name == name]
            ending = fork(partial(_goes_on, play, [one.key for one in ours]), self._log).ended()
            if ending.code != 0:
                self._wrong(ours[0], [f"who went on ended with {ending.code}: {self._log.read_text()[-3000:]}"])

    def _late_go_on(self, late: Sequence[Late]) -> None:
        before = self._looked_at(late, {})
        for one in late:
            one.child.signal(signal.SIGCONT)
        endings = {one.key: one.child.ended() for one in late}
        told = {key: [line["told"] for line in ending.said if "told" in line] for key, ending in endings.items()}
        after = self._looked_at(late, told)
        for one in late:
            ending = endings[one.key]
            self.answer.refused += sum("refused" in line for line in ending.said)
            story, problems = after[one.key]
            if story != before[one.key][0]:
                problems.append(f"it has changed {before[one.key][0]} into {story}")
            if ending.code != 0:
                problems.append(f"the late one ended with {ending.code}: {self._log.read_text()[-3000:]}")
            self._wrong(one, problems)

    def _looked_at(self, late: Sequence[Late], told: dict[str, list[Any]]) -> dict[str, tuple[Any, list[str]]]:
        """For each run all that store and target hold of it, and what is wrong with it."""
        found: dict[str, tuple[Any, list[str]]] = {}
        for name in sorted({one.name for one in late}):
            keys = [one.key for one in late if one.name == name]
            ending = fork(partial(_looks, self._plays[name], keys, told), self._log).ended()
            assert ending.code == 0, self._log.read_text()[-3000:]
            found |= {key: (story, problems) for key, story, problems in ending.said}
        return found

    def _wrong(self, one: Late, problems: list[str]) -> None:
        if problems:
            self.answer.wrong.append({"shape": one.name, "key": one.key, "at": [str(one.hit)], "problems": problems})

    def _key(self, name: str) -> str:
        self._number += 1
        return f"{name}-{self._number}"


def _patient(name: str) -> Callable[[Engine, RunView, Tell], None]:
    """The client of a shape, who lets a run go on that is parked because three workers in turn were stopped with it."""

    def client(engine: Engine, run: RunView, tell: Tell) -> None:
        if [task for task in run.tasks if (task.parked or "").startswith("W24")]:
            engine.retry(run.id, actor=PERSON)
        SHAPES[name].client(engine, run, tell)

    return client


def _makes(play: ShapePlay, _tell: Tell) -> None:
    play.make()


def _stops(play: ShapePlay, key: str, hit: Hit, tell: Tell) -> None:
    """Play, be stopped, play on. A client who comes too late may be refused, a worker not."""
    if play.store.startswith("sqlite"):
        planted.stops_between_transactions()
    with failpoints.switched_on(f"{hit}=stop"), play.open() as engine:
        try:
            play.act(engine, key, lambda what: tell({"told": what}))
        except SagaError as error:
            tell({"refused": f"{type(error).__name__}: {error}"})


def _goes_on(play: ShapePlay, keys: Sequence[str], _tell: Tell) -> None:
    with play.open() as engine:
        for key in keys:
            play.act(engine, key, lambda _told: None)


def _looks(play: ShapePlay, keys: Sequence[str], told: dict[str, list[Any]], tell: Tell) -> None:
    with play.open() as engine:
        for key in keys:
            tell([key, play.story(engine, key), play.problems(engine, key, told.get(key, []))])


def main() -> None:
    order = Order(**json.load(sys.stdin))
    with prepared(order.planted) as folder:
        answer = Pauses(order, folder).run()
    json.dump(dataclasses.asdict(answer), sys.stdout)


if __name__ == "__main__":
    main()
