"""What the databases say about how they find the rows of a statement; and a day's statements to ask about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from saga_engine.domain import events as e
from saga_engine.runtime import ids
from saga_engine.store import claims, effects, histories, incarnations, inspect, journal, prune, pruned, runs, tasks
from saga_engine.store.connect import Store
from tests.store.world import START, World

Statement = tuple[str, Any]


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
    """How the database would execute it: PostgreSQL as a session does that has planned it once, for any values."""
    with store.write() as db:
        if store.dialect == "sqlite":
            sql, values = statement
            rows = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
        else:
            places: dict[str, str] = {}
            sql = re.sub(r"%(?:\((\w+)\))?s", lambda name: _place(places, name[1]), statement[0])
            db.exec_driver_sql(f"PREPARE asked AS {sql}")
            rows = db.exec_driver_sql(f"EXPLAIN (VERBOSE) EXECUTE asked{_nulls(len(places))}").all()
            db.exec_driver_sql("DEALLOCATE asked")
    return "\n".join(str(row[-1]) for row in rows).replace(" on public.", " on ")


def _place(places: dict[str, str], name: str | None) -> str:
    return places.setdefault(name or f" {len(places)}", f"${len(places) + 1}")


def _nulls(many: int) -> str:
    return f"({', '.join(['NULL'] * many)})" if many else ""


def reads_all(found: str) -> list[str]:
    """The big tables that a plan reads from one end to the other."""
    big = r"saga_(?:runs|tasks|results|undo|journal|inbox|approvals|effects)"
    return re.findall(rf"Seq Scan on ({big})|SCAN ({big})(?! USING)", found)


def reads_an_index(found: str) -> list[str]:
    """The nodes of a PostgreSQL plan that read an index from one end to the other, or keep a table by heart."""
    nodes = re.split(r"\n\s*->\s*|\n\s*(?=SubPlan|InitPlan|CTE)", found)
    big = r"(Bitmap )?Index (Only )?Scan .*saga_(runs|results|undo|journal|inbox|approvals|effects)"
    whole = [node for node in nodes if re.match(big, node) and "Index Cond" not in node]
    return [*whole, *re.findall(r"hashed SubPlan \d+", found)]


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
        runs.load_row(db, run)
        journal.lines(db, run, 1)
        journal.verify(db, run)
        inspect.row_of(db, run)
        inspect.by_key(db, "orders")
        inspect.latest(db, "everything")
        inspect.by_tag(db, ids.tag_of(run)[:6])
        inspect.by_tag(db, *(digit + ids.tag_of(run)[1:5] for digit in ids.ALPHABET), saga="everything")
        inspect.by_id_prefix(db, run[:12])
        inspect.neighbours(db, ids.tag_of(run))
        inspect.standing(db, run)
        inspect.find(db, inspect.Wanted(limit=20))
        inspect.find(db, inspect.Wanted(saga="everything", limit=20))
        inspect.tasks_of(db, run)
        inspect.open_approvals(db)
        inspect.votes_of(db, [gate.task for gate in inspect.open_approvals(db, run)] or [run])
        runs.load_row(db, run, runs.EventKey("api", "k"))
        inspect.findings_of(db, run)


def check(world: World) -> None:
    """What a check of histories and a prune read and write, page by page."""
    run = world.run.run_id
    with world.store.read() as db:
        page = histories.ids(db, run[:12], 20)
        histories.lines(db, histories.heads(db, page)[page[0]], histories.FIRST, 100)
        histories.strays(db, histories.FIRST, 100)
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


def sorts_by_time(found: str) -> list[str]:
    """Where the plan puts rows in the order of their due times, instead of reading them in it."""
    return re.findall(r"Sort Key: .*due_at.*|TEMP B-TREE FOR ORDER BY", found)
