"""The sagas of the scenarios. Their steps do nothing but say that they have begun, where somebody listens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from threading import Event as Flag
from typing import Final

from saga_engine import Approval, Event, Frozen, Retry, Saga, Step, hours
from tests.benchmarks.flow import Input, Moved
from tests.benchmarks.flow import saga as chain

LAPS: Final = 20
"""Of a busy run: two transitions each."""
BEGUN: Final = "SAGA_BENCH_BEGUN"
"""The environment names a file by it, which held runs write to."""
FREE: Final = Flag()
"""Not set: the step of a held run stays where it is until its process ends."""
FREE.set()


def _nobody(what: str, run: str, at: float) -> None: ...


_tell: Callable[[str, str, float], None] = _nobody


def listen(tell: Callable[[str, str, float], None]) -> None:
    """Call *tell* with a word, the run and the time, at the beginning of each step that somebody waits for."""
    globals()["_tell"] = tell


# --- parks: nine steps, then it waits for an event or for a person, or is parked; its journal has ten lines then


class P(Enum):
    """Nine steps, three ways to wait, one step more."""

    ONE = 1
    TWO = 2
    THREE = 3
    FOUR = 4
    FIVE = 5
    SIX = 6
    SEVEN = 7
    EIGHT = 8
    NINE = 9
    HOLD = 10
    GATE = 11
    ACT = 12
    DONE = 13
    REFUSED = 14


class Way(Frozen):
    """How the run is to wait: hold, gate or park."""

    way: str = "hold"


class Go(Frozen):
    """Nothing but the event itself."""


go = Event("go", Go, unhandled="defer")


def moves(name: str) -> Callable[[Step[Way]], None]:
    """A step of its own for each state, as the definition asks."""

    def move(step: Step[Way]) -> None: ...

    move.__name__ = move.__qualname__ = name
    return move


def choose(step: Step[Way]) -> Way:
    if step.input.way == "park":
        raise ValueError("this run is to be parked")
    return step.input


def to_gate(way: Way) -> bool:
    return way.way == "gate"


def act(step: Step[Way]) -> None:
    _tell("act", step.run_id, time.time())


parks = Saga("parks", version=1, states=P, input=Way, start=P.ONE)
for _here, _next in zip(list(P)[:8], list(P)[1:9], strict=True):
    parks.at(_here).run(moves(_here.name.lower())).reads_only().then(_next)
parks.at(P.NINE).run(choose).reads_only().when(to_gate, P.GATE).then(P.HOLD)
parks.at(P.HOLD).wait(go, deadline=hours(1_000)).then(P.ACT, timed_out=P.REFUSED)
parks.at(P.GATE).approval(Approval("dba", shows=choose, expires=hours(1_000))).then(
    approved=P.ACT, rejected=P.REFUSED, expired=P.REFUSED
)
parks.at(P.ACT).run(act).reads_only().then(P.DONE)
parks.final(P.DONE)
parks.final(P.REFUSED, outcome="failed")


# --- busy: a run that keeps a worker occupied for many transitions


class B(Enum):
    """There and back, LAPS times."""

    THERE = 1
    BACK = 2
    DONE = 3


class Lap(Frozen):
    """How often it has been there."""

    n: int = 0


def there(step: Step[Input]) -> Lap:
    _tell("busy", step.run_id, time.time())
    before = step.find(there)
    return Lap(n=before.n + 1 if before else 1)


def back(step: Step[Input]) -> Lap:
    return step.of(there)


def more(lap: Lap) -> bool:
    return lap.n < LAPS


busy = Saga("busy", version=1, states=B, input=Input, start=B.THERE)
busy.at(B.THERE).run(there).reads_only().then(B.BACK)
busy.at(B.BACK).run(back).reads_only().when(more, B.THERE).then(B.DONE)
busy.final(B.DONE)


# --- quiet: one step that somebody waits for


class Q(Enum):
    """One step."""

    ACT = 1
    DONE = 2


def answer(step: Step[Input]) -> None:
    _tell("quiet", step.run_id, time.time())


quiet = Saga("quiet", version=1, states=Q, input=Input, start=Q.ACT)
quiet.at(Q.ACT).run(answer).reads_only().then(Q.DONE)
quiet.final(Q.DONE)


# --- held: five steps; the worker of a trial dies in the first


class H(Enum):
    """A chain."""

    HELD = 1
    TWO = 2
    THREE = 3
    FOUR = 4
    LAST = 5
    DONE = 6


def held(step: Step[Input]) -> Moved:
    """Also tells a file, for a worker may run it in a process of its own."""
    _tell("held", step.run_id, time.time())
    if begun := os.environ.get(BEGUN):
        with Path(begun).open("a", encoding="utf-8") as file:
            file.write(f"{step.run_id} {step.attempt} {time.time()!r}\n")
    FREE.wait()
    return Moved(rows=step.input.rows)


def goes_on(name: str) -> Callable[[Step[Input]], Moved]:
    def go_on(step: Step[Input]) -> Moved:
        return Moved(rows=step.input.rows)

    go_on.__name__ = go_on.__qualname__ = name
    return go_on


holds = Saga("holds", version=1, states=H, input=Input, start=H.HELD)
_held = (held, goes_on("two"), goes_on("three"), goes_on("four"), goes_on("five"))
for _state, _work, _then in zip(list(H)[:5], _held, list(H)[1:], strict=True):
    holds.at(_state).run(_work, retry=Retry(3)).reads_only().then(_then)
holds.final(H.DONE)

ALL: Final = (chain, parks, busy, quiet, holds)
