"""Every statement of T1 and T2 finds its rows by an index where there are many: the databases themselves say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.domain import events as e
from saga_engine.runtime import ids
from saga_engine.store import claims, effects, histories, incarnations, inspect, journal, prune, pruned, runs, tasks
from saga_engine.store import schema as s
from saga_engine.store.connect import Store, open_store
from saga_engine.store.prepare import prepare
from tests.store.world import START, World
from tests.support.servers import Server

pytestmark = pytest.mark.xdist_group("plans")  # one process of the tests makes what all look at

LIVE = 1_500
ENDED = 3_500
"""Runs that are over: their rows must cost a claim nothing."""
QUEUE = "crowded"

Statement = tuple[str, Any]


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
            db.execute(sa.insert(table), [_copied(row, n, run) for n, run in enumerate(copied) for row in rows[table]])
        over = {"status": "completed", "ended_at": START}
        db.execute(sa.update(s.runs).where(s.runs.c.id.in_(names[LIVE:])).values(**over))
    with world.store.write() as db:
        db.exec_driver_sql("ANALYZE")


def _copied(row: dict[str, Any], number: int, run: str) -> dict[str, Any]:
    """The same of another run; what is due comes due one second later than that of the run before."""
    of = row.get("run_id") or row["id"]
    copy = {name: value.replace(of, run) if isinstance(value, str) else value for name, value in row.items()}
    if "tag" in copy:
        copy.update(tag=ids.tag_of(run))
    if "due_at" in copy:
        copy.update(due_at=START + timedelta(seconds=number), kind="step" if row["kind"] == "gate" else row["kind"])
    return copy


@contextmanager
def watched(store: Store) -> Iterator[list[Statement]]:
    """The statements that the store executes in the block."""
    seen: dict[str, Any] = {}

    def watch(_db: object, _cursor: object, sql: str, parameters: Any, _context: object, many: bool) -> None:
        if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", sql) and "saga_" in sql:
            seen.setdefault(sql, parameters[0] if many else parameters)

    found: list[Statement] = []
    for engine in (store._reader, store._writer):
        sa.event.listen(engine, "before_cursor_execute", watch)
    try:
        yield found
    finally:
        for engine in (store._reader, store._writer):
            sa.event.remove(engine, "before_cursor_execute", watch)
        found += seen.items()


def plan(store: Store, statement: Statement) -> str:
    sql, parameters = statement
    how = "EXPLAIN" if store.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
    with store.write() as db:
        rows = db.exec_driver_sql(f"{how} {sql}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


def reads_all(found: str) -> list[str]:
    """The big tables that a plan reads from one end to the other."""
    big = r"saga_(?:runs|tasks|results|undo|journal|inbox|approvals|effects)"
    return re.findall(rf"Seq Scan on ({big})|SCAN ({big})(?! USING)", found)


def act(world: World) -> None:
    """Everything a worker does to the store in its daily round."""
    with world.store.read() as db:
        claims.look(db, world.menu)
        claims.orphans(db)
        tasks.held(db, world.me)
        incarnations.living(db)
        tasks.checkpoint_of(db, world.run.tasks[0].name)
    claimed = world.claim()[0]
    world.claim("timer")
    world.claim("suspect")
    lease = claimed.name, claimed.attempt
    with world.store.write() as db:
        tasks.note(db, world.me, lease, world.now, progress="{}")
        effects.touch(db, effects.Touch(claimed.run_id, claimed.name, "dw", "ledger"), world.me, lease)
        incarnations.renew(db, world.me, 1, world.now, timedelta(seconds=15))
        tasks.release(db, world.me, [lease], world.now)
        tasks.release_rest(db, world.me, world.now)
    world.end("dead")


def decide(world: World) -> None:
    """Decisions that touch every table."""
    world.claim("suspect")
    world.reach("WAIT")
    world.tell(e.EventReceived("go", "{}", "ann", dedup_key="k"))
    world.reach("GATE")
    world.tell(e.EventReceived("go", "{}", "ann", dedup_key="l"))
    world.tell(e.PauseRequested("ann"))
    world.tell(e.ResumeRequested("ann"))
    world.tell(e.CancelRequested("ann"))
    world.reach("BACK")
    world.reach("UNDONE")


def look(world: World) -> None:
    """What people look at."""
    run = world.run.run_id
    with world.store.read() as db:
        runs.load(db, [run])
        journal.lines(db, run, 1)
        journal.verify(db, run)
        inspect.row_of(db, run)
        inspect.by_key(db, "orders")
        inspect.latest(db, "everything")
        inspect.by_tag(db, ids.tag_of(run)[:6])
        inspect.by_id_prefix(db, run[:12])
        inspect.neighbours(db, ids.tag_of(run))
        inspect.find(db, inspect.Wanted(limit=20))
        inspect.find(db, inspect.Wanted(saga="everything", limit=20))
        inspect.tasks_of(db, run)
        inspect.open_approvals(db)
        inspect.event_known(db, run, "api", "k")
        inspect.findings_of(db, run)


def check(world: World) -> None:
    """What a check of histories and a prune read and write, page by page."""
    run = world.run.run_id
    with world.store.read() as db:
        page = histories.ids(db, run[:12], 20)
        histories.heads(db, page)
        histories.lines(db, (run, histories.FIRST), run, 100)
        histories.lines(db, (run[:12], histories.FIRST), None, 100)
        pruned.page(db, 0, 100)
        pruned.of(db, page)
        pruned.by_key(db, "orders")
        prune.page(db, prune.Wanted(START, ("completed",)), run[:12], 100)
        prune.touched(db, [run])
    world.tell(e.CancelRequested("ann"))
    world.reach("UNDONE")
    with world.store.write() as db:
        prune.prune_piece(db, run, 2, world.now)
        assert prune.prune(db, [run], world.now) == 1


@pytest.mark.parametrize("what", [act, decide, look, check])
def test_no_statement_reads_a_table_from_end_to_end(crowded: Store, what: Callable[[World], None]) -> None:
    world = World(crowded)
    with watched(crowded) as statements:
        what(world)
    assert len(statements) > 8
    slow = {sql: found for sql, values in statements if reads_all(found := plan(crowded, (sql, values)))}
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


def sorts_by_time(found: str) -> list[str]:
    """Where the plan puts rows in the order of their due times, instead of reading them in it."""
    return re.findall(r"Sort Key: .*due_at.*|TEMP B-TREE FOR ORDER BY", found)
