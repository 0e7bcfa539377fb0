"""Attempts: whatever a step does, its run goes on, waits with a reason, or is undone."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from saga_engine import Frozen, Saga, Step, errors
from saga_engine.domain.definition.values import Retry, seconds
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import S, Value


def acted(engine: Engine, saga: str = "play", **given: Any) -> RunView:
    """A run, worked on until only people or time can move it."""
    run = engine.start(saga, {"name": "p", **given})
    engine.work(until_idle=True)
    return engine.get(run.id)


def parked(run: RunView) -> list[tuple[str | None, str]]:
    return [(task.parked, task.error) for task in run.tasks if task.parked]


def failures(engine: Engine, run: RunView) -> list[str]:
    return [line.event["error"] for line in engine.history(run.id) if line.kind == "ActionFailed"]


def test_a_run_goes_through_its_states_to_the_end(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p", two=lambda step: Value(n=step.of(plays.one).n + 1)) as play:
        run = acted(engine, n=4)
    assert (run.state, run.status, run.results) == (
        "DONE",
        "completed",
        {"ONE": {"n": 4, "text": ""}, "TWO": {"n": 5, "text": ""}},
    )
    assert (play.told, run.tasks) == (["one", "two"], ())
    assert [line.kind for line in engine.history(run.id)] == ["RunStarted", "ActionSucceeded", "ActionSucceeded"]


def test_a_failure_is_tried_again_as_often_as_the_saga_says_and_then_undone(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p", two=plays.raising(ValueError("no room"))) as play:
        run = acted(engine)
    assert (run.state, run.status) == ("UNDONE", "rolled_back")
    assert play.told == ["one", *["two"] * 3, "undo two", "undo one"]
    assert failures(engine, run) == ["ValueError: no room"] * 3


def test_a_failure_named_by_the_saga_is_final(opened: Opened) -> None:
    engine = opened(plays.saga(retry=Retry(5, never_on=(PermissionError,))))
    with plays.playing("p", one=plays.raising(PermissionError("denied"))) as play:
        run = acted(engine)
    assert (run.status, play.told) == ("rolled_back", ["one", "undo one"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (asyncio.CancelledError(), "CancelledError: "),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (ValueError("first line\nDETAIL: a row's values"), "ValueError: first line"),
        (ValueError("a\0b \ud800"), "ValueError: a\\0b \\ud800"),
        (ValueError("x" * 5_000), f"ValueError: {'x' * 488}"),
    ],
)
def test_whatever_a_step_raises_is_one_failure_in_one_line(opened: Opened, error: BaseException, told: str) -> None:
    engine = opened(plays.saga(retry=Retry(1)))
    with plays.playing("p", one=plays.raising(error)):
        run = acted(engine)
    assert (run.status, failures(engine, run)) == ("rolled_back", [told])


class Odd(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    thing: Any = None


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (None, "BadResult: one returned NoneType, not Value"),
        ({"n": 1}, "BadResult: one returned dict, not Value"),
        (Odd(), "BadResult: one returned Odd, not Value"),
        (Value.model_construct(n=object()), "BadResult: one returned what JSON cannot hold"),
        (Value.model_construct(n="many"), "BadResult: one returned what JSON cannot hold"),
        (Value.model_construct(n=float("nan")), "BadResult: one returned what JSON cannot hold"),
        (Value(text="\ud800"), "BadResult: one returned what JSON cannot hold"),
        (Value(text="x" * 3_000), "PayloadTooLarge: the result of one has 3017 bytes; the limit is 2000"),
    ],
    ids=["none", "a dict", "another model", "no JSON", "a wrong type", "not a number", "half a letter", "too large"],
)
def test_a_result_that_cannot_be_kept_is_a_failure_that_no_retry_mends(
    opened: Opened, result: object, problem: str
) -> None:
    engine = opened(plays.saga(), result_bytes_max=2_000)
    with plays.playing("p", one=lambda _step: result) as play:
        run = acted(engine)
    assert (run.status, play.told) == ("rolled_back", ["one", "undo one"])
    (told,) = failures(engine, run)
    assert told.startswith(problem)


class Loose(Frozen):
    anything: Any


def loosely(step: Step[Loose]) -> Loose:
    return Loose(anything=[float(step.input.anything)])


def test_a_number_that_is_not_finite_is_refused_where_a_field_may_be_anything(opened: Opened) -> None:
    saga = Saga("loose", version=1, states=S, input=Loose, start=S.ONE)
    saga.at(S.ONE).run(loosely).reads_only().then(S.DONE, failed=S.LAST)
    saga.final(*(state for state in S if state is not S.ONE))
    engine = opened(saga)
    with pytest.raises(errors.BadInput, match="the store cannot hold the input of loose: NaN and infinity are no JSON"):
        engine.start("loose", {"anything": {"a": float("nan")}})
    run = engine.start("loose", {"anything": "-inf"}).id
    engine.work(until_idle=True)
    (told,) = failures(engine, engine.get(run))
    assert told.startswith(
        "BadResult: loosely returned what JSON cannot hold: ValueError: NaN and infinity are no JSON."
    )
    assert engine.get(run).state == "LAST"


def test_a_nul_in_a_result_arrives_as_it_was(opened: Opened) -> None:
    engine = opened(plays.saga())
    seen: list[str] = []

    def two(step: Any) -> Value:
        seen.append(step.of(plays.one).text)
        return Value()

    with plays.playing("p", one=lambda _step: Value(text="a\0b\n\u2028ü"), two=two):
        assert acted(engine).status == "completed"
    assert seen == ["a\0b\n\u2028ü"]


def test_a_result_that_the_database_refuses_fails_its_run_alone(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that passes our checks is known to be refused, so a check is taken away here."""
    engine = opened(plays.saga())
    monkeypatch.setattr("saga_engine.runtime.executor.told", str)
    with plays.playing("p"), plays.playing("q", one=plays.raising(ValueError("\ud800"))) as play:
        runs = [engine.start("play", {"name": name}).id for name in "pqp"]
        engine.work(until_idle=True)
    assert [engine.get(run).status for run in runs] == ["completed", "rolled_back", "completed"]
    assert failures(engine, engine.get(runs[1])) == ["the result cannot be recorded: UnicodeEncodeError"]
    assert play.told == ["one", "undo one"]


