"""What a holder does with its task's row: all of it is fenced by attempt and incarnation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain.events import AttemptTimedOut
from saga_engine.failpoints import switched_on
from saga_engine.store import effects, tasks
from saga_engine.store.connect import Store
from saga_engine.store.effects import Kept, Touch
from saga_engine.store.schema import tasks as table
from saga_engine.store.tasks import Lease
from tests.store.world import World


def row(world: World, name: str) -> dict[str, Any]:
    with world.store.read() as db:
        return dict(db.execute(sa.select(table).where(table.c.name == name)).mappings().one())


def claimed(world: World) -> Lease:
    (found,) = world.claim()
    return found.name, found.attempt


def test_a_task_handed_back_is_due_as_before_and_nothing_is_counted(world: World) -> None:
    before = row(world, world.run.tasks[0].name)
    lease = claimed(world)
    world.now += timedelta(seconds=9)
    with world.store.write() as db:
        tasks.release(db, world.me, [lease], world.now)
    assert row(world, lease[0]) == {**before, "attempt": 1}


def test_handing_back_nothing_asks_the_database_nothing(world: World) -> None:
    lease = claimed(world)
    before = row(world, lease[0])
    seen: list[str] = []
    with world.store.write() as db, switched_on(seen.append):
        tasks.release(db, world.me, [], world.now)
        tasks.release_running(db, world.me, [], world.now, "db-1 pid 4711")
    assert "store.release.before_write" not in seen
    assert row(world, lease[0]) == before


def test_handing_back_keeps_who_lost_the_task_before(world: World) -> None:
    """Nobody has asked about that yet: a manual step handed back here would run twice."""
    claimed(world)
    world.end("expired")
    (suspect,) = world.claim("suspect")
    with world.store.write() as db:
        tasks.release(db, world.me, [(suspect.name, suspect.attempt)], world.now)
        tasks.release_rest(db, world.me, world.now)
    found = row(world, suspect.name)
    assert (found["lost_by"], found["lost_dead"], found["crashes"]) == ("db-1 pid 4711", False, 1)


def test_an_attempt_that_does_not_end_is_handed_back_with_the_name_of_its_runner(world: World) -> None:
    lease = claimed(world)
    with world.store.write() as db:
        tasks.release_running(db, world.me, [lease], world.now, "db-1 pid 4711")
    found = row(world, lease[0])
    assert (found["leased_by"], found["lost_by"], found["lost_dead"], found["crashes"]) == (
        None,
        "db-1 pid 4711",
        False,
        0,
    )


def test_an_attempt_that_died_with_its_own_process_leaves_the_task_as_the_death_of_a_worker_does(world: World) -> None:
    lease = claimed(world)
    world.now += timedelta(seconds=9)
    with world.store.write() as db:
        tasks.release_crashed(db, world.me, lease, world.now, "db-1 pid 4711: its process ended by signal 9")
    (suspect,) = world.claim("suspect")
    found = row(world, suspect.name)
    assert (suspect.attempt, suspect.crashes, found["lost_by"], found["lost_dead"]) == (
        2,
        1,
        "db-1 pid 4711: its process ended by signal 9",
        True,
    )


def test_an_attempt_that_counts_no_more_is_no_crash_of_the_task(world: World) -> None:
    name, attempt = claimed(world)
    before = row(world, name)
    with world.store.write() as db:
        tasks.release_crashed(db, world.me, (name, attempt + 1), world.now, "db-1 pid 4711")
        tasks.release_crashed(db, "somebody", (name, attempt), world.now, "db-1 pid 4711")
    assert row(world, name) == before


def test_the_rest_is_handed_back_and_what_others_hold_is_not(world: World) -> None:
    mine = claimed(world)
    other = World(world.store, world.chart)
    theirs = claimed(other)
    with world.store.write() as db:
        tasks.release_rest(db, world.me, world.now)
    assert (row(world, mine[0])["leased_by"], row(world, theirs[0])["leased_by"]) == (None, other.me)


@pytest.mark.parametrize("wrong", ["attempt", "incarnation", "task"])
def test_who_does_not_hold_the_attempt_changes_nothing(world: World, wrong: str) -> None:
    name, attempt = claimed(world)
    lease = {"attempt": (name, attempt + 1), "task": (f"{name}.9", attempt)}.get(wrong, (name, attempt))
    me = "somebody else" if wrong == "incarnation" else world.me
    before = row(world, name)
    touch = Touch(world.run.run_id, name, "dw", "ledger-1")
    with world.store.write() as db:
        tasks.release(db, me, [lease], world.now)
        tasks.release_running(db, me, [lease], world.now, "db-1 pid 1")
        assert tasks.note(db, me, lease, world.now, progress="{}") is False
        assert tasks.still_held(db, me, lease) is False
        assert effects.touch(db, touch, me, lease) is None
    assert row(world, name) == before
    with world.store.read() as db:
        assert effects.touched(db, name) == {}


def test_hints_are_kept_over_attempts_and_clear_the_crashes(world: World) -> None:
    claimed(world)
    world.end("dead")
    (suspect,) = world.claim("suspect")
    lease = suspect.name, suspect.attempt
    world.now += timedelta(seconds=3)
    with world.store.write() as db:
        assert tasks.note(db, world.me, lease, world.now, checkpoint='{"n":1}')
        assert tasks.note(db, world.me, lease, world.now, progress='{"done":1}')
        assert tasks.note(db, world.me, lease, world.now)
    found = row(world, lease[0])
    assert (found["checkpoint"], found["progress"], found["heard_at"], found["crashes"]) == (
        '{"n":1}',
        '{"done":1}',
        world.now,
        0,
    )
    world.tell(world.failure())
    with world.store.read() as db:
        assert tasks.checkpoint_of(db, lease[0]) == '{"n":1}'
        assert tasks.checkpoint_of(db, "no such task") is None


def test_held_tells_what_is_leased_and_what_is_asked_to_end(world: World) -> None:
    lease = claimed(world)
    with world.store.read() as db:
        assert tasks.held(db, world.me) == {lease: False}
    world.reach("CHECK")
    check = world.at_hand()
    world.tell(AttemptTimedOut(check.name, check.attempt, world.me, "over its timeout"))
    with world.store.read() as db:
        assert tasks.held(db, world.me) == {(check.name, check.attempt): True}
        assert tasks.held(db, "somebody else") == {}


def test_a_run_keeps_the_first_ledger_that_it_saw_behind_a_connection(world: World, made: Store) -> None:
    lease = claimed(world)
    run = world.run.run_id
    with made.write() as db:
        kept = [
            effects.touch(db, Touch(run, task, connection, ledger), world.me, lease)
            for task, connection, ledger in (
                (lease[0], "dw", "ledger-1"),
                (lease[0], "dw", "ledger-2"),
                (lease[0], "shop", "ledger-3"),
                ("another task", "dw", "ledger-2"),
            )
        ]
    assert kept == [
        Kept("ledger-1", frozenset()),
        Kept("ledger-1", frozenset({lease[0]})),
        Kept("ledger-3", frozenset()),
        Kept("ledger-1", frozenset({lease[0]})),
    ]
    with made.read() as db:
        assert effects.touched(db, lease[0]) == {"dw": "ledger-1", "shop": "ledger-3"}
        assert effects.touched(db, "another task") == {"dw": "ledger-1"}
