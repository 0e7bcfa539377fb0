"""A saga whose doings can be counted, and engines for it: an effect leaves a row in a table without a unique key."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Approval, Connection, Event, Frozen, Outcome, Retry, Saga, Step, hours, minutes, seconds

DW: Final = Connection("dw")
GOING: Final = ["out", "home", "pay"]
QUICK: Final = Retry(5, first=seconds(0.05))


class Order(Frozen):
    fails: bool = False
    """The last step raises after it has taken effect."""


class Said(Frozen):
    n: int = 0


class Booked(Frozen):
    rows: int


go = Event("go", Said, unhandled="defer")


def _book(step: Step[Order], what: str) -> Callable[[sa.Connection], Booked]:
    def work(db: sa.Connection) -> Booked:
        db.execute(sa.text("INSERT INTO booked (run, what) VALUES (:run, :what)"), {"run": step.run_id, "what": what})
        return Booked(rows=1)

    return work


def _take_back(step: Step[Order], what: str) -> Callable[[sa.Connection], None]:
    """One row away, not all: an effect that was there twice leaves one behind."""

    def work(db: sa.Connection) -> None:
        first = "SELECT MIN(id) FROM booked WHERE run = :run AND what = :what"
        db.execute(sa.text(f"DELETE FROM booked WHERE id = ({first})"), {"run": step.run_id, "what": what})

    return work


def fly(step: Step[Order]) -> Booked:
    for part in ("out", "home"):
        step.effect(DW, _book(step, part), part=part)
    return Booked(rows=2)


def stay(step: Step[Order], was: Outcome[Booked]) -> None:
    for part in ("home", "out"):
        step.effect(DW, _take_back(step, part), part=part)


def pay(step: Step[Order]) -> Booked:
    booked = step.effect(DW, _book(step, "pay"))
    if step.input.fails:
        raise ValueError("no money")
    return booked


def refund(step: Step[Order], was: Outcome[Booked]) -> None:
    step.effect(DW, _take_back(step, "pay"))


class T(Enum):
    FLYING = auto()
    WAITING = auto()
    ASKING = auto()
    PAYING = auto()
    ROLLING_BACK = auto()
    PAID = auto()
    AT_HOME = auto()


may = Approval("dba", shows=fly, expires=hours(1))

order = Saga("order", version=1, states=T, input=Order, start=T.FLYING)
order.at(T.FLYING).run(fly, promise="effect", retry=QUICK, timeout=minutes(1)).undo(stay, retry=QUICK).then(
    T.WAITING, failed=T.ROLLING_BACK
)
order.at(T.WAITING).wait(go, deadline=hours(9)).then(T.ASKING, timed_out=T.ROLLING_BACK)
order.at(T.ASKING).approval(may).then(approved=T.PAYING, rejected=T.ROLLING_BACK, expired=T.ROLLING_BACK)
order.at(T.PAYING).run(
    pay, promise="effect", retry=Retry(5, first=seconds(0.05), never_on=(ValueError,)), timeout=minutes(1)
).undo(refund, retry=QUICK).then(T.PAID, failed=T.ROLLING_BACK)
order.rolls_back(T.ROLLING_BACK).to(T.AT_HOME)
order.final(T.PAID, T.AT_HOME)


class E(Enum):
    FLYING = auto()
    FLOWN = auto()


def fly_once(step: Step[Order]) -> Booked:
    """A step of one effect."""
    return step.effect(DW, _book(step, "out"))


errand = Saga("errand", version=1, states=E, input=Order, start=E.FLYING)
errand.at(E.FLYING).run(
    fly_once, promise="effect", retry=Retry(100, first=seconds(0.05)), timeout=minutes(1)
).pivot().then(E.FLOWN)
errand.final(E.FLOWN)


def fly_soon(step: Step[Order]) -> Booked:
    """The same, with little time for each attempt."""
    return step.effect(DW, _book(step, "out"))


brief = Saga("brief", version=1, states=E, input=Order, start=E.FLYING)
brief.at(E.FLYING).run(
    fly_soon, promise="effect", retry=Retry(100, first=seconds(0.05)), timeout=seconds(1)
).pivot().then(E.FLOWN)
brief.final(E.FLOWN)

SAGAS: Final = (order, errand, brief)


def make_tables(db: sa.Connection) -> None:
    kind = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "int GENERATED ALWAYS AS IDENTITY"}[db.dialect.name]
    db.execute(sa.text(f"CREATE TABLE booked (id {kind}, run text, what text)"))


def booked(target: sa.Engine, run: str) -> list[str]:
    """What is booked of a run, in order."""
    with target.connect() as db:
        rows: Any = db.execute(sa.text("SELECT what FROM booked WHERE run = :run ORDER BY id"), {"run": run})
        return [str(what) for what in rows.scalars()]
