"""T1: a task has one holder at a time, the oldest goes first, and what a dead worker held comes free by itself."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from saga_engine.domain.snapshot import Task
from saga_engine.store import claims, incarnations
from saga_engine.store.claims import Due, Menu
from saga_engine.store.connect import Store, open_store
from saga_engine.store.schema import tasks
from tests.store import sagas
from tests.store.world import World

TASKS = 60
CLAIMER = """
import sys
from datetime import datetime
from saga_engine.store import claims
from saga_engine.store.connect import open_store, retrying
url, me, queue, definition, now = sys.argv[1:]
store = open_store(url)
print("ready", flush=True)
sys.stdin.readline()
menu = claims.Menu((queue,), (int(definition),))
while found := retrying(store, lambda db: claims.claim(db, me, menu, "action", 3, datetime.fromisoformat(now))):
    print(*[claimed.name for claimed in found], flush=True)
"""


def heads(world: World, count: int) -> list[str]:
    """So many more runs in the world's queue; the names of all first tasks."""
    runs = [world.run, *(world.start() for _ in range(count - 1))]
    return [task.name for run in runs for task in run.tasks if task.kind == "step"]


def set_due(world: World, name: str, **fields: object) -> None:
    with world.store.write() as db:
        db.execute(sa.update(tasks).where(tasks.c.name == name).values(**fields))


def step(world: World) -> Task:
    return next(task for task in world.stored().tasks if task.kind == "step")


def crashes(world: World) -> int:
    with world.store.read() as db:
        found = db.execute(sa.select(tasks.c.crashes).where(tasks.c.run_id == world.run.run_id, tasks.c.kind == "step"))
        return int(found.scalar_one())


