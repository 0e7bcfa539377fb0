"""T2 by one statement: what it writes is what the long way writes, and nothing of it where the run has moved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from saga_engine.domain import events as e
from saga_engine.domain.frozen import replace
from saga_engine.errors import OutcomeUnknown
from saga_engine.failpoints import Injected, switched_on
from saga_engine.runtime import ids
from saga_engine.store import guard, recording, serverclock
from saga_engine.store.connect import Store, open_store
from saga_engine.store.schema import incarnations, runs, tasks
from tests.store.test_record import MOVES, as_others_see, everything
from tests.store.world import World

pytestmark = pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)  # a file is written in transactions


@pytest.fixture
def at_once(world: World) -> World:
    """A world whose decisions are written by one statement."""
    assert world.store.has_round_trips
    return world


@pytest.fixture
def begun(world: World) -> Iterator[list[str]]:
    """The statements that begin a transaction or end it, or are one."""
    told: list[str] = []

    def listen(_db: object, _cursor: object, sql: str, *_: object) -> None:
        if "clock_timestamp()" not in sql or "guard" in sql:
            told.append(" ".join(sql.split()[:2]))

    event.listen(world.store._writer, "before_cursor_execute", listen)
    yield told
    event.remove(world.store._writer, "before_cursor_execute", listen)


def test_a_decision_on_a_run_that_is_known_is_one_statement(at_once: World, begun: list[str]) -> None:
    entry = at_once.decided(at_once.success())
    begun.clear()
    assert at_once.write(entry) == []
    assert begun == ["WITH guard_heads"]
    assert at_once.stored() == entry.decision.after
    at_once.heads.clear()
    begun.clear()
    at_once.run = entry.decision.after
    at_once.tell(e.PauseRequested("bob"))
    assert begun[0].startswith("SELECT")  # the long way locks first


def test_both_ways_write_the_same(at_once: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one history, each its own way: their rows differ in what is the run's own, and in nothing else."""
    other = World(at_once.store, at_once.chart)
    for state in ("CHECK", "WAIT"):
        at_once.reach(state)
        with monkeypatch.context() as long:
            long.setattr(recording, "AT_ONCE_MAX", 0)
            other.reach(state)
    assert said(at_once) == said(other)
    assert at_once.run.results
    assert at_once.run.undo


def said(world: World) -> list[list[str]]:
    """All rows of the run as text, without its ids and number, hashes and times."""
    with world.store.read() as db:
        number = db.execute(sa.select(runs.c.number).where(runs.c.id == world.run.run_id)).scalar_one()
        found = []
        for table in (runs, tasks, *(t for t in runs.metadata.sorted_tables if "run" in t.c)):
            column = table.c.id if table is runs else table.c.run if "run" in table.c else table.c.run_id
            own = number if column.name == "run" else world.run.run_id
            numbers = {runs.c.number, *([table.c.run] if "run" in table.c else [])}
            kinds = {c: c.type.dialect_impl(db.dialect) for c in table.c if c not in numbers}
            kept = [c for c, kind in kinds.items() if not isinstance(kind, sa.DateTime | sa.LargeBinary)]
            rows = db.execute(sa.select(*kept).where(column == own).order_by(*table.primary_key)).all()
            found += [[str(value) for value in row] for row in rows]
    tag = ids.tag_of(world.run.run_id)
    own = {tag: "TAG", world.run.run_id: "RUN", world.me: "ME", world.queue: "QUEUE"}
    return [[_renamed(value, own) for value in row] for row in found]


def _renamed(text: str, names: dict[str, str]) -> str:
    for name, new in names.items():
        text = text.replace(name, new)
    return text


@pytest.mark.parametrize("moved", MOVES)
def test_nothing_is_written_of_several_where_one_has_moved_and_then_the_others_are(
    at_once: World, begun: list[str], moved: object
) -> None:
    assert callable(moved)
    near = World(at_once.store, at_once.chart)
    near.heads = at_once.heads
    near.tell(near.success())
    late, neighbour = at_once.decided(at_once.success()), near.decided(near.success())
    moved(as_others_see(at_once, at_once.run))
    before = at_once.stored()
    begun.clear()
    assert at_once.write(neighbour, late) == [late]
    assert (begun[0], begun[1].split()[0]) == ("WITH guard_heads", "SELECT")
    assert (at_once.stored(), near.stored()) == (before, neighbour.decision.after)


@pytest.mark.parametrize(
    "change",
    [
        runs.update().values(host="elsewhere"),
        runs.update().values(journal_hash=b"another"),
        runs.update().values(revision=runs.c.revision + 1),
        tasks.update().values(attempt=tasks.c.attempt + 1),
        tasks.update().values(leased_by=None),
        tasks.delete().where(tasks.c.leased_by.is_not(None)),
    ],
    ids=["host", "hash", "revision", "attempt", "holder", "gone"],
)
def test_whatever_differs_nothing_is_written(at_once: World, begun: list[str], change: sa.UpdateBase) -> None:
    entry = at_once.decided(at_once.success())
    with at_once.store.write() as db:
        db.execute(change)
    before = everything(at_once.store)
    begun.clear()
    with switched_on("store.record.locked:1=raise"), pytest.raises(Injected):
        at_once.write(entry)
    assert begun[0] == "WITH guard_heads"
    assert everything(at_once.store) == before


