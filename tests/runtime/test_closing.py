"""Nothing lands behind what a person says of an undo: a late attempt of the step is refused, or seen."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.runtime.engine import Engine
from tests.runtime import plays
from tests.runtime.conftest import Opened, loaded, working
from tests.runtime.plays import Value
from tests.runtime.test_effects import DW, LEDGER, change, put, read

NOT_CLOSED = "not closed in dw: a late attempt could still write there"
HEADS = "SELECT status FROM {ledger}.saga_ledger_heads"


def nothing(_db: sa.Connection) -> None:
    raise ZeroDivisionError


class Late:
    """An attempt of the step that has opened its head, and writes when it may, long after it was given up."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.waits, self.goes = threading.Event(), threading.Event()
        self.outcome: list[Any] = []

    def one(self, step: Any) -> Value:
        with suppress(ZeroDivisionError):  # opens the head, and leaves nothing
            step.effect(DW, nothing, part="nothing")
        for part in self.parts:
            step.effect(DW, put(part), part=part)
        self.waits.set()
        assert self.goes.wait(plays.WAIT_SECONDS_MAX)
        try:
            step.effect(DW, put("late"), part="late")
        except BaseException as error:
            self.outcome.append(type(error))
            raise
        self.outcome.append("landed")
        return Value()


def failing_undo(step: Any, *_: Any) -> None:
    raise ValueError("no luck")


@pytest.fixture
def engine(opened: Opened, dw: str) -> Engine:
    return opened(plays.saga(promise="effect"), connections={"dw": dw}, grace_seconds=0.2)


def shown(dw: str) -> list[Any]:
    return read(dw, HEADS)


def parked_before_its_undo_began(engine: Engine, dw: str, *parts: str) -> tuple[str, Late]:
    """A run whose undo is parked because the ledger was away, while an attempt of its step still runs."""
    late = Late(*parts)
    dialect = sa.make_url(dw).get_backend_name()
    hidden, there = ("saga_ledger_hidden", "saga_ledger_heads")
    schema = f"{LEDGER[dialect]}." if dialect in LEDGER else ""
    with plays.playing("p", one=late.one, **{"undo one": failing_undo}), working(engine):
        run = engine.start("play", {"name": "p"}).id
        assert late.waits.wait(plays.WAIT_SECONDS_MAX)
        change(dw, f"ALTER TABLE {schema}{there} RENAME TO {hidden}")
        engine.cancel(run)
        plays.until(lambda: any(task.kind == "undo" and task.parked for task in engine.get(run).tasks))
        change(dw, f"ALTER TABLE {schema}{hidden} RENAME TO {there}")
    assert shown(dw) == [("open",)]
    return run, late


def finished(late: Late) -> list[Any]:
    late.goes.set()
    plays.until(lambda: late.outcome)
    return late.outcome


def test_a_late_attempt_cannot_write_behind_an_undo_that_a_person_said_was_done(engine: Engine, dw: str) -> None:
    run, late = parked_before_its_undo_began(engine, dw)
    assert engine.resolve(run, done=True, evidence="there is nothing").status == "cancelled"
    assert finished(late) != ["landed"]
    assert (loaded(dw), shown(dw)) == ([], [("undone",)])


def test_what_may_have_come_after_the_look_is_shown_once_and_taken_when_it_is_said_again(
    engine: Engine, dw: str
) -> None:
    run, late = parked_before_its_undo_began(engine, dw, "a")
    with pytest.raises(errors.Conflict, match=r"are in effect there: 'a'\. Nothing can come any more"):
        engine.resolve(run, done=True, evidence="there is nothing")
    assert engine.get(run).status == "parked"
    assert finished(late) != ["landed"]
    change(dw, "DELETE FROM loaded")
    assert engine.resolve(run, done=True, evidence="taken out by hand").status == "cancelled"
    assert (loaded(dw), shown(dw)) == ([], [("undone",)])
    assert engine.reconcile(run, dry_run=True).in_step


def test_a_word_that_is_refused_closes_nothing(engine: Engine, dw: str) -> None:
    run, late = parked_before_its_undo_began(engine, dw)
    with pytest.raises(errors.BadInput):
        engine.resolve(run, done=True, evidence="no database keeps \0")
    with pytest.raises(errors.BadInput):
        engine.skip(run, reason="no database keeps \0")
    assert shown(dw) == [("open",)]
    finished(late)


def test_a_late_attempt_cannot_add_to_what_was_skipped(engine: Engine, dw: str) -> None:
    run, late = parked_before_its_undo_began(engine, dw, "a")
    assert engine.skip(run, reason="it stays", dry_run=True).status == "cancelled"
    assert shown(dw) == [("open",)]
    reply = engine.skip(run, reason="it stays")
    assert (reply.status, reply.note) == ("cancelled", "")
    assert finished(late) != ["landed"]
    assert (loaded(dw), shown(dw)) == (["a"], [("undoing",)])
    assert engine.reconcile(run, dry_run=True).in_step


def test_a_ledger_that_is_not_there_is_not_closed_and_that_is_said(engine: Engine, dw: str) -> None:
    run, late = parked_before_its_undo_began(engine, dw, "a")
    schema = f"{LEDGER[sa.make_url(dw).get_backend_name()]}."
    change(dw, f"ALTER TABLE {schema}saga_ledger_heads RENAME TO saga_ledger_hidden")
    reply = engine.resolve(run, done=True, evidence="it is gone for good")
    assert (reply.status, reply.note) == ("cancelled", NOT_CLOSED)
    finished(late)


def test_what_cannot_be_closed_is_skipped_all_the_same_and_said(engine: Engine, opened: Opened, dw: str) -> None:
    run, late = parked_before_its_undo_began(engine, dw, "a")
    elsewhere = opened(plays.saga(promise="effect"))  # where nobody has named the connection
    with pytest.raises(errors.SettingsError):
        elsewhere.resolve(run, done=True, evidence="there is nothing")
    reply = elsewhere.skip(run, reason="it is gone for good")
    assert (reply.status, reply.note) == ("cancelled", NOT_CLOSED)
    finished(late)


def test_a_ledger_that_knows_newer_attempts_of_the_undo_is_closed_by_whoever_looked(engine: Engine, dw: str) -> None:
    """As after a backup of the store was restored (W21)."""
    run, late = parked_before_its_undo_began(engine, dw, "a")
    ledger = f"{LEDGER[sa.make_url(dw).get_backend_name()]}.saga_ledger_heads"
    change(dw, f"UPDATE {ledger} SET status = 'undoing', undo_token = 9, undoing_at = opened_at")
    change(dw, "DELETE FROM loaded")
    assert engine.resolve(run, done=True, evidence="taken out by hand").status == "cancelled"
    assert finished(late) != ["landed"]
    assert (loaded(dw), shown(dw)) == ([], [("undone",)])


def test_what_is_recorded_and_cannot_be_noted_in_the_ledger_is_said(
    engine: Engine, dw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, late = parked_before_its_undo_began(engine, dw)

    def away(*_: Any) -> None:
        raise errors.TargetBusy(connection="dw", what="it", seconds=1)

    monkeypatch.setattr("saga_engine.ledger.strays.settle", away)
    reply = engine.resolve(run, done=True, evidence="there is nothing")
    assert reply.status == "cancelled"
    assert reply.note == "not noted in the ledger of dw: saga reconcile will name it"
    assert finished(late) != ["landed"]
