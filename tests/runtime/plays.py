"""Sagas whose steps do what each test tells them: a play has an act for each step, found by the input's name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from saga_engine.domain.definition.facts import Approval, Facts, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import (
    Done,
    Event,
    Frozen,
    InDoubt,
    NotDone,
    Outcome,
    Promise,
    Retry,
    hours,
    seconds,
)

WAIT_SECONDS_MAX = 30.0
AN_HOUR = hours(1)

Act = Callable[..., Any]


class S(Enum):
    ONE = auto()
    TWO = auto()
    WAIT = auto()
    GATE = auto()
    LAST = auto()
    BACK = auto()
    DONE = auto()
    UNDONE = auto()


class Input(Frozen):
    name: str = ""
    n: int = 0


class Value(Frozen):
    n: int = 0
    text: str = ""


class Note(Frozen):
    text: str = ""


class Play:
    """What happens in one test: acts by name, and a list of what happened."""

    def __init__(self, **acts: Act) -> None:
        self.acts = acts
        self.told: list[str] = []
        self.gate = threading.Event()
        self.began = threading.Event()

    def act(self, name: str, step: Any, *more: Any) -> Any:
        self.told.append(name)
        return self.acts[name](step, *more) if name in self.acts else Value(n=step.input.n)

    def hangs(self, *_: Any) -> Value:
        """Take no notice of anything until the test is over."""
        self.began.set()
        self.gate.wait(WAIT_SECONDS_MAX)
        return Value(n=99)

    def waits(self, step: Any, *_: Any) -> Value:
        """Go on until asked to end, then give up."""
        self.began.set()
        until = time.monotonic() + WAIT_SECONDS_MAX
        while not step.cancelled and not self.gate.is_set() and time.monotonic() < until:
            time.sleep(0.005)
        if step.cancelled:
            self.told.append("cancelled")
            message = "cancelled"
            raise RuntimeError(message)
        return Value(n=7)


_plays: dict[str, Play] = {}


@contextmanager
def playing(name: str = "play", **acts: Act) -> Iterator[Play]:
    """A play on stage: runs with this name in their input act it."""
    play = Play(**acts)
    _plays[name] = play
    try:
        yield play
    finally:
        play.gate.set()


def let_go() -> None:
    """Let everything end that still hangs, and no play be acted in another test."""
    for play in _plays.values():
        play.gate.set()
    _plays.clear()


def of(step: Any) -> Play:
    return _plays.setdefault(step.input.name, Play())


def raising(error: BaseException, times: int = 10**9) -> Act:
    """An act that raises so many times."""
    left = [times]

    def act(step: Any, *_: Any) -> Value:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return Value(n=1)

    return act


go = Event("go", Note, unhandled="defer")
abort = Event("abort", Note, unhandled="reject")


def one(step: Step[Input]) -> Value:
    result: Value = of(step).act("one", step)
    return result


def two(step: Step[Input]) -> Value:
    result: Value = of(step).act("two", step)
    return result


async def later(step: Step[Input]) -> Value:
    """An async step."""
    result: Value = await of(step).act("later", step)
    return result


def last(step: Step[Input]) -> None:
    of(step).act("last", step)


def undo_one(step: Step[Input], was: Outcome[Value]) -> None:
    of(step).act("undo one", step, was)


def undo_two(step: Step[Input], was: Outcome[Value]) -> None:
    of(step).act("undo two", step, was)


def tell(step: Step[Input]) -> None:
    of(step).act("tell", step)


def proof(step: Step[Input]) -> bool:
    return bool(of(step).act("proof", step))


def probe(step: Step[Input]) -> Done[Value] | NotDone | InDoubt:
    found: Done[Value] | NotDone | InDoubt = of(step).act("probe", step)
    return found


BAD_GUARD: dict[int, BaseException] = {
    13: ValueError("thirteen"),
    15: SystemExit("out"),
    17: ValueError("postgresql://me:hunter2@h\nand \0, \ud800"),
    19: ValueError("\0"),
}
"""What the guard raises, by the number that it is asked about."""


def is_odd(value: Value, facts: Facts[Input]) -> bool:
    if value.n in BAD_GUARD:
        raise BAD_GUARD[value.n]
    return value.n % 2 == 1 and facts.input.name != ""


QUICK = Retry(3, first=seconds(0.05))


def saga(
    *,
    version: int = 1,
    promise: Promise = "idempotent",
    retry: Retry = QUICK,
    undo_retry: Retry = QUICK,
    timeout: timedelta | None = None,
    deadline: timedelta | None = None,
    heartbeat: timedelta | None = None,
    proven: bool = False,
    failed: bool = True,
    queue: str = "default",
) -> Saga[S, Input]:
    """ONE, which has an undo, then TWO, then the end; whatever fails for good is rolled back."""
    made = Saga("play", version=version, states=S, input=Input, start=S.ONE, queue=queue)
    step = made.at(S.ONE).run(
        one, retry=retry, timeout=timeout, deadline=deadline, heartbeat=heartbeat, promise=promise
    )
    way = S.BACK if failed else None
    step.undo(undo_one, verify=proof if proven else None, retry=undo_retry).on(abort, S.BACK).then(S.TWO, failed=way)
    made.at(S.TWO).run(two, retry=QUICK).undo(undo_two).then(S.DONE, failed=S.BACK)
    return finished(made)


def finished(made: Saga[S, Input]) -> Saga[S, Input]:
    """The saga with a line for what it leaves unsaid."""
    if S.BACK not in made.rows:
        made.rolls_back(S.BACK).to(S.UNDONE)
    made.final(*(state for state in S if state not in made.rows))
    return made


def gated(*, quorum: int = 1, expires: timedelta = AN_HOUR, notice: bool = True) -> Saga[S, Input]:
    """ONE, then a gate that shows its result, then the pivot LAST."""
    approval = Approval("dba", shows=one, quorum=quorum, expires=expires, escalate=("lead", expires / 2))
    made = Saga("gated", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(one).undo(undo_one).then(S.GATE, failed=S.BACK)
    gate = made.at(S.GATE, entering=tell) if notice else made.at(S.GATE)
    gate.approval(approval).then(approved=S.LAST, rejected=S.BACK, expired=S.BACK)
    made.at(S.LAST).run(last, retry=QUICK).pivot().then(S.DONE)
    return finished(made)


def waiting(*, deadline: timedelta = AN_HOUR) -> Saga[S, Input]:
    """WAIT for go, then ONE; abort rolls back."""
    made = Saga("waiting", version=1, states=S, input=Input, start=S.WAIT)
    made.at(S.WAIT).wait(go, deadline=deadline).on(abort, S.BACK).then(S.ONE, timed_out=S.BACK)
    made.at(S.ONE).run(one, retry=QUICK).undo(undo_one).then(S.DONE, failed=S.BACK)
    return finished(made)


def chosen() -> Saga[S, Input]:
    """ONE, whose guard sends odd results to TWO; a guard that raises parks."""
    made = Saga("chosen", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(one).undo(undo_one).when(is_odd, S.TWO).then(S.DONE, failed=S.BACK)
    made.at(S.TWO).run(two).undo(undo_two).then(S.DONE, failed=S.BACK)
    return finished(made)


def verified() -> Saga[S, Input]:
    """ONE with a probe."""
    made = Saga("verified", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(one, retry=QUICK).verified(probe).undo(undo_one).then(S.DONE, failed=S.BACK)
    return finished(made)


def asynchronous() -> Saga[S, Input]:
    """One step that must be awaited."""
    made = Saga("asynchronous", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(later, retry=QUICK).undo(undo_one).then(S.DONE, failed=S.BACK)
    return finished(made)


def until(condition: Callable[[], object], limit: float = 20.0) -> None:
    """Wait until *condition* holds; AssertionError after *limit* seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
