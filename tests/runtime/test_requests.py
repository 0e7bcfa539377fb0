"""What people ask of a run: each request is recorded when the call returns, or refused and nothing has moved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from saga_engine import Approval, errors
from saga_engine.domain.definition.saga import Saga
from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.store.schema import inbox
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import S, abort, go
from tests.runtime.processes import Process, together

SENDER = """
import sys
from saga_engine.runtime.engine import Engine
from tests.runtime import plays
engine = Engine(sys.argv[1], sagas=[plays.waiting()])
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    engine.send(sys.argv[2], "go", {"text": sys.argv[3]}, dedup_key=f"key {number}")
engine.close()
"""

Ask = Callable[[], object]


def kinds(engine: Engine, run: str) -> Counter[str]:
    return Counter(line.kind for line in engine.history(run))


def test_an_event_sent_three_times_with_one_key_counts_once(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {}).id
    replies = [engine.send(run, go, {"text": "a"}, dedup_key="k") for _ in range(3)]
    assert [reply.note for reply in replies] == ["", *["an event with the key k has arrived already"] * 2]
    assert kinds(engine, run) == {"RunStarted": 1, "EventReceived": 1}
    assert engine.get(run).results == {"WAIT": {"text": "a"}}


def test_the_same_key_of_another_source_is_another_event(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {}).id
    for source in ("api", "webhook", "webhook"):
        engine.send(run, go, {}, dedup_key="k", source=source)
    assert kinds(engine, run)["EventReceived"] == 2


def test_without_a_key_the_sender_is_told_that_sending_again_counts_again(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {}).id
    notes = {engine.send(run, go, {}).note for _ in range(2)}
    assert notes == {"sent without an event key: sending it again would count again"}
    assert kinds(engine, run)["EventReceived"] == 2


def test_processes_that_race_with_one_event_key_deliver_it_once(opened: Opened, made_url: str) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {}).id
    together(*(Process(SENDER, made_url, run, sender) for sender in "abc"))
    assert kinds(engine, run) == {"RunStarted": 1, "EventReceived": 10}
    with engine.store.read() as db:
        keys = list(db.execute(sa.select(inbox.c.dedup_key).order_by(inbox.c.number)).scalars())
    assert keys == [f"key {number}" for number in range(10)]


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_threads_write_at_the_same_time_where_the_store_lets_them(opened: Opened) -> None:
    """On SQLite they share a transaction instead (test_together.py)."""
    engine = opened(plays.waiting())
    runs = [engine.start("waiting", {}).id for _ in range(3)]
    there = threading.Barrier(len(runs))

    def meet(name: str) -> None:
        if name == "store.record.before_write":
            there.wait(10)

    senders = [
        threading.Thread(target=engine.send, args=(run, go, {"text": "x"}), kwargs={"dedup_key": "one"}) for run in runs
    ]
    with switched_on(meet):
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(20)
    assert not there.broken
    assert [engine.get(run).revision for run in runs] == [2, 2, 2]


def test_sixteen_senders_of_one_run_are_all_heard(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {}).id
    failed: list[BaseException] = []

    def send(number: int) -> None:
        try:
            engine.send(run, go, {"text": str(number)})
        except errors.SagaError as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert kinds(engine, run)["EventReceived"] == 16
    assert [line.revision for line in engine.history(run)] == list(range(1, 18))


@pytest.mark.parametrize(
    ("event", "payload", "error", "says"),
    [
        (
            "go",
            {"text": 1},
            errors.BadInput,
            "go cannot be sent with this payload: text: Input should be a valid string",
        ),
        ("go", {"text": "x" * 300}, errors.PayloadTooLarge, "the payload of go has 311 bytes; the limit is 200"),
        ("gone", {}, errors.SagaError, "gone"),
    ],
)
def test_an_event_that_does_not_fit_is_refused(
    opened: Opened, event: str, payload: dict[str, object], error: type[errors.SagaError], says: str
) -> None:
    engine = opened(plays.waiting(), event_bytes_max=200)
    run = engine.start("waiting", {})
    with pytest.raises(error, match=says):
        engine.send(run.id, event, payload)
    assert engine.get(run.id) == run


def test_an_event_that_the_state_does_not_take_is_refused_and_one_that_may_wait_waits(opened: Opened) -> None:
    engine = opened(plays.saga(), plays.waiting())
    run = engine.start("waiting", {}).id
    engine.send(run, go, {})
    with pytest.raises(errors.NotAccepted) as refused:
        engine.send(run, abort, {})
    assert (refused.value.exit_code, engine.get(run).state) == (7, "ONE")
    assert engine.send(run, go, {"text": "later"}).state == "ONE"
    with engine.store.read() as db:
        assert list(db.execute(sa.select(inbox.c.fate)).scalars()) == ["waiting"]


def test_texts_that_no_database_can_hold_are_refused(opened: Opened) -> None:
    engine = opened(plays.waiting())
    run = engine.start("waiting", {})
    asks: list[Ask] = [
        lambda: engine.cancel(run.id, reason="a\0b"),
        lambda: engine.pause(run.id, actor="a\0b"),
        lambda: engine.send(run.id, go, {}, dedup_key="a\0b"),
        lambda: engine.send(run.id, go, {}, source="a\ud800"),
    ]
    for ask in asks:
        with pytest.raises(errors.BadInput, match="the store cannot hold the"):
            ask()
    assert engine.get(run.id) == run
    assert engine.send(run.id, go, {"text": "a\0b"}).state == "ONE"
    assert engine.get(run.id).results == {"WAIT": {"text": "a\0b"}}


def test_a_cancel_before_anything_ran_leaves_nothing_to_undo(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        run = engine.start("play", {"name": "p"}).id
        reply = engine.cancel(run, actor="ann", reason="wrong table")
        engine.work(until_idle=True)
    assert (reply.source, engine.get(run).state, engine.get(run).status, play.told) == (
        "ONE",
        "UNDONE",
        "cancelled",
        [],
    )
    with pytest.raises(errors.RunEnded) as refused:
        engine.cancel(run)
    assert refused.value.exit_code == 7


def test_a_cancel_in_the_middle_undoes_what_was_done_in_reverse(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        play.acts["two"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            engine.cancel(run, reason="stop")
            plays.until(lambda: engine.get(run).ended)
    assert play.told == ["one", "two", "cancelled", "undo two", "undo one"]
    assert (engine.get(run).state, engine.get(run).status) == ("UNDONE", "cancelled")


def test_a_rollback_to_a_state_undoes_it_too_and_goes_forward_again(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p", two=plays.raising(ValueError("bad"), 3)) as play:
        run = engine.start("play", {"name": "p", "n": 4}).id
        with working(engine):
            plays.until(lambda: play.told.count("two") == 1)
        engine.rollback(run, to=S.ONE)
        engine.work(until_idle=True)
    assert play.told[:4] == ["one", "two", "undo two", "undo one"]
    assert play.told[4] == "one"
    assert (engine.get(run).status, engine.get(run).results["ONE"]) == ("completed", {"n": 4, "text": ""})


def test_the_plan_of_a_rollback_to_a_step_without_an_undo_names_nothing_that_stays(opened: Opened) -> None:
    """The same decision goes back and forward again: what is left then is not what it undoes."""
    made = Saga("play", version=1, states=S, input=plays.Input, start=S.ONE)
    made.at(S.ONE).run(plays.one).undo(plays.undo_one).then(S.TWO)
    made.at(S.TWO).run(plays.two).then(S.GATE)
    gate = made.at(S.GATE).approval(Approval("dba", shows=plays.one, expires=plays.AN_HOUR))
    gate.then(approved=S.DONE, rejected=S.BACK, expired=S.BACK)
    engine = opened(plays.finished(made))
    run = engine.start("play", {}).id
    engine.work(until_idle=True)
    assert engine.get(run).state == "GATE"
    plan = engine.plan(run, to=S.TWO)
    assert (plan.steps, plan.ends_in) == ((), "TWO")
    assert [(step.state, step.undo) for step in engine.plan(run).steps] == [("ONE", "undo_one")]


def test_a_rollback_to_where_the_run_never_was_is_refused(opened: Opened) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", {})
    for to in (S.TWO, "NOWHERE"):
        with pytest.raises(errors.SagaError):
            engine.rollback(run.id, to=to)
    assert engine.get(run.id) == run


def test_a_paused_run_stands_still_until_it_is_resumed(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        run = engine.start("play", {"name": "p"}).id
        engine.pause(run, reason="lunch")
        assert engine.pause(run).note == "the run is paused already"
        engine.work(until_idle=True)
        assert (play.told, engine.get(run).paused, engine.get(run).tasks[0].due_at) == ([], True, None)
        engine.resume(run)
        engine.work(until_idle=True)
    assert (play.told, engine.get(run).status) == (["one", "two"], "completed")


def test_an_attempt_that_runs_at_the_pause_is_recorded_and_nothing_follows_before_the_resume(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            engine.pause(run)
            play.gate.set()
            plays.until(lambda: engine.get(run).state == "TWO")
        engine.work(until_idle=True)
        assert (play.told, engine.get(run).results["ONE"]["n"]) == (["one"], 7)
        engine.resume(run)
        engine.work(until_idle=True)
    assert engine.get(run).status == "completed"


def test_what_a_worker_lost_under_a_paused_run_waits_for_the_resume(opened: Opened) -> None:
    """Freed tasks are due; the worker that takes one finds the run paused and puts it back."""
    engine = opened(plays.saga())
    with plays.playing("p") as play:
        play.acts["one"] = play.waits
        run = engine.start("play", {"name": "p"}).id
        with working(engine):
            assert play.began.wait(10)
            engine.pause(run)
        assert engine.get(run).tasks[0].leased_by is None
        play.told.clear()
        engine.work(until_idle=True)
        assert (play.told, engine.get(run).tasks[0].due_at) == ([], None)
        play.gate.set()
        engine.resume(run)
        engine.work(until_idle=True)
    assert (play.told, engine.get(run).status) == (["one", "two"], "completed")


def test_a_retry_takes_up_what_is_parked_with_a_new_budget(opened: Opened) -> None:
    engine = opened(plays.saga(failed=False))
    with plays.playing("p", one=plays.raising(ValueError("bad"), 4)) as play:
        run = engine.start("play", {"name": "p"}).id
        engine.work(until_idle=True)
        assert [(task.parked, task.failures) for task in engine.get(run).tasks] == [("W22", 3)]
        engine.retry(run, actor="ann")
        engine.work(until_idle=True)
    assert (play.told.count("one"), engine.get(run).status) == (5, "completed")


def test_with_nothing_parked_there_is_nothing_to_retry_skip_or_resolve(opened: Opened) -> None:
    engine = opened(plays.saga())
    run = engine.start("play", {})
    asks: list[Ask] = [
        lambda: engine.retry(run.id),
        lambda: engine.skip(run.id, reason="no"),
        lambda: engine.resolve(run.id, done=True, evidence="seen"),
    ]
    for ask in asks:
        with pytest.raises(errors.Conflict, match="nothing to"):
            ask()
    assert engine.get(run.id) == run


def test_an_unknown_run_is_refused_by_every_request(opened: Opened) -> None:
    engine = opened(plays.saga())
    asks: list[Ask] = [
        lambda: engine.get("nothing"),
        lambda: engine.cancel("nothing"),
        lambda: engine.send("nothing", go, {}),
        lambda: engine.history("nothing"),
        lambda: engine.get("no\0thing"),
        lambda: engine.get("no\ud800thing"),
    ]
    for ask in asks:
        with pytest.raises(errors.RunNotFound):
            ask()
