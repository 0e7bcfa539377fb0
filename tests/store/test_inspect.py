"""What people look runs up by, and what they are shown of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from saga_engine.domain.events import CancelRequested, EventReceived
from saga_engine.runtime import ids
from saga_engine.store import inspect
from saga_engine.store.connect import open_store
from saga_engine.store.inspect import Wanted
from saga_engine.store.prepare import prepare
from saga_engine.store.runs import EventKey, load_row
from saga_engine.store.schema import runs
from tests.store.world import START, World
from tests.support.servers import Server


@pytest.fixture
def english_url(postgres_server: Server) -> Iterator[str]:
    """A PostgreSQL database that sorts as English dictionaries do: "~" comes before digits there."""
    name = f"saga_test_{int(time.time())}_{secrets.token_hex(4)}"
    try:
        postgres_server._run(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' ENCODING 'UTF8'"
        )
    except DBAPIError as error:
        pytest.skip(f"this PostgreSQL cannot sort by a language: {error.orig}")
    yield postgres_server.url.set(database=name).render_as_string(hide_password=False)
    postgres_server._drop(name)


def by_what_is_typed(world: World) -> list[list[str]]:
    run, tag = world.run.run_id, ids.tag_of(world.run.run_id)
    with world.store.read() as db:
        return [
            [found for found, _, _ in inspect.by_tag(db, tag[:8])],
            [found for found, _, _ in inspect.by_tag(db, tag)],
            [found for found, _, _ in inspect.by_id_prefix(db, run[:30])],
            [found for found, _, _ in inspect.by_id_prefix(db, run)],
        ]


def test_a_run_is_found_by_any_part_that_a_person_may_type(world: World) -> None:
    World(world.store, world.chart)
    assert by_what_is_typed(world) == [[world.run.run_id]] * 4


def test_it_is_found_whatever_language_the_database_was_set_up_for(english_url: str) -> None:
    store = open_store(english_url)
    prepare(store)
    world = World(store)
    assert by_what_is_typed(world) == [[world.run.run_id]] * 4
    store.close()


def test_what_fits_nothing_finds_nothing(world: World) -> None:
    with world.store.read() as db:
        assert inspect.by_tag(db, "zzzzzz") == inspect.by_tag(db, "zzzzzz", "yyyyyy") == []
        assert inspect.by_tag(db, ids.tag_of(world.run.run_id), saga="another") == []
        assert inspect.by_id_prefix(db, "ffff") == []
        assert (inspect.row_of(db, "none"), inspect.by_key(db, "none"), inspect.latest(db, "none")) == (
            None,
            None,
            None,
        )


@pytest.mark.parametrize("of", [{}, {"saga": "everything"}, {"status": "running"}, {"live": True}])
def test_a_list_is_read_page_by_page_the_newest_first(world: World, of: dict[str, Any]) -> None:
    started = [world.run.run_id, *(world.start().run_id for _ in range(4))]
    pages: list[list[str]] = []
    before = None
    while len(pages) < 4:
        with world.store.read() as db:
            page = [row.id for row in inspect.find(db, Wanted(limit=2, before=before, **of))]
        pages.append(page)
        before = page[-1] if page else before
    newest_first = sorted(started, reverse=True)
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:], []]


def test_a_list_shows_what_was_asked_for(world: World) -> None:
    other = World(world.store, world.chart)
    other.tell(CancelRequested("ann"))
    with world.store.write() as db:
        db.execute(sa.update(runs).where(runs.c.id == other.run.run_id).values(created_at=START + timedelta(days=1)))

    def ids_of(**wanted: object) -> set[str]:
        with world.store.read() as db:
            return {row.id for row in inspect.find(db, Wanted(**wanted))}  # type: ignore[arg-type]  # fields of Wanted

    mine, theirs = world.run.run_id, other.run.run_id
    assert ids_of(state="COPY") == {mine}
    assert ids_of(saga="everything") == {mine, theirs}
    assert ids_of(saga="another") == set()
    assert ids_of(status="cancelled") == ({theirs} if other.run.status == "cancelled" else set())
    assert ids_of(live=True) | ids_of(live=False) == {mine, theirs}
    assert ids_of(status="running") == ids_of(status="running", live=True) == ids_of(live=True) != set()
    assert (ids_of(status="running", live=False), ids_of(status="parked")) == (set(), set())
    assert ids_of(since=START + timedelta(hours=1)) == {theirs}


def test_live_runs_are_counted_by_state_and_status(world: World) -> None:
    waiting = World(world.store, world.chart)
    waiting.reach("WAIT")
    with world.store.read() as db:
        assert inspect.counts(db) == {
            ("everything", "COPY", "running"): 1,
            ("everything", "WAIT", "waiting"): 1,
        }
        assert inspect.latest(db, "everything") == waiting.run.run_id


def test_gates_are_listed_with_the_answers_so_far(world: World) -> None:
    with world.store.read() as db:
        assert inspect.open_approvals(db) == []
    world.reach("GATE")
    assert world.run.gate is not None
    with world.store.read() as db:
        (gate,) = inspect.open_approvals(db)
        assert inspect.votes_of(db, [gate.task]) == {}
        assert [found.task for found in inspect.open_approvals(db, world.run.run_id)] == [gate.task]
        assert inspect.open_approvals(db, "0" * 32) == []
    assert (gate.run_id, gate.state, gate.have, gate.need, gate.digest, gate.saga) == (
        world.run.run_id,
        "GATE",
        0,
        2,
        world.run.gate.digest,
        "everything",
    )


def test_an_event_key_is_known_for_its_run_and_source(world: World) -> None:
    world.tell(EventReceived("go", "{}", "ann", dedup_key="k"))
    run = world.run.run_id
    with world.store.read() as db:
        keys = (None, EventKey("api", "k"), EventKey("cli", "k"), EventKey("api", "l"))
        read = [load_row(db, run, key) for key in keys]
    assert [row and row.arrived for row in read] == [False, True, False, False]


def test_runs_that_failed_with_the_same_words_are_counted(world: World) -> None:
    others = [World(world.store, world.chart) for _ in range(3)]
    for each in (world, *others):
        each.tell(each.failure("OperationalError: no room"))
    world.tell(CancelRequested("ann"))
    with world.store.read() as db:
        assert inspect.same_error(db, "OperationalError: no room") == 3
        assert inspect.same_error(db, "OperationalError: no room", limit=2) == 2
        assert inspect.same_error(db, "another") == 0


def test_the_database_says_itself_how_durable_it_is(world: World) -> None:
    with world.store.read() as db:
        found = inspect.durability(db)
    if world.store.dialect == "postgresql":
        assert sorted(found) == ["fsync", "full_page_writes", "server_version", "synchronous_commit"]
    else:
        assert (found["synchronous"], found["foreign_keys"]) == ("2", "1")
