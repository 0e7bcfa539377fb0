"""Sagas whose doings can be counted: an effect leaves a row in a table without a unique key, an undo takes one away.

The tables are made by ``tests.kill.project``. What a step does that is not an effect, it writes into the file
``seen`` of the project's folder, one JSON line for each attempt.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from saga_engine import Approval, Connection, Event, Frozen, Outcome, Retry, Saga, Step, hours, minutes, seconds

HANGS_SECONDS: Final = 100.0
"""Longer than any test; a thread that hangs ends with its process."""
LOOK_SECONDS: Final = 0.01
SHORT_TIMEOUT_SECONDS: Final = 1.0


class Trip(Frozen):
    folder: str
    fails: bool = False
    """The last step raises after it has taken effect."""
    slow_seconds: float = 0.0
    """How long the second step takes."""


class Booked(Frozen):
    what: str
    rows: int


DW: Final = Connection("dw")


def _book(step: Step[Trip], what: str) -> Callable[[sa.Connection], Booked]:
    def work(db: sa.Connection) -> Booked:
        db.execute(
            sa.text("INSERT INTO booked (run, what, pid) VALUES (:run, :what, :pid)"),
            {"run": step.run_id, "what": what, "pid": os.getpid()},
        )
        return Booked(what=what, rows=1)

    return work


def _take_back(step: Step[Trip], what: str) -> Callable[[sa.Connection], None]:
    """One row away, not all: an effect that was there twice leaves one behind."""

    def work(db: sa.Connection) -> None:
        which = {"run": step.run_id, "what": what}
        first = "SELECT MIN(id) FROM booked WHERE run = :run AND what = :what"
        db.execute(sa.text(f"DELETE FROM booked WHERE id = ({first})"), which)
        db.execute(sa.text("INSERT INTO taken_back (run, what) VALUES (:run, :what)"), which)

    return work


def seen(folder: str, **facts: object) -> None:
    """Tell whoever reads the file, for certain, before anything else happens."""
    line = json.dumps({"pid": os.getpid(), "at": time.monotonic(), **facts}) + "\n"
    with (Path(folder) / "seen").open("a", encoding="utf-8") as file:
        file.write(line)


def fly(step: Step[Trip]) -> Booked:
    for part in ("out", "home"):
        step.effect(DW, _book(step, part), part=part)
    return Booked(what="flight", rows=2)


def stay_home(step: Step[Trip], was: Outcome[Booked]) -> None:
    for part in ("home", "out"):
        step.effect(DW, _take_back(step, part), part=part)


def sleep_there(step: Step[Trip]) -> Booked:
    seen(step.input.folder, run=step.run_id, step="hotel", attempt=step.attempt)
    if step.input.slow_seconds:
        time.sleep(step.input.slow_seconds)
    return step.effect(DW, _book(step, "hotel"))


def check_out(step: Step[Trip], was: Outcome[Booked]) -> None:
    step.effect(DW, _take_back(step, "hotel"))


def drive(step: Step[Trip]) -> Booked:
    booked = step.effect(DW, _book(step, "car"))
    if step.input.fails:
        raise RuntimeError("no driving licence")
    return booked


def bring_back(step: Step[Trip], was: Outcome[Booked]) -> None:
    step.effect(DW, _take_back(step, "car"))


class T(Enum):
    FLYING = auto()
    SLEEPING = auto()
    DRIVING = auto()
    ROLLING_BACK = auto()
    BOOKED = auto()
    AT_HOME = auto()


trip = Saga("trip", version=1, states=T, input=Trip, start=T.FLYING)
trip.at(T.FLYING).run(fly, promise="effect", timeout=minutes(1)).undo(stay_home).then(T.SLEEPING)
trip.at(T.SLEEPING).run(sleep_there, promise="effect", timeout=minutes(1)).undo(check_out).then(T.DRIVING)
trip.at(T.DRIVING).run(drive, promise="effect", timeout=minutes(1)).undo(bring_back).then(
    T.BOOKED, failed=T.ROLLING_BACK
)
trip.rolls_back(T.ROLLING_BACK).to(T.AT_HOME)
trip.final(T.BOOKED, T.AT_HOME)


class Hold(Frozen):
    folder: str
    how: str
    """What it does: *until cancelled* (the first attempt), *hangs* (likewise), *hangs for good* (each), *dies*,
    *second waits* (for the file ``go``), *short*."""


class Held(Frozen):
    attempt: int
    cancelled: bool


def hold(step: Step[Hold]) -> Held:
    """Says that it has begun; then does what the input asks for. Later attempts come back at once."""
    seen(step.input.folder, run=step.run_id, step="hold", attempt=step.attempt)
    end = time.monotonic() + HANGS_SECONDS
    match step.input.how:
        case "until cancelled" if step.attempt == 1:
            while not step.cancelled and time.monotonic() < end:
                time.sleep(LOOK_SECONDS)
        case "second waits" if step.attempt > 1:
            while not (Path(step.input.folder) / "go").exists() and time.monotonic() < end:
                time.sleep(LOOK_SECONDS)
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs" if step.attempt == 1:
            time.sleep(HANGS_SECONDS)
        case "hangs for good":
            time.sleep(HANGS_SECONDS)
        case _:
            pass
    return Held(attempt=step.attempt, cancelled=step.cancelled)


def hold_once(step: Step[Hold]) -> Held:
    """The same, with no promise that a second attempt is safe."""
    return hold(step)


def hold_briefly(step: Step[Hold]) -> Held:
    """The same, with a short time limit."""
    return hold(step)


def hold_once_briefly(step: Step[Hold]) -> Held:
    """Both."""
    return hold(step)


def let_go(step: Step[Hold], was: Outcome[Held]) -> None: ...


class H(Enum):
    HOLDING = auto()
    ROLLING_BACK = auto()
    HELD = auto()
    LET_GO = auto()


holding = Saga("holding", version=1, states=H, input=Hold, start=H.HOLDING)
holding.at(H.HOLDING).run(hold, retry=Retry(3), timeout=minutes(2)).undo(let_go).then(H.HELD)
holding.rolls_back(H.ROLLING_BACK).to(H.LET_GO)
holding.final(H.HELD, H.LET_GO)

once = Saga("once", version=1, states=H, input=Hold, start=H.HOLDING)
once.at(H.HOLDING).run(hold_once, promise="manual", timeout=minutes(2)).undo(let_go).then(H.HELD)
once.rolls_back(H.ROLLING_BACK).to(H.LET_GO)
once.final(H.HELD, H.LET_GO)

brief = Saga("brief", version=1, states=H, input=Hold, start=H.HOLDING)
brief.at(H.HOLDING).run(hold_briefly, retry=Retry(3), timeout=seconds(SHORT_TIMEOUT_SECONDS)).undo(let_go).then(H.HELD)
brief.rolls_back(H.ROLLING_BACK).to(H.LET_GO)
brief.final(H.HELD, H.LET_GO)

once_brief = Saga("once_brief", version=1, states=H, input=Hold, start=H.HOLDING)
once_brief.at(H.HOLDING).run(hold_once_briefly, promise="manual", timeout=seconds(SHORT_TIMEOUT_SECONDS)).undo(
    let_go
).then(H.HELD)
once_brief.rolls_back(H.ROLLING_BACK).to(H.LET_GO)
once_brief.final(H.HELD, H.LET_GO)


class E(Enum):
    BOOKING = auto()
    BOOKED = auto()


def book_at_once(step: Step[Trip]) -> Booked:
    return step.effect(DW, _book(step, "car"))


errand = Saga("errand", version=1, states=E, input=Trip, start=E.BOOKING)
errand.at(E.BOOKING).run(book_at_once, promise="effect", timeout=minutes(1)).pivot().then(E.BOOKED)
errand.final(E.BOOKED)


class F(Enum):
    OUT = auto()
    DRIVING = auto()
    DONE = auto()


PATIENT: Final = Retry(1_000, first=seconds(0.05), cap=seconds(0.5))
"""For databases that come and go."""


def ferry_out(step: Step[Trip]) -> Booked:
    return step.effect(DW, _book(step, "out"))


def ferry_car(step: Step[Trip]) -> Booked:
    if step.input.slow_seconds:
        seen(step.input.folder, run=step.run_id, step="car", attempt=step.attempt)
        time.sleep(step.input.slow_seconds)
    return step.effect(DW, _book(step, "car"))


ferry = Saga("ferry", version=1, states=F, input=Trip, start=F.OUT)
ferry.at(F.OUT).run(ferry_out, promise="effect", retry=PATIENT, timeout=minutes(1)).pivot().then(F.DRIVING)
ferry.at(F.DRIVING).run(ferry_car, promise="effect", retry=PATIENT, timeout=minutes(1)).pivot().then(F.DONE)
ferry.final(F.DONE)


class C(Enum):
    COUNTING = auto()
    COUNTED = auto()


class Tick(Frozen):
    n: int


tick = Event("tick", Tick, unhandled="reject")
stop = Event("stop", Frozen, unhandled="reject")

counting = Saga("counting", version=1, states=C, input=Trip, start=C.COUNTING)
counting.at(C.COUNTING).wait(tick, deadline=hours(9)).on(stop, C.COUNTED).then(C.COUNTING, timed_out=C.COUNTED)
counting.final(C.COUNTED)


class V(Enum):
    LOOKING = auto()
    ASKING = auto()
    BOOKING = auto()
    BOOKED = auto()
    REFUSED = auto()


def look(step: Step[Trip]) -> Booked:
    return Booked(what="nothing yet", rows=0)


def book(step: Step[Trip]) -> Booked:
    return step.effect(DW, _book(step, "car"))


may_book = Approval("dba", shows=look, expires=hours(1))

asking = Saga("asking", version=1, states=V, input=Trip, start=V.LOOKING)
asking.at(V.LOOKING).run(look, timeout=minutes(1)).reads_only().then(V.ASKING)
asking.at(V.ASKING).approval(may_book).then(approved=V.BOOKING, rejected=V.REFUSED, expired=V.REFUSED)
asking.at(V.BOOKING).run(book, promise="effect", timeout=minutes(1)).pivot().then(V.BOOKED)
asking.final(V.BOOKED, V.REFUSED)
