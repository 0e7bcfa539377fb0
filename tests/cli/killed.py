"""Sagas for ``saga test``: each has one step whose promise is kept, or broken in a way of its own.

*how* in the input says what the loading step does; the file is copied into a user's folder.
"""

from __future__ import annotations

import os
import time
from enum import Enum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from saga_engine import Approval, Connection, Event, Frozen, InDoubt, NotDone, Outcome, Saga, Step, hours, minutes

DW: Final = Connection("dw")
INSERT: Final = sa.text("INSERT INTO facts (n, at) VALUES (:n, :at)")


class Input(Frozen):
    how: str = "kept"
    fails: bool = False
    rows: int = 4


class Loaded(Frozen):
    rows: int


class Told(Frozen):
    text: str


def _insert(db: sa.Connection, rows: int = 4) -> Loaded:
    for number in range(rows):
        db.execute(INSERT, {"n": number, "at": str(time.time())})
    return Loaded(rows=rows)


def load(step: Step[Input]) -> Loaded:
    if step.input.how == "kept":
        return step.effect(DW, _insert)
    with step.connect(DW) as db:
        done = _insert(db, _rows(step))
        db.commit()
    return done


def _rows(step: Step[Input]) -> int:
    """How many it loads; behind the two runs that nobody disturbs a run may end otherwise, or its process break."""
    if not step.input.how.startswith("the third"):
        return step.input.rows
    plays = Path("plays")
    with plays.open("a") as file:
        file.write(".")
    if len(plays.read_text()) < 3:
        return step.input.rows
    if step.input.how == "the third breaks":
        os._exit(70)
    return step.input.rows - 2


def unload(step: Step[Input], was: Outcome[Loaded]) -> None:
    def work(db: sa.Connection) -> None:
        db.execute(sa.text("DELETE FROM facts"))
        db.execute(sa.text("INSERT INTO undone (what) VALUES ('facts')"))

    step.effect(DW, work)


def check(step: Step[Input]) -> Loaded:
    if step.input.fails:
        raise RuntimeError("these are not the facts")
    return step.of(load)


GO: Final = Event("go", payload=Told, unhandled="reject")
may_go: Final = Approval("dba", shows=load, expires=hours(1), quorum=2, not_starter=True)

S = Enum("S", "LOADING CHECKING ASKING WAITING LOADED ROLLING_BACK EMPTY")
saga = Saga("load", version=1, states=S, input=Input, start=S.LOADING)
saga.at(S.LOADING).run(load, promise="effect", timeout=minutes(1)).undo(unload).then(S.CHECKING)
saga.at(S.CHECKING).run(check, timeout=minutes(1)).reads_only().then(S.ASKING, failed=S.ROLLING_BACK)
saga.at(S.ASKING).approval(may_go).then(approved=S.WAITING, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK)
saga.at(S.WAITING).wait(GO, deadline=hours(1)).then(S.LOADED, timed_out=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.EMPTY)
saga.final(S.LOADED, S.EMPTY)


def load_any(step: Step[Input]) -> Loaded:
    if step.input.fails:
        raise RuntimeError("there are no facts")
    return load(step)


def unload_any(step: Step[Input], was: Outcome[Loaded]) -> None:
    with step.connect(DW) as db:
        db.execute(sa.text("INSERT INTO undone (what) VALUES ('facts')"))
        db.commit()


def nobody_knows(step: Step[Input]) -> NotDone | InDoubt:
    return InDoubt() if step.input.how == "in doubt" else NotDone()


O = Enum("O", "LOADING LOADED ROLLING_BACK EMPTY")  # noqa: E741  one state less
plain = Saga("plain", version=1, states=O, input=Input, start=O.LOADING)
plain.at(O.LOADING).run(load_any, timeout=minutes(1)).undo(unload_any).then(O.LOADED, failed=O.ROLLING_BACK)
plain.rolls_back(O.ROLLING_BACK).to(O.EMPTY)
plain.final(O.LOADED, O.EMPTY)


def load_probed(step: Step[Input]) -> Loaded:
    return load(step)


probed = Saga("probed", version=1, states=O, input=Input, start=O.LOADING)
probed.at(O.LOADING).run(load_probed, timeout=minutes(1)).verified(nobody_knows).undo(unload_any).then(O.LOADED)
probed.rolls_back(O.ROLLING_BACK).to(O.EMPTY)
probed.final(O.LOADED, O.EMPTY)


def tell(step: Step[Input]) -> None:
    with step.connect(DW) as db:
        db.execute(sa.text("INSERT INTO undone (what) VALUES ('told')"))
        db.commit()


def nothing(step: Step[Input]) -> None:
    pass


N = Enum("N", "LOADING LOADED")
noticed = Saga("noticed", version=1, states=N, input=Input, start=N.LOADING)
noticed.at(N.LOADING).run(nothing, timeout=minutes(1)).reads_only().then(N.LOADED)
noticed.final(N.LOADED, entering=tell)


def load_apart(step: Step[Input]) -> Loaded:
    return load(step)


apart = Saga("apart", version=1, states=N, input=Input, start=N.LOADING)
apart.at(N.LOADING).run(load_apart, timeout=minutes(1), isolation="process").then(N.LOADED)
apart.final(N.LOADED)


def keep_aside(step: Step[Input]) -> None:
    name = "facts__before_" + "".join(letter for letter in step.key if letter.isalnum())
    with step.connect(DW) as db:
        db.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM facts"))
        db.commit()


aside = Saga("aside", version=1, states=N, input=Input, start=N.LOADING)
aside.at(N.LOADING).run(keep_aside, timeout=minutes(1)).then(N.LOADED)
aside.final(N.LOADED)