def test_of_two_at_once_one_is_written(at_once: World) -> None:
    """The second waits for the first, and sees what became of the run meanwhile, though it began before."""
    entry = at_once.decided(at_once.success())
    rival = as_others_see(at_once, at_once.run)
    said: list[object] = []
    late = threading.Thread(target=lambda: said.append(rival.write(entry)))
    with at_once.store.write() as db:
        db.execute(sa.select(runs.c.id).where(runs.c.id == entry.run_id).with_for_update())
        late.start()
        until_blocked(at_once.store)
        db.execute(runs.update().where(runs.c.id == entry.run_id).values(revision=runs.c.revision + 1))
    late.join(10)
    assert said == [[entry]]


def until_blocked(store: Store) -> None:
    engine = sa.create_engine(store._writer.url, poolclass=sa.NullPool)
    waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with engine.connect() as db:
        while not db.execute(waiting).scalar_one():
            db.rollback()
    engine.dispose()


def test_what_is_executed_too_late_writes_nothing(at_once: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client has given it up, and has been told that it did not take."""
    entry = at_once.decided(at_once.success())
    before = everything(at_once.store)
    monkeypatch.setattr(guard, "STALE_SECONDS", -1.0)
    with switched_on("store.record.locked:1=raise"), pytest.raises(Injected):
        at_once.write(entry)
    assert everything(at_once.store) == before
    assert at_once.write(entry) == []


def test_the_time_is_not_asked_within_the_statement(
    at_once: World, made_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost answer to that question would be taken for one to what was written."""
    monkeypatch.setattr(serverclock, "PROMPT_SECONDS", 10.0)  # an answer that takes longer is not kept
    fresh, asked = open_store(made_url), []
    event.listen(fresh._writer, "before_cursor_execute", lambda _db, _cursor, sql, *_: asked.append(sql.split()[1]))

    def clock(db: sa.Connection) -> datetime:
        before = len(asked)
        now = fresh.clock(db)
        assert len(asked) == before
        return now

    assert recording.write(fresh, [at_once.decided(at_once.success())], at_once.heads, clock) == []
    fresh.close()
    assert asked == ["clock_timestamp()", "guard_heads"]


def test_what_takes_several_statements_goes_the_long_way(at_once: World) -> None:
    assert at_once.tell(e.PauseRequested("bob", "holidays")).after.paused
    with at_once.store.read() as db:
        assert db.execute(sa.select(runs.c.paused_by)).scalar_one() == "bob"


def test_an_error_of_the_statement_writes_nothing_and_says_so(at_once: World) -> None:
    entry = at_once.decided(at_once.success())
    head = at_once.heads[entry.run_id]
    before = everything(at_once.store)
    at_once.heads[entry.run_id] = replace(head, number=head.number + 1_000)  # no run has it
    with pytest.raises(sa.exc.IntegrityError):
        at_once.write(entry)
    assert everything(at_once.store) == before


def test_the_end_of_the_session_leaves_the_outcome_unknown(at_once: World) -> None:
    entry = at_once.decided(at_once.success())
    killer = sa.create_engine(at_once.store._writer.url, poolclass=sa.NullPool)
    mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "

    def ends(_point: str) -> None:
        with killer.begin() as db:
            db.execute(sa.text(mine + "current_database() AND application_name LIKE 'saga_engine%'"))

    before = everything(at_once.store)
    with pytest.raises(OutcomeUnknown), switched_on(lambda name: ends(name) if name.endswith("before_write") else None):
        at_once.write(entry)
    killer.dispose()
    assert everything(at_once.store) == before
    assert at_once.write(entry) == []


def test_an_incarnation_that_has_ended_is_fenced_like_any_other(at_once: World) -> None:
    entry = at_once.decided(at_once.success())
    at_once.end("expired")
    with at_once.store.read() as db:
        assert db.execute(sa.select(incarnations.c.id).where(incarnations.c.ended_at.is_not(None))).all()
    assert at_once.write(entry) == [entry]


def test_a_vote_and_an_event_that_is_kept_are_one_statement_each(at_once: World, begun: list[str]) -> None:
    assert at_once.tell(e.EventReceived("go", "{}", "ann", "shell", "the key")).after.inbox
    assert begun[-1] == "WITH guard_heads"
    at_once.reach("GATE")
    gate = at_once.run.gate
    assert gate is not None
    begun.clear()
    at_once.tell(e.VerdictGiven(True, gate.digest, "ann", ("dba",)))
    assert begun == ["WITH guard_heads"]
    assert at_once.stored() == at_once.run
