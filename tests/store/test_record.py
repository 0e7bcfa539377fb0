"""T2: a run that moved is left out and the others commit; the fence is revision, attempt and incarnation together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain import events as e
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot
from saga_engine.failpoints import Injected, switched_on
from saga_engine.store import record as room
from saga_engine.store import recording
from saga_engine.store.connect import Store, open_store
from saga_engine.store.entry import Entry
from saga_engine.store.schema import approvals, inbox, journal, metadata, results, runs, tasks, undo, votes
from tests.store.world import World


def whole(store: Store, *tables: sa.Table) -> dict[str, list[Any]]:
    """Every row of the tables."""
    with store.read() as db:
        return {t.name: [tuple(r) for r in db.execute(sa.select(t).order_by(*t.primary_key))] for t in tables}


def everything(store: Store) -> dict[str, list[Any]]:
    return whole(store, *metadata.sorted_tables)


def as_others_see(world: World, run: Snapshot) -> World:
    """The same run in the same store, in other hands."""
    other = object.__new__(World)
    other.__dict__.update(world.__dict__, heads={**world.heads})
    other.run = run
    return other


def by_event(other: World) -> None:
    other.tell(e.PauseRequested("bob"))


def by_claim(other: World) -> None:
    """Another worker takes the task over: the attempt rises, the revision does not."""
    other.end("expired")
    assert len(other.claim("suspect")) == 1


def by_freeing(other: World) -> None:
    """The holder was ended, and nobody has taken over yet."""
    other.end("expired")


def by_timer(other: World) -> None:
    """Somebody holds a timer of the run, which this decision would close as if nobody did."""
    other.now += timedelta(hours=5)
    assert len(other.claim("timer")) >= 1


MOVES = [by_event, by_claim, by_freeing, by_timer]


@pytest.mark.parametrize("moved", MOVES)
def test_a_report_on_a_moved_run_writes_nothing_and_its_neighbours_commit(
    world: World, moved: Callable[[World], None]
) -> None:
    late = world.decided(world.success())
    first, last = World(world.store, world.chart), World(world.store, world.chart)
    neighbours = [first.decided(first.success()), last.decided(last.success())]
    moved(as_others_see(world, world.run))
    before = world.stored()
    assert world.write(neighbours[0], late, neighbours[1]) == [late]
    assert world.stored() == before
    assert [first.stored(), last.stored()] == [entry.decision.after for entry in neighbours]


def test_a_worker_that_was_stopped_past_its_lease_reports_in_vain(world: World) -> None:
    """The protocol's case: no decision came between, so the revision is the same, and the attempt is another's."""
    late = world.decided(world.success())
    other = as_others_see(world, world.run)
    by_claim(other)
    assert other.stored().revision == late.before.revision
    before = everything(world.store)
    assert world.write(late) == [late]
    assert everything(world.store) == before
    assert other.tell(other.success()).after.state == "CHECK"


def test_a_fence_of_the_revision_alone_is_caught_by_the_test_above(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: it must make that test fail, or that test proves nothing."""

    def revision_alone(before: Snapshot, locked: room.Locked | None) -> bool:
        return locked is not None and locked.head.revision == before.revision

    monkeypatch.setattr(room, "_unmoved", revision_alone)
    monkeypatch.setattr(recording, "AT_ONCE_MAX", 0)
    with pytest.raises(AssertionError, match=r"== \[Entry"):
        test_a_worker_that_was_stopped_past_its_lease_reports_in_vain(world)


def test_the_same_report_twice_counts_once(world: World) -> None:
    entry = world.decided(world.success())
    assert world.write(entry) == []
    after = everything(world.store)
    assert world.write(entry) == [entry]
    assert everything(world.store) == after


def test_two_decisions_on_one_run_do_not_fit_into_one_batch(world: World) -> None:
    one, two = world.decided(world.success()), world.decided(world.failure())
    with pytest.raises(AssertionError, match="exclude each other"):
        world.write(one, two)


def test_a_live_run_without_an_open_task_is_never_written(world: World) -> None:
    entry = world.decided(world.success())
    forgotten = replace(entry.decision, after=replace(entry.decision.after, tasks=()))
    before = everything(world.store)
    with pytest.raises(AssertionError, match="live without an open task"):
        world.write(replace(entry, decision=forgotten))
    assert everything(world.store) == before


def test_the_next_task_can_be_recorded_already_leased(world: World) -> None:
    world.tell(world.success(), lease_on=True)
    assert [(t.kind, t.attempt, t.leased_by) for t in world.stored().tasks if t.kind == "leaving"] == [
        ("leaving", 1, world.me)
    ]
    with world.store.read() as db:
        leased_at = db.execute(sa.select(tasks.c.leased_at).where(tasks.c.leased_by.is_not(None))).scalars().all()
    assert leased_at == [world.now]
    assert world.claim() == []


