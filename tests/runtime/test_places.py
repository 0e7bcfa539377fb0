"""A run that is started in the process of a worker with room begins there, without a claim; whatever goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any

import pytest

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.snapshot import Task
from saga_engine.failpoints import switched_on
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.places import Place
from saga_engine.runtime.recorder import Recorded
from saga_engine.runtime.worker import Worker
from saga_engine.store.entry import Head, Pinned
from saga_engine.store.tasks import Lease
from tests.runtime import plays
from tests.runtime.conftest import Opened, working
from tests.runtime.plays import Input, S


@contextmanager
def offering(engine: Engine, **options: Any) -> Iterator[Worker]:
    """A worker that has offered its slots, and that claims nothing."""
    with working(engine, **options) as worker:
        plays.until(lambda: any(places._offered for places in engine.door.places.values()))
        setattr(worker._claiming, "claim", lambda *_: [])  # noqa: B010  it looks no more
        yield worker


def manual() -> Saga[S, Input]:
    made = Saga("manual", version=1, states=S, input=Input, start=S.ONE)
    made.at(S.ONE).run(plays.last, promise="manual").pivot().then(S.DONE)
    return plays.finished(made)


def held(run: Any) -> list[tuple[int, bool]]:
    return [(task.attempt, task.leased_by is not None) for task in run.tasks if task.kind != "timer"]


def test_a_run_begins_without_a_claim_where_a_worker_of_its_process_has_room(opened: Opened) -> None:
    engine = opened(plays.saga())
    with offering(engine) as worker:
        run = engine.start("play", Input())
        assert held(run) == [(1, True)]
        assert run.tasks[0].leased_by == worker._me.id
        assert engine.wait(run.id, seconds=20).status == "completed"
        assert worker._places.kept == 0
    assert engine.verify([run.id]).found == ()
    assert engine.door.places == {}


@pytest.mark.parametrize("saga", [manual(), plays.saga(queue="other"), plays.waiting()])
def test_what_may_not_or_cannot_begin_there_waits_for_a_claim(opened: Opened, saga: Saga[S, Input]) -> None:
    engine = opened(saga)
    with offering(engine) as worker:
        run = engine.start(saga, Input())
        assert held(run) == [(0, False)]
        plays.until(lambda: worker._places.kept == 0)


def test_a_worker_without_a_free_slot_keeps_none(opened: Opened) -> None:
    engine = opened(plays.saga())
    with plays.playing("busy", one=lambda *_: play.hangs()) as play, offering(engine, concurrency=1):
        assert held(engine.start("play", Input(name="busy"))) == [(1, True)]
        assert held(engine.start("play", Input())) == [(0, False)]
        play.gate.set()


def test_a_start_that_is_refused_gives_its_place_back(opened: Opened) -> None:
    engine = opened(plays.saga())
    with offering(engine) as worker:
        run = engine.start("play", Input(n=1), key="orders")
        with pytest.raises(errors.KeyTaken):
            engine.start("play", Input(n=2), key="orders")
        assert engine.start("play", Input(n=1), key="orders").id == run.id
        plays.until(lambda: worker._places.kept == 0)
        assert engine.wait(run.id, seconds=20).status == "completed"


def between(engine: Engine, monkeypatch: pytest.MonkeyPatch, act: Callable[[Place], None]) -> None:
    """Let *act* happen after a place was kept, and before the start is written."""
    keep = engine.door.place

    def place(pinned: Pinned) -> Place | None:
        kept = keep(pinned)
        assert kept is not None, "the worker has room"
        act(kept)
        return kept

    monkeypatch.setattr(engine.door, "place", place)


def test_what_a_renewal_has_handed_back_before_it_came_is_not_begun(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga(), renew_seconds=0.1)
    settle = Place.settle

    def late(place: Place, recorded: str | None, head: Head | None = None) -> bool:
        assert recorded is not None
        plays.until(lambda: held(engine.get(recorded)) == [(1, False)])
        return settle(place, recorded, head)

    with plays.playing("late") as play, offering(engine) as worker:
        monkeypatch.setattr(Place, "settle", late)
        run = engine.start("play", Input(name="late"))
        plays.until(lambda: worker._places.kept == 0)
        sleep(0.2)
        assert (play.told, held(engine.get(run.id))) == ([], [(1, False)])


def test_a_run_whose_worker_ended_before_it_came_is_freed_by_the_next(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga(), grace_seconds=0.1)
    worker = engine.worker()
    thread = threading.Thread(target=worker.run)

    def ends(_: Place) -> None:
        worker.stop()
        thread.join(20)

    thread.start()
    plays.until(lambda: any(places._offered for places in engine.door.places.values()))
    between(engine, monkeypatch, ends)
    run = engine.start("play", Input())
    assert held(run) == [(1, True)]
    monkeypatch.undo()
    engine.work(until_idle=True)
    assert engine.get(run.id).status == "completed"


def test_a_start_whose_commit_was_not_heard_of_begins_there_once(opened: Opened) -> None:
    engine = opened(plays.saga(), lease_seconds=60, renew_seconds=20)
    lost = list[bool]()

    def unheard(point: str) -> None:
        mine = point == "store.write.after_commit" and threading.current_thread() is threading.main_thread()
        if mine and not lost:
            lost.append(True)
            raise errors.OutcomeUnknown(url="the store", reason="the test says so")

    with plays.playing("once") as play, offering(engine), switched_on(unheard):
        run = engine.start("play", Input(name="once"))
        assert lost == [True]
        assert engine.wait(run.id, seconds=20).status == "completed"
    assert play.told == ["one", "two"]


def test_what_an_event_lets_begin_begins_there_without_a_claim(opened: Opened) -> None:
    engine = opened(plays.waiting())
    with offering(engine) as worker:
        run = engine.start("waiting", Input()).id
        plays.until(lambda: worker._places.kept == 0)
        assert engine.send(run, plays.go, {"text": "go"}, dedup_key="go").state == "ONE"
        assert engine.wait(run, seconds=20).status == "completed"
        assert engine.send(run, plays.go, {"text": "go"}, dedup_key="go").note.endswith("has arrived already")
    assert engine.verify([run]).found == ()


def test_what_people_allow_begins_there_without_a_claim(opened: Opened) -> None:
    engine = opened(plays.gated())
    with offering(engine) as worker:
        run = engine.start("gated", Input()).id
        plays.until(lambda: engine.approvals(run))
        [gate] = engine.approvals(run)
        assert engine.approve(run, shown=gate.digest, actor="ann").state == "LAST"
        assert engine.wait(run, seconds=20).status == "completed"
        assert worker._places.kept == 0


def test_a_run_whose_files_are_on_another_host_is_left_to_that(opened: Opened) -> None:
    engine = opened(plays.waiting())
    with offering(engine):
        run = engine.start("waiting", Input()).id
        with engine.store.write() as db:
            db.exec_driver_sql("UPDATE saga_runs SET host = 'elsewhere'")
        engine.send(run, plays.go, {"text": "go"})
        assert held(engine.get(run)) == [(0, False)]


def test_what_the_worker_reads_before_it_arrives_is_begun_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(plays.saga(), lease_seconds=60, renew_seconds=20)
    settle = Place.settle
    with plays.playing("once") as play, offering(engine) as worker:
        go_on, went_on = worker._go_on, threading.Event()

        def goes_on(recorded: Recorded, held: Collection[Lease]) -> None:
            go_on(recorded, held)
            if isinstance(recorded.report, e.TimerFired):
                went_on.set()

        def late(place: Place, recorded: str | None, head: Head | None = None) -> bool:
            assert place.task is not None
            while not went_on.is_set():  # one that comes while others are recorded is lost
                worker._reports.append(e.TimerFired(f"{place.task.name}.9", 1, worker._me.id))  # of nothing, any more
                worker._slots.came.put(None)
                went_on.wait(0.2)
            return settle(place, recorded, head)

        monkeypatch.setattr(worker, "_go_on", goes_on)
        monkeypatch.setattr(Place, "settle", late)
        run = engine.start("play", Input(name="once"))
        assert engine.wait(run.id, seconds=20).status == "completed"
    assert play.told == ["one", "two"]


def test_what_the_worker_has_recorded_itself_under_the_same_name_is_begun_though_the_other_came_too_late(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(plays.saga(), lease_seconds=60, renew_seconds=20)
    with plays.playing("late") as play, offering(engine) as worker:
        run = engine.start("play", Input(name="late"))
        assert engine.wait(run.id, seconds=20).status == "completed"
        again = worker._places.keep(Pinned(engine.door.pin(next(iter(engine.registry))), "default"))
        assert again is not None
        found = engine.door.read(run.id).run
        own = Task(f"{run.id}.9", "step", "ONE", 1, 1, attempt=1, leased_by=worker._me.id)
        again.task = own
        assert worker._places.awaits(found, own)
        monkeypatch.setattr(worker, "_start", lambda *given, **_: play.told.append(given[1].name))
        assert again.settle(None) is False
        plays.until(lambda: worker._places.kept == 0)
        plays.until(lambda: play.told[-1] == own.name)
