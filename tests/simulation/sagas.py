"""The sagas of the simulated world, and what their steps do there. Each is small: a seed has milliseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final

import sqlalchemy as sa

from saga_engine.domain.definition.facts import Approval, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import (
    Connection,
    Done,
    Event,
    Frozen,
    InDoubt,
    NotDone,
    Outcome,
    Retry,
    hours,
    minutes,
    seconds,
)
from saga_engine.runtime.registry import Registry
from tests.simulation.databases import TARGET

if TYPE_CHECKING:
    from tests.simulation.world import World

DW: Final = Connection(TARGET)
PARTS: Final[Mapping[str, tuple[str, ...]]] = {"book": ("",), "load": ("1", "2"), "swap": ("",)}
"""The parts of each step that promises an effect, by its function."""


class Now:
    """The world that steps run in: there is one at a time."""

    world: ClassVar[World]


class Input(Frozen):
    pass


class Value(Frozen):
    n: int = 0


class Note(Frozen):
    text: str = ""


class Callee:
    """A service outside that drops a repeated key, and one that does not; both remember every call."""

    def __init__(self) -> None:
        self.done: dict[str, bool] = {}
        """Key -> in effect. A key that was taken back is never taken again."""
        self.calls: Counter[str] = Counter()
        """How often a step that is done at most once was begun."""

    def take(self, key: str) -> None:
        self.done.setdefault(key, True)

    def take_back(self, key: str) -> None:
        self.done[key] = False


def _effect(step: Step[Input], parts: tuple[str, ...]) -> Value:
    def work(db: sa.Connection) -> Value:
        db.execute(sa.text("INSERT INTO booked VALUES (:task, :part)"), {"task": step.key, "part": part})
        return Value(n=len(parts))

    for part in parts:
        Now.world.acts(step)
        done = step.effect(DW, work, part)
    Now.world.acts(step)
    return done


def _take_back(step: Step[Input], part: str = "") -> None:
    def work(db: sa.Connection) -> None:
        found = {"task": step.key, "part": part}
        db.execute(sa.text("DELETE FROM booked WHERE task = :task AND (:part = '' OR part = :part)"), found)

    Now.world.acts(step)
    step.effect(DW, work, part)
    Now.world.acts(step)


def book(step: Step[Input]) -> Value:
    return _effect(step, PARTS["book"])


def unbook(step: Step[Input], was: Outcome[Value]) -> None:
    _take_back(step)


def load(step: Step[Input]) -> Value:
    return _effect(step, PARTS["load"])


def unload(step: Step[Input], was: Outcome[Value]) -> None:
    for part in reversed(PARTS["load"]):
        _take_back(step, part)


def swap(step: Step[Input]) -> Value:
    return _effect(step, PARTS["swap"])


def call(step: Step[Input]) -> None:
    Now.world.acts(step)
    Now.world.callee.take(step.key)
    Now.world.acts(step)


def uncall(step: Step[Input], was: Outcome[None]) -> None:
    Now.world.acts(step)
    Now.world.callee.take_back(step.key)
    Now.world.acts(step)


def ship(step: Step[Input]) -> None:
    Now.world.callee.calls[step.key] += 1
    call(step)


def shipped(step: Step[Input]) -> Done[None] | NotDone | InDoubt:
    return Done(None) if Now.world.callee.done.get(step.key) else NotDone()


def check(step: Step[Input]) -> Value:
    Now.world.acts(step)
    return Value(n=Now.world.dice.randrange(3))


def tell(step: Step[Input]) -> None:
    Now.world.acts(step)


def again(value: Value) -> bool:
    return value.n == 0


def is_odd(note: Note) -> bool:
    return note.text.startswith("odd")


abort = Event("abort", Note, unhandled="reject")
hurry = Event("hurry", Note, unhandled="ignore")
go = Event("go", Note, unhandled="defer")
EVENTS: Final = (abort, hurry, go)
NET: Final = Retry(3, first=seconds(2))


class S(Enum):
    A = auto()
    B = auto()
    C = auto()
    BACK = auto()
    DONE = auto()
    UNDONE = auto()


def _saga(name: str) -> Saga[S, Input]:
    return Saga(name, version=1, states=S, input=Input, start=S.A)


def _closed(saga: Saga[S, Input], *, told: bool = False) -> Saga[S, Input]:
    saga.rolls_back(S.BACK, entering=tell if told else None).to(S.UNDONE)
    left = [state for state in S if state not in saga.rows]
    saga.final(*left, entering=tell if told else None)
    return saga


def straight() -> Saga[S, Input]:
    saga = _saga("straight")
    saga.at(S.A).run(load, retry=NET, promise="effect", timeout=minutes(2)).undo(unload).on(abort, S.BACK).then(
        S.B, failed=S.BACK
    )
    saga.at(S.B).run(call, retry=NET, timeout=minutes(2)).undo(uncall, retry=Retry(2)).then(S.DONE, failed=S.BACK)
    return _closed(saga)


def asking() -> Saga[S, Input]:
    saga = _saga("asking")
    gate = Approval("dba", shows=book, expires=hours(1), quorum=2, escalate=("lead", minutes(10)), not_starter=True)
    saga.at(S.A).run(book, retry=NET, promise="effect").undo(unbook).then(S.B, failed=S.BACK)
    saga.at(S.B, entering=tell).approval(gate).on(abort, S.BACK).then(approved=S.C, rejected=S.BACK, expired=S.BACK)
    saga.at(S.C).run(call, retry=NET).undo(uncall).then(S.DONE, failed=S.BACK)
    return _closed(saga)


def waiting() -> Saga[S, Input]:
    saga = _saga("waiting")
    saga.at(S.A, leaving=tell).run(book, retry=NET, promise="effect", deadline=hours(2)).undo(unbook).on(
        hurry, S.C
    ).then(S.B, failed=S.BACK)
    saga.at(S.B, visits=3).wait(go, deadline=minutes(30)).when(is_odd, S.B).on(abort, S.BACK).then(
        S.C, timed_out=S.BACK
    )
    saga.at(S.C, entering=tell).run(check, retry=NET).reads_only().on(go, S.B).then(S.DONE, failed=S.BACK)
    saga.group(S.A, S.B, S.C, deadline=hours(3)).then(timed_out=S.BACK)
    return _closed(saga, told=True)


def turning() -> Saga[S, Input]:
    saga = _saga("turning")
    saga.at(S.A).run(book, retry=NET, promise="effect").undo(unbook).on(hurry, S.B).then(S.B, failed=S.BACK)
    saga.at(S.B).run(swap, retry=NET, promise="effect").pivot().on(go, S.C).then(S.C)
    saga.at(S.C).run(call).undo(uncall).on(abort, S.BACK).then(S.DONE, failed=S.BACK)
    return _closed(saga)


def circling() -> Saga[S, Input]:
    saga = _saga("circling")
    saga.at(S.A, visits=2, entering=tell, leaving=tell).run(book, retry=NET, promise="effect").undo(unbook).then(
        S.B, failed=S.BACK
    )
    saga.at(S.B).run(check, retry=NET).reads_only().when(again, S.A).on(go, S.A).then(S.C, failed=S.BACK)
    saga.at(S.C).run(ship, promise="manual").undo(uncall).then(S.DONE, failed=S.BACK)
    return _closed(saga)


def probing() -> Saga[S, Input]:
    saga = _saga("probing")
    saga.at(S.A).run(ship, retry=NET, timeout=minutes(2)).verified(shipped).undo(uncall).on(abort, S.BACK).then(
        S.B, failed=S.BACK
    )
    saga.at(S.B).run(book, promise="effect", timeout=minutes(2)).undo(unbook).then(S.DONE, failed=S.BACK)
    return _closed(saga, told=True)


REGISTRY: Final = Registry([straight(), asking(), waiting(), turning(), circling(), probing()])
NAMES: Final = tuple(sorted(chart.name for chart in REGISTRY))