def test_an_error_at_any_statement_leaves_nothing_of_the_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "AT_ONCE_MAX", 0)
    twin, entry = World(world.store, world.chart), world.decided(world.success())
    like_it = twin.decided(twin.success())
    points: list[str] = []
    with switched_on(points.append):
        twin.write(like_it)
    ours = [name for name in points if name.startswith("store.record.")]
    written = ["journal", "run_changes", "tasks_gone", "tasks", "results", "undo"]
    # PostgreSQL gets one statement.
    written = written if world.store.dialect == "sqlite" else ["journal"]
    assert ours == [f"store.record.{name}" for name in ("locked", "before_write", *written)]
    before = everything(world.store)
    for point in ours:
        with switched_on(f"{point}:1=raise"), pytest.raises(Injected):
            world.write(entry)
        assert everything(world.store) == before
    assert world.write(entry) == []


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_runs_are_locked_in_the_order_of_their_ids(made: Store, made_url: str) -> None:
    """Whoever waits for the first run of a batch holds none of the later ones: so no two batches wait in a circle."""
    worlds = sorted((World(made) for _ in range(3)), key=lambda world: world.run.run_id)
    batch = [world.decided(world.success()) for world in reversed(worlds)]
    first, *later = [world.run.run_id for world in worlds]
    lock = sa.text("SELECT id FROM saga_runs WHERE id = :id FOR UPDATE NOWAIT")
    others = sa.create_engine(made_url, poolclass=sa.NullPool)
    recorder = threading.Thread(target=worlds[0].write, args=batch)
    with others.begin() as holder:
        holder.execute(lock, {"id": first})
        recorder.start()
        _until_one_waits(others)
        with others.begin() as other:
            assert [other.execute(lock, {"id": run}).scalar_one() for run in later] == later
    recorder.join(10)
    assert [world.stored() for world in reversed(worlds)] == [entry.decision.after for entry in batch]


