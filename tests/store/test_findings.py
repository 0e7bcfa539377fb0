"""Findings: due tasks that nobody serves are named, as long as that is so, by however many keepers look."""

from __future__ import annotations

import threading
from datetime import timedelta

import sqlalchemy as sa

from saga_engine.domain.events import AttemptLost
from saga_engine.store import findings, incarnations, inspect
from saga_engine.store.connect import Store, open_store
from saga_engine.store.schema import findings as table
from saga_engine.store.schema import incarnations as lives
from saga_engine.store.schema import tasks
from tests.store.world import World
from tests.support.copies import copy, copying


def found(world: World) -> list[tuple[str, str]]:
    with world.store.write() as db:
        findings.renew(db, world.now)
    with world.store.read() as db:
        return [(row.code, row.evidence) for row in inspect.findings_of(db, world.run.run_id)]


def change(world: World, **fields: object) -> None:
    with world.store.write() as db:
        db.execute(sa.update(lives).where(lives.c.id == world.me).values(**fields))


def test_a_served_run_has_none(world: World) -> None:
    assert found(world) == []


def test_a_queue_without_a_worker_is_named_until_one_comes(world: World) -> None:
    with world.store.write() as db:
        incarnations.end(db, world.me, world.now, "released")
    assert found(world) == [("W01", f"no live worker serves the queue {world.queue}")]
    world.begin()
    assert found(world) == []


def test_a_version_that_nobody_has_loaded_is_named(world: World) -> None:
    change(world, loaded='{"everything v2": 999}')
    assert found(world) == [("W10", "no live worker has this version of the saga loaded")]


def test_a_version_that_only_a_worker_of_another_queue_has_loaded_is_named(world: World) -> None:
    change(world, loaded='{"everything v2": 999}')
    world.me = world.begin()
    change(world, queues='["another"]')
    assert found(world) == [("W10", "no live worker has this version of the saga loaded")]


def test_a_run_whose_host_has_no_worker_is_named(world: World) -> None:
    with world.store.write() as db:
        db.execute(sa.update(tasks).where(tasks.c.run_id == world.run.run_id).values(host="gone"))
    assert found(world) == [("W01", "the run's files are on gone, and no live worker is there")]
    change(world, host="gone")
    assert found(world) == []


def test_what_nobody_serves_is_named_though_more_is_due_than_is_looked_at(world: World, made_url: str) -> None:
    """The others came due later: theirs is a thousand times the same queue and version."""
    alone = world.run.run_id
    world.now += timedelta(seconds=1)
    later = world.start().run_id
    with copying(made_url) as db:
        copy(db, later, findings.KEPT_MAX)
    with world.store.write() as db:
        db.execute(sa.update(tasks).where(tasks.c.run_id == alone).values(host="gone"))
    assert found(world) == [("W01", "the run's files are on gone, and no live worker is there")]
    with world.store.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 1


def test_what_is_not_due_or_held_by_a_worker_is_no_finding(world: World) -> None:
    world.claim()
    change(world, queues='["another"]')
    assert found(world) == []


def test_a_finding_keeps_the_time_of_its_first_sight(world: World) -> None:
    change(world, queues='["another"]')
    first = world.now
    found(world)
    world.now += timedelta(minutes=1)
    found(world)
    with world.store.read() as db:
        assert list(db.execute(sa.select(table.c.since)).scalars()) == [first]


def test_keepers_that_look_at_once_do_not_stumble_over_each_other(made: Store, made_url: str) -> None:
    worlds = [World(made) for _ in range(5)]
    for world in worlds:
        change(world, queues='["another"]')
    stores = [open_store(made_url) for _ in range(4)]
    together, done = threading.Barrier(4), []

    def look(store: Store) -> None:
        for _ in range(10):
            together.wait(10)
            with store.write() as db:
                findings.renew(db, worlds[0].now)
            together.wait(10)
            if store is stores[0]:
                with store.write() as db:
                    db.execute(sa.delete(table))
        done.append(store)

    threads = [threading.Thread(target=look, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        store.close()
    assert len(done) == 4
    assert {code for world in worlds for code, _ in found(world)} == {"W01"}


def test_what_a_worker_says_of_an_attempt_stays_as_long_as_it_is_held(world: World) -> None:
    """Each round of every keeper replaces what the keepers found, and nothing else."""

    def say() -> None:
        world.now += timedelta(seconds=1)
        with world.store.write() as db:
            findings.say_unrecorded(db, world.run.run_id, "it cannot be recorded", world.now)

    assert world.claim()
    say()
    say()
    assert found(world) == [("W25", "it cannot be recorded")]
    with world.store.write() as db:
        findings.forget_unrecorded(db, world.run.run_id)
    assert found(world) == []
    say()
    world.end("dead")
    assert found(world) == []
    assert world.claim("suspect")
    say()
    assert found(world) == [("W25", "it cannot be recorded")]
    world.tell(AttemptLost(world.run.tasks[0].name, 2, world.me, 1, known_dead=True, runner="it"), lease_on=True)
    world.tell(world.success(), lease_on=True)
    assert world.me in [task.leased_by for task in world.run.tasks], "the next task is held, since later"
    assert found(world) == []