def test_eight_threads_never_lease_the_same_task(made: Store, made_url: str) -> None:
    world = World(made)
    wanted = heads(world, TASKS)
    stores = [open_store(made_url) for _ in range(8)]
    workers = [world.begin() for _ in stores]
    found: list[str] = []

    def work(store: Store, me: str) -> None:
        while True:
            with store.write() as db:
                claimed = claims.claim(db, me, world.menu, "action", 3, world.now)
            if not claimed:
                return
            found.extend(task.name for task in claimed)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(stores, workers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        store.close()
    assert Counter(found) == Counter(wanted)


def test_four_processes_never_lease_the_same_task(made: Store, made_url: str) -> None:
    world = World(made)
    wanted = heads(world, TASKS)
    arguments = [world.queue, str(world.definition), world.now.isoformat()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, made_url, world.begin(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert Counter(" ".join(said).split()) == Counter(wanted)


def test_the_oldest_due_goes_first_and_no_more_than_the_limit(world: World) -> None:
    names = heads(world, 5)
    order = [names[i] for i in (3, 0, 4, 1, 2)]
    for age, name in enumerate(reversed(order)):
        set_due(world, name, due_at=world.now - timedelta(seconds=age))
    assert [[claimed.name for claimed in world.claim(limit=2)] for _ in range(4)] == [
        order[:2],
        order[2:4],
        order[4:],
        [],
    ]


def test_what_is_not_due_yet_is_left(world: World) -> None:
    set_due(world, step(world).name, due_at=world.now + timedelta(seconds=1))
    assert world.claim() == []
    world.now += timedelta(seconds=1)
    assert [claimed.attempt for claimed in world.claim()] == [1]


def test_only_tasks_of_the_served_queues_and_of_the_loaded_definitions_are_taken(world: World) -> None:
    served, loaded = world.menu.queues, world.menu.loaded
    for menu in (Menu(("other",), loaded), Menu((), loaded), Menu(served, ()), Menu(served, (loaded[0] + 1,))):
        world.menu = menu
        assert world.claim() == []
        with world.store.read() as db:
            assert claims.look(db, menu) == Due()
    world.menu = Menu(("other", *served), (*loaded, loaded[0] + 1))
    assert [claimed.name for claimed in world.claim()] == [step(world).name]


def test_several_queues_are_asked_in_turn(world: World) -> None:
    other = World(world.store, world.chart)
    world.menu = Menu((other.queue, world.queue), world.menu.loaded)
    assert [claimed.run_id for claimed in world.claim()] == [other.run.run_id, world.run.run_id]


def test_a_lease_raises_the_attempt_and_says_who_and_when(world: World) -> None:
    world.claim()
    task = step(world)
    with world.store.read() as db:
        leased_at = db.execute(sa.select(tasks.c.leased_at).where(tasks.c.name == task.name)).scalar_one()
    assert (task.attempt, task.leased_by, leased_at) == (1, world.me, world.now)
    world.end("released")
    world.claim()
    assert (step(world).attempt, step(world).leased_by) == (2, world.me)


def test_an_incarnation_that_has_ended_gets_nothing(world: World) -> None:
    gone = world.me
    world.end("expired")
    assert world.claim(by=gone) == []
    assert len(world.claim()) == 1


def test_timers_are_claimed_apart_from_actions(world: World) -> None:
    world.now += timedelta(hours=10)
    assert [claimed.kind for claimed in world.claim("timer")] == ["timer", "timer"]
    assert [claimed.kind for claimed in world.claim("action")] == ["step"]


def test_a_look_tells_when_the_next_of_each_kind_is_due(world: World) -> None:
    started, [saga] = world.now, world.menu.loaded
    timers = {saga: started + timedelta(hours=5)}
    with world.store.read() as db:
        assert claims.look(db, world.menu) == Due({saga: started}, timers)
    world.claim()
    with world.store.read() as db:
        assert claims.look(db, world.menu) == Due({}, timers)
    world.end("dead")
    with world.store.read() as db:
        assert claims.look(db, world.menu) == Due({saga: started}, timers, {saga: 1})
    assert asked(world) == (True, False)


def test_a_saga_with_one_task_never_waits_for_one_with_many(world: World) -> None:
    busy = heads(world, 6)
    quiet = World(world.store, sagas.chart(version=2), queue=world.queue)
    (only,) = [task.name for task in quiet.run.tasks if task.kind == "step"]
    set_due(world, only, due_at=world.now + timedelta(seconds=1))
    world.now += timedelta(seconds=1)
    world.menu = Menu((world.queue,), (world.definition, quiet.definition))
    first, second = world.claim(limit=2)
    assert (first.name in busy, second.name) == (True, only)
    # What the quiet one leaves of its share goes to the busy one, up to the limit.
    rest = [[claimed.name for claimed in world.claim(limit=limit)] for limit in (3, 9)]
    assert [len(names) for names in rest] == [3, 2]
    assert {first.name, *rest[0], *rest[1]} == {*busy}


def test_of_several_sagas_the_first_of_the_menu_gets_the_only_slot(world: World) -> None:
    other = World(world.store, sagas.chart(version=2), queue=world.queue)
    world.menu = Menu((world.queue,), (other.definition, world.definition))
    assert [claimed.run_id for claimed in world.claim(limit=1)] == [other.run.run_id]
    assert [claimed.run_id for claimed in world.claim(limit=1)] == [world.run.run_id]


def test_a_task_that_a_worker_died_with_is_claimed_only_as_a_suspect(world: World) -> None:
    world.claim()
    world.end("dead")
    assert world.claim("action") == []
    assert [claimed.crashes for claimed in world.claim("suspect")] == [1]


def asked(world: World) -> tuple[bool, bool]:
    """Whether the first has to run alone, and whether there is one that need not, though a worker has died with it."""
    with world.store.read() as db:
        found = claims.look(db, world.menu)
    return found.alone(world.menu), found.recovers(world.menu)


def test_one_that_gets_a_process_of_its_own_is_claimed_with_the_others_until_a_second_crash(world: World) -> None:
    world.claim()
    world.end("dead")
    world.menu = replace(world.menu, apart=frozenset(world.menu.loaded))
    assert asked(world) == (False, True)
    assert world.claim("suspect") == []
    assert [claimed.crashes for claimed in world.claim("action")] == [1]
    world.end("dead")
    assert asked(world) == (True, False)
    assert world.claim("action") == []
    assert [claimed.crashes for claimed in world.claim("suspect")] == [2]


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_claim_waits_for_nobody(world: World, made_url: str) -> None:
    first, second = heads(world, 2)
    others = sa.create_engine(made_url, poolclass=sa.NullPool)
    with others.begin() as db:
        db.execute(sa.select(tasks.c.name).where(tasks.c.name == first).with_for_update())
        db.execute(sa.text("LOCK TABLE saga_runs IN SHARE ROW EXCLUSIVE MODE"))
        assert [claimed.name for claimed in world.claim()] == [second]
    assert [claimed.name for claimed in world.claim()] == [first]


@pytest.mark.parametrize(
    ("how", "counted", "lost_by", "dead"),
    [("released", 0, None, False), ("expired", 1, "db-1 pid 4711", False), ("dead", 1, "db-1 pid 4711", True)],
)
def test_what_an_ended_incarnation_held_comes_free(
    world: World, how: str, counted: int, lost_by: str | None, dead: bool
) -> None:
    due_at = step(world).due_at
    world.claim()
    world.end(how)
    task = step(world)
    assert (task.leased_by, task.due_at, task.attempt, crashes(world)) == (None, due_at, 1, counted)
    assert (task.lost_by, task.lost_dead) == (lost_by, dead)
    assert world.stored() == world.run


def test_crashes_add_up(world: World) -> None:
    world.claim()
    for _ in range(3):
        world.end("dead")
        world.claim("suspect")
    assert crashes(world) == 3


def test_who_may_still_be_running_is_not_forgotten_when_another_dies(world: World) -> None:
    """Worker one is silent, worker two takes over and is killed before it asked: worker one may still be at it."""
    world.claim()
    world.end("expired")
    world.claim("suspect")
    world.end("dead")
    assert (step(world).lost_by, step(world).lost_dead) == ("db-1 pid 4711", False)
    assert world.stored() == world.run


def test_who_is_known_dead_gives_way_to_who_may_still_be_running(world: World) -> None:
    world.claim()
    world.end("dead")
    world.claim("suspect")
    world.end("expired")
    assert (step(world).lost_by, step(world).lost_dead) == ("db-1 pid 4711", False)


def test_tasks_come_free_in_bounded_portions_and_only_those_of_the_ended(world: World) -> None:
    names = heads(world, 5)
    world.claim(limit=3)
    living = world.begin()
    assert len(world.claim(by=living)) == 2
    with world.store.write() as db:
        incarnations.end(db, world.me, world.now, "expired")
    freed = []
    for _ in range(3):
        with world.store.read() as db:
            waiting = claims.orphans(db)
        with world.store.write() as db:
            freed.append((waiting, claims.free_ended(db, world.now, 2)))
    assert freed == [(True, 2), (True, 1), (False, 0)]
    with world.store.read() as db:
        holders = Counter(db.execute(sa.select(tasks.c.leased_by).where(tasks.c.name.in_(names))).scalars())
    assert holders == {None: 3, living: 2}


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_freeing_leaves_a_task_that_a_decision_has_locked(world: World, made_url: str) -> None:
    world.claim()
    with world.store.write() as db:
        incarnations.end(db, world.me, world.now, "expired")
    others = sa.create_engine(made_url, poolclass=sa.NullPool)
    with others.begin() as db:
        db.execute(sa.select(tasks.c.name).where(tasks.c.name == step(world).name).with_for_update())
        with world.store.write() as ours:
            assert claims.free_ended(ours, world.now, 10) == 0
    with world.store.write() as ours:
        assert claims.free_ended(ours, world.now, 10) == 1
