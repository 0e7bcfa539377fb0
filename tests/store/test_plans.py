"""Every statement of T1 and T2 finds its rows by an index where there are many: the databases themselves say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain import events as e
from saga_engine.runtime import ids
from saga_engine.store import claims, findings, inspect
from saga_engine.store import schema as s
from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare
from tests.store.plans import act, check, decide, look, plan, reads_all, reads_an_index, sorts_by_time, watched
from tests.store.world import START, World
from tests.support.servers import Server

pytestmark = pytest.mark.xdist_group("plans")  # one process of the tests makes what all look at

LIVE = 1_500
ENDED = 3_500
"""Runs that are over: their rows must cost a claim nothing."""
FIRST = 1_000_000
"""The first number of a copy: behind those that PostgreSQL gives by itself."""
QUEUE = "crowded"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with many runs: most have ended, the others have an action and timers each, due some time."""
    with ExitStack() as closing:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('crowded')}/saga.db"
        else:
            server: Server = request.getfixturevalue("postgres_server")
            url = closing.enter_context(server.database())
        store = open_store(url)
        closing.callback(store.close)
        prepare(store)
        crowd(World(store, queue=QUEUE))
        yield store


def crowd(world: World) -> None:
    """Many copies of the world's run."""
    world.tell(e.EventReceived("go", "{}", "ann", dedup_key="k"))
    world.reach("GATE")
    effect = {"task": world.run.undo[0].task, "connection": "dw", "run_id": world.run.run_id, "ledger": "uuid"}
    with world.store.write() as db:
        db.execute(sa.insert(s.effects), effect)
    tables = (s.runs, s.tasks, s.results, s.undo, s.effects, s.inbox, s.approvals, s.journal)
    with world.store.read() as db:
        rows = {table: [dict(row) for row in db.execute(sa.select(table)).mappings()] for table in tables}
    names = [ids.new_run_id() for _ in range(LIVE + ENDED)]
    with world.store.write() as db:
        for table in tables:
            copied = names[:LIVE] if table is s.tasks else names
            made = [_copied(row, world.run.run_id, n, run) for n, run in enumerate(copied) for row in rows[table]]
            db.execute(sa.insert(table), made)
        over = {"status": "completed", "rests_in": None, "ended_at": START}
        db.execute(sa.update(s.runs).where(s.runs.c.id.in_(names[LIVE:])).values(**over))
    with world.store.write() as db:
        db.exec_driver_sql("ANALYZE")


def _copied(row: dict[str, Any], of: str, number: int, run: str) -> dict[str, Any]:
    """The same of another run; what is due comes due one second later than that of the run before."""
    copy = {name: value.replace(of, run) if isinstance(value, str) else value for name, value in row.items()}
    if "tag" in copy:
        copy.update(tag=ids.tag_of(run), number=FIRST + number)
    if "run" in copy:
        copy.update(run=FIRST + number)
    if "due_at" in copy:
        copy.update(due_at=START + timedelta(seconds=number), kind="step" if row["kind"] == "gate" else row["kind"])
    return copy


@pytest.mark.parametrize("what", [act, decide, look, check])
def test_no_statement_reads_a_table_from_end_to_end(crowded: Store, what: Callable[[World], None]) -> None:
    world = World(crowded)
    with watched(crowded) as statements:
        what(world)
    assert len(statements) > 8
    slow = {sql: found for sql, values in statements if reads_all(found := plan(crowded, (sql, values)))}
    assert slow == {}


def test_a_plan_that_was_made_while_there_was_nothing_suits_a_full_store(postgres_server: Server) -> None:
    """A session plans a statement once, and a store begins empty: what all plans cost then says nothing."""
    with postgres_server.database() as url, closing(open_store(url)) as store:
        prepare(store)
        world = World(store)
        with watched(store) as statements:
            act(world)
            decide(world)
            look(world)
            check(World(store))
        assert len(statements) > 40
        # The latest runs, and the gates that expire first, are read in their order.
        first = ("ORDER BY saga_runs.id DESC", "outcome IS NULL ORDER BY saga_approvals.expires_at")
        statements = [(sql, values) for sql, values in statements if not any(words in sql for words in first)]
        slow = {sql: found for sql, values in statements if reads_an_index(found := plan(store, (sql, values)))}
    assert slow == {}


@pytest.mark.parametrize(
    ("kind", "index"),
    [("action", "ix_saga_tasks_due"), ("suspect", "ix_saga_tasks_due"), ("timer", "ix_saga_tasks_timers")],
)
def test_a_claim_takes_the_first_rows_of_its_index_and_sorts_nothing(
    crowded: Store, kind: claims.Kind, index: str
) -> None:
    world = World(crowded, queue=QUEUE)
    with watched(crowded) as statements:
        world.claim(kind, limit=5)
    ((sql, values),) = statements
    found = plan(crowded, (sql, values))
    assert index in found
    assert sorts_by_time(found) == []


def test_a_look_takes_the_first_row_of_each_index_and_sorts_nothing(crowded: Store) -> None:
    world = World(crowded, queue=QUEUE)
    with watched(crowded) as statements, crowded.read() as db:
        claims.look(db, world.menu)
    (statement,) = statements
    found = plan(crowded, statement)
    assert [name for name in ("ix_saga_tasks_due", "ix_saga_tasks_timers") if name not in found] == []
    assert sorts_by_time(found) == []


@pytest.mark.parametrize("many", [None, "m"])
@pytest.mark.parametrize("state", [None, "GATE"])
@pytest.mark.parametrize(
    ("by", "index"),
    [({"status": "parked"}, "ix_saga_runs_live"), ({"saga": "everything"}, "ix_saga_runs_saga_created")],
)
def test_a_list_does_not_read_the_newer_runs_that_it_is_not_about(
    crowded: Store, by: dict[str, Any], index: str, state: str | None, many: str | None
) -> None:
    """In PostgreSQL a plan by the primary key seems cheaper, and is, until the runs of a day have come behind them."""
    with watched(crowded) as statements, crowded.read() as db:
        inspect.find(db, inspect.Wanted(state=state, before=many, **by))
    (found,) = [plan(crowded, statement) for statement in statements]
    assert index in found, found
    assert "Sort" not in found
    assert "TEMP B-TREE" not in found


def test_a_keeper_reads_no_more_where_very_many_wait(crowded: Store) -> None:
    """SQLite begins a search for a larger pair at the pair itself, and reads on through all that have it."""
    with watched(crowded) as statements, crowded.write() as db:
        findings.renew(db, START)
    found = [plan(crowded, statement) for statement in statements]
    assert len(found) > 3
    assert [one for one in found if ")>(?" in one or reads_all(one) or "TEMP B-TREE" in one] == []
