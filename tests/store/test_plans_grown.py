"""The same at a million runs: whatever is done all the time is served by its index, on both databases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

import pytest
import sqlalchemy as sa

from saga_engine.domain import events as e
from saga_engine.runtime import ids
from saga_engine.store import claims, findings, inspect
from saga_engine.store import schema as s
from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare
from tests.store.plans import act, check, decide, look, plan, reads_all, sorts_by_time, watched
from tests.store.world import World
from tests.support.copies import copy, copying
from tests.support.servers import Server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3_600)]
RUNS: Final = int(os.environ.get("SAGA_TEST_GROWN", "1000000"))
LIVE: Final = RUNS // 100
"""In equal parts due, waiting for an event, waiting for people, and parked; all others have ended.

Of five times as many PostgreSQL rightly counts by reading all runs.
"""
QUEUE: Final = "grown"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with very many runs, as its own database has statistics of them: SQLite has none."""
    with ExitStack() as closing:
        if request.param == "sqlite":
            folder = tmp_path_factory.mktemp("grown")
            closing.callback(shutil.rmtree, folder)  # pytest would keep gigabytes
            url = f"sqlite:///{folder}/saga.db"
        else:
            server: Server = request.getfixturevalue("postgres_server")
            url = closing.enter_context(server.database())
        store = open_store(url)
        closing.callback(store.close)
        prepare(store)
        worlds = [brought_to(state, store) for state in ("DONE", "SWAP", "GATE", "WAIT", "COPY")]
        with copying(url) as db:
            for world in worlds:
                copy(db, world.run.run_id, RUNS - LIVE if world.run.ended else LIVE // 4)
        yield store


def brought_to(state: str, store: Store) -> World:
    """A run in that state; at its pivot it has failed for good, and a person has to decide."""
    world = World(store, queue=QUEUE)
    if state == "DONE":
        world.tell(e.EventReceived("go", "{}", "ann", dedup_key="k"))
    world.reach(state)
    if state == "DONE":
        effect = {"task": world.run.undo[0].task, "connection": "dw", "run_id": world.run.run_id, "ledger": "uuid"}
        with store.write() as db:
            db.execute(sa.insert(s.effects), effect)
    if state == "SWAP":
        world.tell(world.failure("OperationalError: no room", final=True))
        assert world.run.status == "parked", world.run
    return world


def watch_over(world: World) -> None:
    """What ``saga status`` asks, what lists of live runs ask, and what a keeper looks for."""
    with world.store.read() as db:
        inspect.counts(db)
        inspect.pinned(db)
        inspect.same_error(db, "OperationalError: no room")
        for status in (*inspect.LIVE, None):
            inspect.find(db, inspect.Wanted(status=status, live=True))
    with world.store.write() as db:
        findings.renew(db, world.now, timedelta(hours=1))


@pytest.mark.parametrize("what", [act, decide, look, check, watch_over])
def test_no_statement_reads_a_table_from_end_to_end(grown: Store, what: Callable[[World], None]) -> None:
    with grown.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(s.runs)).scalar_one() >= RUNS
    world = World(grown)
    with watched(grown) as statements:
        what(world)
    assert len(statements) > 5
    slow = {sql: found for sql, values in statements if reads_all(found := plan(grown, (sql, values)))}
    assert slow == {}


@pytest.mark.parametrize(("kind", "index"), [("action", "ix_saga_tasks_due"), ("timer", "ix_saga_tasks_timers")])
def test_a_claim_takes_the_first_rows_of_its_index(grown: Store, kind: claims.Kind, index: str) -> None:
    world = World(grown, queue=QUEUE)
    with watched(grown) as statements:
        world.claim(kind, limit=5)
    plans = [plan(grown, statement) for statement in statements]
    assert [index in found for found in plans] == [True] * len(statements) != []
    assert [sorts_by_time(found) for found in plans] == [[]] * len(statements)


def test_a_run_is_found_by_what_is_typed(grown: Store) -> None:
    run = World(grown, queue=QUEUE).run.run_id
    with watched(grown) as statements, grown.read() as db:
        found = [*inspect.by_tag(db, ids.tag_of(run)[:12]), *inspect.by_id_prefix(db, run)]
    assert [run_id for run_id, *_ in found] == [run, run]
    assert [reads_all(plan(grown, statement)) for statement in statements] == [[], []]
