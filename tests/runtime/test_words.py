"""A word of a person: refused, it closes nothing; taken, it counts for what they saw, and never for another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import Retry
from saga_engine.runtime import ask
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from tests.runtime import plays
from tests.runtime.conftest import Opened, loaded, working
from tests.runtime.plays import Input, S
from tests.runtime.test_effects import DW, put, read

HEADS = "SELECT status FROM {ledger}.saga_ledger_heads"


def nothing(_db: sa.Connection) -> None:
    raise ZeroDivisionError


def in_vain(step: Any) -> None:
    """Open the head in the target, leave nothing there, and fail."""
    with suppress(ZeroDivisionError):
        step.effect(DW, nothing, part="all")
    raise ValueError("no luck")


def at_last(step: Any) -> None:
    step.effect(DW, put("all"), part="all")


def half(step: Any) -> None:
    step.effect(DW, put("half"), part="half")
    raise ValueError("no luck")


def cut_over(*, rolls_back: bool = True, pivots: int = 1) -> Saga[S, Input]:
    """ONE, then perhaps a first pivot TWO, then the pivot LAST, an effect that is tried once."""
    made = Saga("cut_over", version=1, states=S, input=Input, start=S.ONE)
    if rolls_back:
        made.at(S.ONE).run(plays.one).undo(plays.undo_one).then(S.TWO, failed=S.BACK)
    else:
        made.at(S.ONE).run(plays.one).reads_only().then(S.TWO)
    if pivots == 2:
        made.at(S.TWO).run(plays.two).pivot().then(S.LAST)
    else:
        made.at(S.TWO).run(plays.two).reads_only().then(S.LAST)
    made.at(S.LAST).run(plays.last, retry=Retry(1), promise="effect").pivot().then(S.DONE)
    if rolls_back:
        return plays.finished(made)
    made.final(*(state for state in S if state not in made.rows))
    return made


def parked(engine: Engine, act: Callable[[Any], None] = in_vain) -> RunView:
    """A run whose pivot has failed for good."""
    with plays.playing("p", last=act):
        run = engine.start("cut_over", {"name": "p"})
        engine.work(until_idle=True)
    found = engine.get(run.id)
    assert (found.state, found.status) == ("LAST", "parked")
    return found


def goes_forward(engine: Engine, run: RunView, dw: str) -> None:
    with plays.playing("p", last=at_last):
        engine.retry(run.id)
        engine.work(until_idle=True)
    assert (engine.get(run.id).state, loaded(dw)) == ("DONE", ["all"])


@pytest.mark.parametrize(
    ("saga", "word", "refusal"),
    [
        (cut_over(), {"to": "GATE"}, "cannot go back to GATE"),
        (cut_over(rolls_back=False), {}, "has no rolling-back state"),
        (cut_over(pivots=2), {}, "TWO is past the point of no return"),
        (cut_over(), {"reason": "no database keeps \0"}, "cannot be stored|NUL"),
    ],
)
def test_a_rollback_that_is_refused_leaves_the_way_forward(
    opened: Opened, dw: str, saga: Saga[S, Input], word: dict[str, str], refusal: str
) -> None:
    engine = opened(saga, connections={"dw": dw})
    run = parked(engine)
    with pytest.raises((errors.Conflict, errors.BadInput), match=refusal):
        engine.rollback(run.id, **word)
    assert read(dw, HEADS) == [("open",)]
    goes_forward(engine, run, dw)


def test_a_pivot_of_which_nothing_is_there_is_closed_and_rolled_back(opened: Opened, dw: str) -> None:
    engine = opened(cut_over(), connections={"dw": dw})
    run = parked(engine)
    plan = engine.plan(run.id)
    assert ([step.state for step in plan.steps], read(dw, HEADS)) == (["ONE"], [("open",)])
    with plays.playing("p"), working(engine):
        engine.rollback(run.id)
        assert engine.wait(run.id, seconds=20).status == "rolled_back"
    assert (loaded(dw), read(dw, HEADS)) == ([], [("undone",)])


def test_a_pivot_of_which_something_is_there_is_not_rolled_back_nor_closed(opened: Opened, dw: str) -> None:
    engine = opened(cut_over(), connections={"dw": dw})
    run = parked(engine, half)
    for back in (engine.rollback, engine.plan):
        with pytest.raises(errors.Conflict, match="may have taken effect"):
            back(run.id)
    assert (loaded(dw), read(dw, HEADS)) == (["half"], [("open",)])


def first(_step: Step[Input]) -> None:
    raise ValueError("no luck")


def second(_step: Step[Input]) -> None:
    raise ValueError("no luck")


def unsure() -> Saga[S, Input]:
    """ONE and TWO, which wait for a person when they fail."""
    made = Saga("unsure", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(first, retry=Retry(1)).reads_only().then(S.TWO)
    made.at(S.TWO).run(second, retry=Retry(1)).reads_only().then(S.DONE)
    return plays.finished(made)


def skip(engine: Engine, run: str) -> object:
    return engine.skip(run, reason="it is not needed")


def done(engine: Engine, run: str) -> object:
    return engine.resolve(run, done=True, evidence="looked at ONE")


def not_done(engine: Engine, run: str) -> object:
    return engine.resolve(run, done=False, evidence="looked at ONE")


@pytest.mark.parametrize("word", [skip, done, not_done])
def test_a_word_on_one_step_is_not_recorded_for_another(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, word: Callable[[Engine, str], object]
) -> None:
    engine = opened(unsure())
    run = engine.start("unsure", {}).id
    engine.work(until_idle=True)
    look = ask._refuse_before_closing

    def meanwhile(*seen: Any) -> None:
        look(*seen)
        monkeypatch.undo()
        engine.skip(run, reason="somebody else was quicker")
        engine.work(until_idle=True)

    monkeypatch.setattr(ask, "_refuse_before_closing", meanwhile)
    with pytest.raises(errors.Conflict, match="has moved meanwhile; look again"):
        word(engine, run)
    assert (engine.get(run).state, engine.get(run).status) == ("TWO", "parked")