def test_a_decision_that_fails_is_a_failure_of_that_attempt_alone(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored for one run does not fit its saga: its neighbours in the batch do not suffer."""
    engine = opened(plays.saga())
    monkeypatch.setattr("saga_engine.runtime.executor.stored", lambda _model, value, *_: value.text or '{"n":1}')

    def one(step: Any) -> Value:
        return Value(text='{"n":"many"}' if step.input.n == 1 else "")

    with plays.playing("p", one=one, two=lambda _step: Value()):
        runs = [engine.start("play", {"name": "p", "n": n}).id for n in (0, 1, 2)]
        engine.work(until_idle=True)
    assert [engine.get(run).status for run in runs] == ["completed", "rolled_back", "completed"]
    assert failures(engine, engine.get(runs[1])) == ["the result cannot be recorded: ValidationError"]


def test_an_async_step_is_awaited(opened: Opened) -> None:
    async def later(step: Any) -> Value:
        await asyncio.sleep(0.01)
        return Value(n=step.input.n)

    engine = opened(plays.asynchronous())
    with plays.playing("p", later=later):
        run = acted(engine, "asynchronous", n=5)
    assert (run.status, run.results) == ("completed", {"ONE": {"n": 5, "text": ""}})


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (13, "ValueError: thirteen"),
        (15, "SystemExit: out"),
        (17, "ValueError: postgresql://me:***@h"),
        (19, "ValueError: \\0"),
    ],
)
def test_a_guard_that_raises_parks_the_run_with_its_words_and_a_retry_asks_it_again(
    opened: Opened, n: int, told: str
) -> None:
    engine = opened(plays.chosen())
    with plays.playing("p") as play:
        run = acted(engine, "chosen", n=n)
        parks = [("W16", f"guard is_odd raised {told}")]
        assert (run.state, run.status, parked(run)) == ("ONE", "parked", parks)
        engine.retry(run.id)
        assert parked(engine.get(run.id)) == parked(run)
        engine.rollback(run.id)
        engine.work(until_idle=True)
    assert (engine.get(run.id).status, play.told) == ("rolled_back", ["one", "undo one"])


def test_an_undo_that_raises_parks_the_run_and_a_retry_goes_on_with_it(opened: Opened) -> None:
    engine = opened(plays.saga(undo_retry=Retry(3, first=seconds(0.01))))
    with plays.playing("p", two=plays.raising(ValueError("bad")), **{"undo one": plays.raising(OSError("disk"), 3)}):
        run = acted(engine)
        assert (run.state, run.status, parked(run)) == ("BACK", "parked", [("W17", "OSError: disk")])
        engine.retry(run.id)
        engine.work(until_idle=True)
    assert engine.get(run.id).status == "rolled_back"


def test_an_undo_that_raises_can_be_skipped_with_a_reason(opened: Opened) -> None:
    engine = opened(plays.saga(undo_retry=Retry(1)))
    with plays.playing(
        "p", two=plays.raising(ValueError("bad")), **{"undo one": plays.raising(OSError("disk"))}
    ) as play:
        run = acted(engine)
        engine.skip(run.id, reason="dropped by hand", actor="ann")
        engine.work(until_idle=True)
    run = engine.get(run.id)
    assert (run.status, [(entry.state, entry.status) for entry in run.undo]) == (
        "rolled_back",
        [("ONE", "skipped"), ("TWO", "undone")],
    )
    assert Counter(play.told)["undo one"] == 1


def test_an_undo_whose_proof_says_no_has_failed(opened: Opened) -> None:
    engine = opened(plays.saga(proven=True, undo_retry=Retry(2, first=seconds(0.01))))
    with plays.playing("p", two=plays.raising(ValueError("bad")), proof=lambda _step: False) as play:
        run = acted(engine)
        text = "UndoNotVerified: The undo of ONE has run, but its verify says that the target is not as it was before."
        assert parked(run) == [("W17", text)]
        play.acts["proof"] = lambda _step: True
        engine.retry(run.id)
        engine.work(until_idle=True)
    assert engine.get(run.id).status == "rolled_back"


def test_an_undo_is_not_tried_again_after_a_failure_that_its_retry_names(opened: Opened) -> None:
    engine = opened(plays.saga(undo_retry=Retry(5, first=seconds(60), never_on=(LookupError,))))
    with plays.playing("p", two=plays.raising(ValueError("bad")), **{"undo one": plays.raising(KeyError("k"))}) as play:
        run = acted(engine)
    assert parked(run) == [("W17", "KeyError: 'k'")]
    assert Counter(play.told)["undo one"] == 1


def test_an_undo_is_told_what_its_step_returned_or_that_nobody_knows(opened: Opened) -> None:
    engine = opened(plays.saga())
    seen: dict[str, str] = {}
    undos = {name: lambda _step, was, name=name: seen.update({name: repr(was)}) for name in ("undo one", "undo two")}
    with plays.playing("p", two=plays.raising(ValueError("bad")), **undos):
        acted(engine, n=6)
    assert seen == {"undo one": "Done(result=Value(n=6, text=''))", "undo two": "InDoubt()"}


def test_a_notice_that_fails_for_good_parks_the_run(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Retry(2, first=seconds(0.01))
    for module in ("attempts", "repair"):
        monkeypatch.setattr(f"saga_engine.domain.{module}.NOTICE_RETRY", quick, raising=False)
    engine = opened(plays.gated())
    with plays.playing("p", tell=plays.raising(OSError("no mail"))) as play:
        run = acted(engine, "gated")
    assert (run.status, parked(run), play.told.count("tell")) == ("parked", [("W22", "OSError: no mail")], 2)


def test_a_step_that_runs_too_long_is_asked_to_end_and_tried_again(opened: Opened) -> None:
    engine = opened(plays.saga(timeout=seconds(0.2)))
    with plays.playing("p") as play:
        slow = [True]

        def one(step: Any) -> Value:
            return play.waits(step) if slow.pop() else Value(n=3)

        slow[:] = [False, True]
        play.acts["one"] = one
        run = acted(engine)
    assert (run.status, play.told) == ("completed", ["one", "cancelled", "one", "two"])
    timed_out = [line.event["error"] for line in engine.history(run.id) if line.kind == "AttemptTimedOut"]
    assert timed_out == ["no end within its timeout of 0:00:00.200000"]
    assert [task.attempt for task in run.tasks] == []


def test_a_last_attempt_that_runs_too_long_takes_the_failed_way(opened: Opened) -> None:
    engine = opened(plays.saga(timeout=seconds(0.1), retry=Retry(1)))
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = acted(engine)
    assert (run.status, play.told) == ("rolled_back", ["one", "cancelled", "undo one"])


def test_a_silent_step_with_a_heartbeat_has_timed_out_and_one_that_speaks_has_not(opened: Opened) -> None:
    engine = opened(plays.saga(heartbeat=seconds(0.25), retry=Retry(1)))

    def speaks(step: Any) -> Value:
        for number in range(20):
            time.sleep(0.03)
            if number % 3 == 0:
                step.heartbeat()
            elif number % 3 == 1:
                step.progress(number, 20, "chunks")
            else:
                step.checkpoint(Value(n=number))
        return Value(n=step.last_checkpoint(Value).n)

    with plays.playing("p", one=speaks) as play:
        run = acted(engine)
        assert (run.status, run.results["ONE"]) == ("completed", {"n": 17, "text": ""})
        play.acts["one"] = play.waits
        silent = acted(engine)
    assert silent.status == "rolled_back"
    errors = [line.event["error"] for line in engine.history(silent.id) if line.kind == "AttemptTimedOut"]
    assert errors == ["silent for longer than its heartbeat of 0:00:00.250000"]


def test_a_deadline_passes_over_all_retries(opened: Opened) -> None:
    engine = opened(plays.saga(deadline=seconds(1), retry=Retry(1_000, first=seconds(0.02), cap=seconds(0.02))))
    with plays.playing("p", one=plays.raising(ValueError("bad"))) as play:
        run = acted(engine)
    assert (run.status, play.told[-1]) == ("rolled_back", "undo one")
    assert play.told.count("one") > 1


def test_a_deadline_ends_a_running_attempt_also_where_every_slot_is_taken(opened: Opened) -> None:
    """Timers need no slot: else a worker full of long steps would never see their deadlines."""
    engine = opened(plays.saga(deadline=seconds(0.3)))
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine, concurrency=1):
            plays.until(lambda: engine.get(run).ended, 10)
    assert (engine.get(run).status, play.told) == ("rolled_back", ["one", "cancelled", "undo one"])


def test_a_wait_that_nobody_answers_takes_its_way_in_time(opened: Opened) -> None:
    engine = opened(plays.waiting(deadline=seconds(0.3)))
    run = engine.start("waiting", {}).id
    with working(engine):
        plays.until(lambda: engine.get(run).ended, 10)
    assert engine.get(run).status == "rolled_back"


def test_progress_and_checkpoints_are_seen_while_the_step_runs(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:

        def one(step: Any) -> Value:
            step.progress(3, 10, "chunks")
            return play.waits(step)

        play.acts["one"] = one
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            (task,) = engine.get(run).tasks
            play.gate.set()
            plays.until(lambda: engine.get(run).ended)
    assert (task.progress, task.attempt) == ({"done": 3, "total": 10, "unit": "chunks"}, 1)
    assert task.heard_at is not None
