"""The parts that the tests of the domain write sagas with: states, models, steps that nobody calls, guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import ClassVar, TypeAlias

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.facts import Approval, Facts, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Done, Event, Frozen, InDoubt, NotDone, Outcome, hours


class S(Enum):
    A = auto()
    B = auto()
    C = auto()
    D = auto()
    BACK = auto()
    DONE = auto()
    UNDONE = auto()


class Input(Frozen):
    limit: int = 0


class Value(Frozen):
    n: int = 0


class Note(Frozen):
    text: str = ""


Lines: TypeAlias = Saga[S, Input]
DAY = hours(24)
ONE, TWO, NINE = '{"n":1}', '{"n":2}', '{"n":9}'

reject = Event("reject", Note, unhandled="reject")
ignore = Event("ignore", Note, unhandled="ignore")
defer = Event("defer", Note, unhandled="defer")


def one(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # the core never calls a step


def two(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # as above


def three(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # as above


def nothing(step: Step[Input]) -> None: ...


def hello(step: Step[Input]) -> None: ...


def bye(step: Step[Input]) -> None: ...


def back_one(step: Step[Input], was: Outcome[Value]) -> None: ...


def back_two(step: Step[Input], was: Outcome[Value]) -> None: ...


def back_nothing(step: Step[Input], was: Outcome[None]) -> None: ...


def probe(step: Step[Input]) -> Done[Value] | NotDone | InDoubt:
    return NotDone()


def is_big(value: Value) -> bool:
    return value.n > 5


def is_over(value: Value, facts: Facts[Input]) -> bool:
    return value.n > facts.input.limit


def raises(value: Value) -> bool:
    message = "no idea"
    raise ValueError(message)


def one_was_big(note: Note, facts: Facts[Input]) -> bool:
    """Raises NoResult where the run has nothing of ``one``."""
    return facts.of(one).n > 5


def is_urgent(note: Note) -> bool:
    return note.text == "urgent"


def odd_note(note: Note) -> bool:
    message = "what is this"
    raise RuntimeError(message)


def probe_nothing(step: Step[Input]) -> Done[None] | NotDone | InDoubt:
    return NotDone()


@dataclass
class Moody:
    """How the moody guards answer while this is entered: a test's way to mend them, as a person mends the code."""

    answer: bool = True
    raising: bool = False
    now: ClassVar[Moody]

    def __enter__(self) -> None:
        Moody.now = self

    def __exit__(self, *_: object) -> None:
        Moody.now = Moody()

    def told(self) -> bool:
        if self.raising:
            message = "not today"
            raise ValueError(message)
        return self.answer


Moody.now = Moody()


def moody(value: Value) -> bool:
    return Moody.now.told()


def moody_nothing(value: None) -> bool:
    return Moody.now.told()


def moody_note(note: Note) -> bool:
    return Moody.now.told()


def gate(
    *,
    quorum: int = 1,
    expires: timedelta = DAY,
    escalate: tuple[str, timedelta] | None = None,
    not_starter: bool = False,
) -> Approval[Input]:
    return Approval("dba", shows=one, expires=expires, quorum=quorum, escalate=escalate, not_starter=not_starter)


def charted(write: Callable[[Lines], None]) -> Chart:
    """A saga that starts in A; what *write* leaves unsaid is a final state, BACK the one that rolls back."""
    saga = Saga("t", version=1, states=S, input=Input, start=S.A)
    write(saga)
    if S.BACK not in saga.rows:
        saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.final(*(state for state in S if state not in saga.rows))
    return Chart(saga)
