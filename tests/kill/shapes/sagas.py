"""One saga for each shape of a run. What a step does is a line in the table ``deeds`` of the target, in order.

An effect writes ``+what``, its undo ``-what``, in the transaction of the ledger: a line twice, missing or out of
place is an effect twice, lost or out of order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa

from saga_engine import Approval, Connection, Event, Frozen, Outcome, Retry, Saga, Step, hours, minutes, seconds
from saga_engine.errors import NoResult

DW: Final = Connection("dw")
WRITE: Final = sa.text("INSERT INTO deeds (run, deed) VALUES (:run, :deed)")
CHUNKS: Final = 5
ROUNDS: Final = 2
SOON: Final = seconds(0.03)
SLOW_SECONDS: Final = 0.12


class Given(Frozen):
    number: int


class Deed(Frozen):
    what: str


class Round(Frozen):
    number: int


class Kept(Frozen):
    chunks: int


class Nothing(Frozen):
    pass


GO: Final = Event("go", payload=Nothing, unhandled="reject")


def does(step: Step[Given], what: str, part: str = "") -> Deed:
    def work(db: sa.Connection) -> Deed:
        db.execute(WRITE, {"run": step.run_id, "deed": f"+{what}"})
        return Deed(what=what)

    return step.effect(DW, work, part=part)


def undoes(step: Step[Given], what: str, part: str = "") -> None:
    def work(db: sa.Connection) -> None:
        db.execute(WRITE, {"run": step.run_id, "deed": f"-{what}"})

    step.effect(DW, work, part=part)


def out_and_home(step: Step[Given]) -> Deed:
    does(step, "out", "out")
    return does(step, "home", "home")


def stay(step: Step[Given], was: Outcome[Deed]) -> None:
    undoes(step, "home", "home")
    undoes(step, "out", "out")


def hotel(step: Step[Given]) -> Deed:
    return does(step, "hotel")


def no_hotel(step: Step[Given], was: Outcome[Deed]) -> None:
    undoes(step, "hotel")


def car(step: Step[Given]) -> Deed:
    return does(step, "car")


def no_car(step: Step[Given], was: Outcome[Deed]) -> None:
    undoes(step, "car")


def car_that_breaks(step: Step[Given]) -> Deed:
    does(step, "car")
    raise RuntimeError("no driving licence")


def car_at_second_try(step: Step[Given]) -> Deed:
    """Takes effect at once, and fails all the same until the second attempt."""
    done = does(step, "car")
    if step.attempt == 1:
        raise RuntimeError("nobody knows whether this was a success")
    return done


def slow_hotel(step: Step[Given]) -> Deed:
    time.sleep(SLOW_SECONDS)
    return does(step, "hotel")


def look(step: Step[Given]) -> Round:
    return Round(number=step.input.number)


def next_round(step: Step[Given]) -> Round:
    try:
        return Round(number=step.of(next_round).number + 1)
    except NoResult:
        return Round(number=1)


def in_chunks(step: Step[Given]) -> Kept:
    """One part for each chunk, and a checkpoint, which is but a hint."""
    kept = step.last_checkpoint(Kept) or Kept(chunks=0)
    for number in range(kept.chunks, CHUNKS):
        does(step, f"chunk {number}", f"{number}")
        step.progress(number + 1, CHUNKS, "chunks")
        step.checkpoint(Kept(chunks=number + 1))
    return Kept(chunks=CHUNKS)


def no_chunks(step: Step[Given], was: Outcome[Kept]) -> None:
    for number in reversed(range(CHUNKS)):
        undoes(step, f"chunk {number}", f"{number}")


def notice(step: Step[Given]) -> None:
    """A message that may go out more than once."""


def odd(found: Round) -> bool:
    return found.number % 2 == 1


def enough(found: Round) -> bool:
    return found.number >= ROUNDS


MINUTE: Final = minutes(1)


def _two_steps(saga: Saga[Any, Given], *states: Any, stays: Callable[[Step[Given]], Deed] = hotel) -> None:
    """Two effects with an undo, in the first two of *states*, then on to the third."""
    one, two, then = states
    saga.at(one).run(out_and_home, promise="effect", timeout=MINUTE).undo(stay).then(two)
    saga.at(two).run(stays, promise="effect", timeout=MINUTE).undo(no_hotel).then(then)


Linear = Enum("Linear", "ONE TWO THREE ROLLING_BACK DONE BACK")
linear = Saga("linear", version=1, states=Linear, input=Given, start=Linear.ONE)
linear.at(Linear.ONE).run(out_and_home, promise="effect", timeout=MINUTE).undo(stay).then(Linear.TWO)
linear.at(Linear.TWO, entering=notice, leaving=notice).run(hotel, promise="effect", timeout=MINUTE).undo(no_hotel).then(
    Linear.THREE
)
linear.at(Linear.THREE).run(car, promise="effect", timeout=MINUTE).undo(no_car).then(Linear.DONE)
linear.rolls_back(Linear.ROLLING_BACK).to(Linear.BACK)
linear.final(Linear.DONE, Linear.BACK)

Branch = Enum("Branch", "ONE TWO THREE ROLLING_BACK DONE OTHER BACK")
branch = Saga("branch", version=1, states=Branch, input=Given, start=Branch.ONE)
branch.at(Branch.ONE).run(look, timeout=MINUTE).reads_only().when(odd, Branch.TWO).then(Branch.THREE)
branch.at(Branch.TWO).run(hotel, promise="effect", timeout=MINUTE).undo(no_hotel).then(Branch.DONE)
branch.at(Branch.THREE).run(car, promise="effect", timeout=MINUTE).undo(no_car).then(Branch.OTHER)
branch.rolls_back(Branch.ROLLING_BACK).to(Branch.BACK)
branch.final(Branch.DONE, Branch.OTHER, Branch.BACK)

Timer = Enum("Timer", "ONE THREE WAITING ROLLING_BACK DONE OTHER BACK")
timer = Saga("timer", version=1, states=Timer, input=Given, start=Timer.ONE)
timer.at(Timer.ONE).run(hotel, promise="effect", timeout=MINUTE).undo(no_hotel).then(Timer.WAITING)
timer.at(Timer.WAITING).wait(GO, deadline=SOON).then(Timer.DONE, timed_out=Timer.THREE)
timer.at(Timer.THREE).run(car, promise="effect", timeout=MINUTE).undo(no_car).then(Timer.OTHER)
timer.rolls_back(Timer.ROLLING_BACK).to(Timer.BACK)
timer.final(Timer.DONE, Timer.OTHER, Timer.BACK)

Waits = Enum("Waits", "ONE THREE WAITING ROLLING_BACK DONE BACK")
event = Saga("event", version=1, states=Waits, input=Given, start=Waits.ONE)
event.at(Waits.ONE).run(hotel, promise="effect", timeout=MINUTE).undo(no_hotel).then(Waits.WAITING)
event.at(Waits.WAITING).wait(GO, deadline=hours(1)).then(Waits.THREE, timed_out=Waits.ROLLING_BACK)
event.at(Waits.THREE).run(car, promise="effect", timeout=MINUTE).undo(no_car).then(Waits.DONE)
event.rolls_back(Waits.ROLLING_BACK).to(Waits.BACK)
event.final(Waits.DONE, Waits.BACK)

may_book = Approval("dba", shows=hotel, expires=hours(1))

Gates = Enum("Gates", "ONE TWO THREE GATE ROLLING_BACK DONE BACK")
approval = Saga("approval", version=1, states=Gates, input=Given, start=Gates.ONE)
_two_steps(approval, Gates.ONE, Gates.TWO, Gates.GATE)
approval.at(Gates.GATE).approval(may_book).then(
    approved=Gates.THREE, rejected=Gates.ROLLING_BACK, expired=Gates.ROLLING_BACK
)
approval.at(Gates.THREE).run(car, promise="effect", timeout=MINUTE).pivot().then(Gates.DONE)
approval.rolls_back(Gates.ROLLING_BACK).to(Gates.BACK)
approval.final(Gates.DONE, Gates.BACK)

Rollback = Enum("Rollback", "ONE TWO THREE ROLLING_BACK DONE BACK")
rollback = Saga("rollback", version=1, states=Rollback, input=Given, start=Rollback.ONE)
_two_steps(rollback, Rollback.ONE, Rollback.TWO, Rollback.THREE)
rollback.at(Rollback.THREE).run(car_that_breaks, promise="effect", timeout=MINUTE).undo(no_car).then(
    Rollback.DONE, failed=Rollback.ROLLING_BACK
)
rollback.rolls_back(Rollback.ROLLING_BACK, entering=notice).to(Rollback.BACK)
rollback.final(Rollback.DONE, Rollback.BACK)

Again = Enum("Again", "ONE TWO THREE GATE ROLLING_BACK DONE BACK")
again = Saga("again", version=1, states=Again, input=Given, start=Again.ONE)
_two_steps(again, Again.ONE, Again.TWO, Again.GATE)
again.at(Again.GATE).approval(may_book).then(
    approved=Again.THREE, rejected=Again.ROLLING_BACK, expired=Again.ROLLING_BACK
)
again.at(Again.THREE).run(car, promise="effect", timeout=MINUTE).undo(no_car).then(Again.DONE)
again.rolls_back(Again.ROLLING_BACK).to(Again.BACK)
again.final(Again.DONE, Again.BACK)

Visit = Enum("Visit", "ONE TWO ROLLING_BACK DONE BACK")
visit = Saga("visit", version=1, states=Visit, input=Given, start=Visit.ONE)
visit.at(Visit.ONE).run(out_and_home, promise="effect", timeout=MINUTE).undo(stay).then(Visit.TWO)
visit.at(Visit.TWO).run(next_round, timeout=MINUTE).reads_only().when(enough, Visit.DONE).then(Visit.ONE)
visit.rolls_back(Visit.ROLLING_BACK).to(Visit.BACK)
visit.final(Visit.DONE, Visit.BACK)

Pivot = Enum("Pivot", "ONE TWO THREE ROLLING_BACK DONE BACK")
pivot = Saga("pivot", version=1, states=Pivot, input=Given, start=Pivot.ONE)
_two_steps(pivot, Pivot.ONE, Pivot.TWO, Pivot.THREE)
pivot.at(Pivot.THREE).run(car_at_second_try, promise="effect", timeout=MINUTE, retry=Retry(4, first=SOON)).pivot().then(
    Pivot.DONE
)
pivot.rolls_back(Pivot.ROLLING_BACK).to(Pivot.BACK)
pivot.final(Pivot.DONE, Pivot.BACK)

Cancel = Enum("Cancel", "ONE TWO GATE ROLLING_BACK DONE BACK")
cancel = Saga("cancel", version=1, states=Cancel, input=Given, start=Cancel.ONE)
_two_steps(cancel, Cancel.ONE, Cancel.TWO, Cancel.GATE)
cancel.at(Cancel.GATE).approval(may_book).then(
    approved=Cancel.DONE, rejected=Cancel.ROLLING_BACK, expired=Cancel.ROLLING_BACK
)
cancel.rolls_back(Cancel.ROLLING_BACK).to(Cancel.BACK)
cancel.final(Cancel.DONE, Cancel.BACK)

Chunked = Enum("Chunked", "ONE TWO ROLLING_BACK DONE BACK")
chunked = Saga("chunked", version=1, states=Chunked, input=Given, start=Chunked.ONE)
chunked.at(Chunked.ONE).run(in_chunks, promise="effect", timeout=MINUTE).undo(no_chunks).then(
    Chunked.TWO, failed=Chunked.ROLLING_BACK
)
chunked.at(Chunked.TWO).run(car_that_breaks, promise="effect", timeout=MINUTE).undo(no_car).then(
    Chunked.DONE, failed=Chunked.ROLLING_BACK
)
chunked.rolls_back(Chunked.ROLLING_BACK).to(Chunked.BACK)
chunked.final(Chunked.DONE, Chunked.BACK)

Slow = Enum("Slow", "ONE TWO ROLLING_BACK DONE BACK")
slow = Saga("slow", version=1, states=Slow, input=Given, start=Slow.ONE)
_two_steps(slow, Slow.ONE, Slow.TWO, Slow.DONE, stays=slow_hotel)
slow.rolls_back(Slow.ROLLING_BACK).to(Slow.BACK)
slow.final(Slow.DONE, Slow.BACK)

ALL: Final = [linear, branch, timer, event, approval, rollback, again, visit, pivot, cancel, chunked, slow]
