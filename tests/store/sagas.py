"""A saga that has everything a stored run can have. Nobody calls its steps: tests report for them."""

from __future__ import annotations

from enum import Enum, auto

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.facts import Approval, Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Event, Frozen, Outcome, Retry, hours, seconds


class S(Enum):
    COPY = auto()
    CHECK = auto()
    WAIT = auto()
    GATE = auto()
    CALL = auto()
    SWAP = auto()
    BACK = auto()
    DONE = auto()
    STOPPED = auto()
    UNDONE = auto()


class Input(Frozen):
    table: str = "orders"


class Value(Frozen):
    n: int = 0


class Note(Frozen):
    text: str = ""


abort = Event("abort", Note, unhandled="reject")
hurry = Event("hurry", Note, unhandled="ignore")
go = Event("go", Note, unhandled="defer")


def copy(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # nobody calls it


def check(step: Step[Input]) -> Value: ...  # type: ignore[empty-body]  # nobody calls it


def call(step: Step[Input]) -> None: ...


def swap(step: Step[Input]) -> None: ...


def tell(step: Step[Input]) -> None: ...


def back(step: Step[Input], was: Outcome[Value]) -> None: ...


def hang_up(step: Step[Input], was: Outcome[None]) -> None: ...


def again(value: Value) -> bool:
    return value.n == 7


def odd(note: Note) -> bool:
    if note.text == "raise":
        message = "no idea"
        raise ValueError(message)
    return note.text == "odd"


def chart(version: int = 1) -> Chart:
    gate = Approval("dba", shows=check, expires=hours(24), quorum=2, escalate=("lead", hours(4)))
    saga = Saga("everything", version=version, states=S, input=Input, start=S.COPY)
    net = Retry(3, first=seconds(1))
    (
        saga.at(S.COPY, leaving=tell)
        .run(copy, retry=net, timeout=hours(1), deadline=hours(5))
        .undo(back)
        .on(abort, S.BACK)
        .on(hurry, S.CHECK)
        .then(S.CHECK)
    )
    (
        saga.at(S.CHECK, visits=3)
        .run(check, retry=net, timeout=hours(1), promise="effect")
        .reads_only()
        .when(again, S.COPY)
        .then(S.WAIT)
    )
    saga.at(S.WAIT).wait(go, deadline=hours(3)).when(odd, S.COPY).on(abort, S.BACK).then(S.GATE, timed_out=S.BACK)
    saga.at(S.GATE, entering=tell).approval(gate).then(approved=S.CALL, rejected=S.BACK, expired=S.STOPPED)
    saga.at(S.CALL).run(call, promise="manual").undo(hang_up).then(S.SWAP)
    saga.at(S.SWAP).run(swap, retry=net).pivot().then(S.DONE)
    saga.group(S.COPY, S.CHECK, deadline=hours(6)).then(failed=S.BACK, timed_out=S.BACK)
    saga.rolls_back(S.BACK, entering=tell).to(S.UNDONE)
    saga.final(S.DONE, S.UNDONE, entering=tell)
    saga.final(S.STOPPED, outcome="failed")
    return Chart(saga)