def _until_one_waits(database: sa.Engine) -> None:
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(500):
        with database.connect() as db:
            if db.execute(waiting).scalar_one():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def test_batches_that_share_runs_never_deadlock_and_each_decision_is_written_once(made: Store, made_url: str) -> None:
    """Eight threads, four runs, every batch in another order: each decision on a snapshot is recorded by one alone."""
    worlds = [World(made) for _ in range(4)]
    entries = [world.decided(world.success()) for world in worlds]
    stores = [open_store(made_url) for _ in range(8)]
    refused: list[int] = []

    def batch(number: int) -> None:
        order: Sequence[Entry] = entries[number % 4 :] + entries[: number % 4]
        with stores[number].write() as db:
            refused.append(len(room.record(db, order if number % 2 else order[::-1], worlds[0].now)))

    threads = [threading.Thread(target=batch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for store in stores:
        store.close()
    assert sorted(refused) == [0, 4, 4, 4, 4, 4, 4, 4]
    assert [world.stored() for world in worlds] == [entry.decision.after for entry in entries]
    rows = whole(made, runs, journal)
    assert [(number, revision) for number, revision, *_ in rows["saga_journal"]] == [
        (number, revision) for number, *_ in rows["saga_runs"] for revision in (1, 2)
    ]


def test_a_step_has_one_row_on_the_stack_and_none_while_it_is_open(world: World) -> None:
    (first,) = world.run.undo
    assert (first.status, whole(world.store, undo)["saga_undo"]) == ("started", [])
    assert world.stored() == world.run
    world.tell(world.success())
    # Its task is gone; that of the next step tells for itself.
    ((run, position, state, visit, suffix, revision, status),) = whole(world.store, undo)["saga_undo"]
    assert (position, state, visit, world.run.run_id + suffix, revision) == (1, first.state, 1, first.task, 1)
    assert (status, world.stored()) == ("done", world.run)
    with world.store.read() as db:
        assert run == db.execute(sa.select(runs.c.number).where(runs.c.id == world.run.run_id)).scalar_one()


def test_a_row_that_an_older_engine_wrote_for_an_open_step_becomes_that_of_its_end(world: World) -> None:
    (first,) = world.run.undo
    number = sa.select(runs.c.number).where(runs.c.id == world.run.run_id).scalar_subquery()
    row = {"position": 1, "state": first.state, "visit": 1, "suffix": ".1", "revision": 1, "status": "started"}
    with world.store.write() as db:
        db.execute(sa.insert(undo).values(run=number, **row))
    assert world.stored() == world.run
    world.tell(world.success())
    assert [(row[1], row[-1]) for row in whole(world.store, undo)["saga_undo"]] == [(1, "done")]
    assert world.stored() == world.run


def test_a_row_of_another_step_at_its_place_is_never_written_over(world: World) -> None:
    number = sa.select(runs.c.number).where(runs.c.id == world.run.run_id).scalar_subquery()
    row = {"position": 1, "state": "OTHER", "visit": 1, "suffix": ".7", "revision": 7, "status": "done"}
    with world.store.write() as db:
        db.execute(sa.insert(undo).values(run=number, **row))
    entry = world.decided(world.success())
    before = everything(world.store)
    with pytest.raises(sa.exc.IntegrityError):
        world.write(entry)
    assert everything(world.store) == before


def test_a_pause_forgets_neither_crashes_nor_who_may_still_be_running(world: World) -> None:
    world.reach("CALL")
    world.at_hand()
    world.end("expired")
    world.tell(e.PauseRequested("ann", "lunch"))
    world.tell(e.ResumeRequested("ann"))
    assert world.stored() == world.run
    assert [(task.lost_by, task.lost_dead) for task in world.run.tasks if task.kind == "step"] == [
        ("db-1 pid 4711", False)
    ]
    assert [claimed.crashes for claimed in world.claim("suspect")] == [1]


def test_a_report_makes_a_task_unsuspicious_again(world: World) -> None:
    world.at_hand()
    world.end("dead")
    assert [claimed.crashes for claimed in world.claim("suspect")] == [1]
    world.tell(world.failure())
    world.now += timedelta(seconds=5)
    assert (world.claim("suspect"), [claimed.crashes for claimed in world.claim("action")]) == ([], [0])


def test_that_a_worker_was_lost_does_not_make_the_task_unsuspicious(world: World) -> None:
    task = world.at_hand()
    world.end("dead")
    world.claim("suspect")
    world.tell(e.PauseRequested("ann"))
    world.tell(e.AttemptLost(task.name, 2, world.me, 1, True, "db-1 pid 4711"))
    world.tell(e.ResumeRequested("ann"))
    assert [claimed.crashes for claimed in world.claim("suspect")] == [1]


def test_who_paused_is_kept_while_the_run_is_paused(world: World) -> None:
    def paused() -> tuple[object, ...]:
        with world.store.read() as db:
            query = sa.select(runs.c.paused, runs.c.paused_by, runs.c.paused_reason)
            return tuple(db.execute(query.where(runs.c.id == world.run.run_id)).one())

    world.tell(e.PauseRequested("ann", "lunch"))
    assert paused() == (True, "ann", "lunch")
    world.tell(e.ResumeRequested("bob"))
    assert paused() == (False, None, None)


def test_whatever_a_run_has_is_read_again_as_it_was_decided(world: World) -> None:
    """An event that waits and one that nobody wants, two votes at a gate that a second role may answer, the undo."""

    def tell(event: e.Event) -> None:
        world.tell(event)
        assert world.stored() == world.run

    tell(e.EventReceived("go", '{"text":"early"}', "ann", dedup_key="1"))
    while world.run.gate is None:
        tell(world.success())
    tell(e.EventReceived("hurry", "{}", "ann", dedup_key="2"))
    digest = world.run.gate.digest
    tell(e.VerdictGiven(True, digest, "ann", ("dba",), "looks right"))
    world.now += timedelta(hours=4)
    [timer] = world.claim("timer")
    tell(e.TimerFired(timer.name, timer.attempt, world.me))
    tell(e.VerdictGiven(True, digest, "eve", ("lead",)))
    assert world.run.state == "CALL"
    tell(e.CancelRequested("ann"))
    while not world.run.ended:
        tell(world.success())
    assert (world.run.status, world.run.state) == ("cancelled", "UNDONE")
    with world.store.read() as db:
        events = db.execute(sa.select(inbox.c.name, inbox.c.dedup_key, inbox.c.fate).order_by(inbox.c.number)).all()
        gates = db.execute(sa.select(approvals.c.roles, approvals.c.outcome)).all()
        answers = db.execute(sa.select(votes.c.actor, votes.c.approved, votes.c.reason).order_by(votes.c.actor)).all()
        undone = db.execute(sa.select(results.c.source).where(results.c.undone)).scalars().all()
    assert [tuple(row) for row in events] == [("go", "1", "taken"), ("hurry", "2", "ignored")]
    assert [tuple(row) for row in gates] == [('["dba","lead"]', "approved")]
    assert [tuple(row) for row in answers] == [("ann", True, "looks right"), ("eve", True, "")]
    assert sorted(undone) == ["check", "copy"]
