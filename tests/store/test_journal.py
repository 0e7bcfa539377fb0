"""The story of a run: without a gap, and no line of it can be changed unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from saga_engine.domain.events import EventReceived, PauseRequested
from saga_engine.domain.frozen import replace
from saga_engine.store import journal
from saga_engine.store.connect import Store
from saga_engine.store.entry import beginning, line_hash
from saga_engine.store.journal import Line
from saga_engine.store.schema import journal as table
from saga_engine.store.schema import number_of, runs
from tests.store.world import World

Tamper = Callable[[sa.Connection, World], object]


@pytest.fixture
def told(world: World) -> World:
    """A run with a story of six lines."""
    world.reach("WAIT")
    world.tell(EventReceived("hurry", "{}", "ann"))
    world.tell(PauseRequested("ann", "lunch"))
    assert world.run.revision == 6
    return world


def verify(world: World) -> int | None:
    with world.store.read() as db:
        return journal.verify(db, world.run.run_id)


def line(world: World, revision: int) -> Line:
    with world.store.read() as db:
        return journal.lines(db, world.run.run_id, revision - 1, 1)[0]


def changed(number: int, **fields: object) -> Tamper:
    return lambda db, world: db.execute(
        sa.update(table).where(table.c.run == number_of(world.run.run_id), table.c.revision == number).values(**fields)
    )


def deleted(revision: int) -> Tamper:
    return lambda db, world: db.execute(
        sa.delete(table).where(table.c.run == number_of(world.run.run_id), table.c.revision == revision)
    )


def swapped(db: sa.Connection, world: World) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        changed(old, revision=new)(db, world)


def rehashed(db: sa.Connection, world: World) -> None:
    """Somebody who knows how: another reason in the last line, with its hash made anew, but the run's row forgotten."""
    last, before = line_in(db, world, 6), line_in(db, world, 5)
    event = last.event.replace("lunch", "dinner")
    assert event != last.event
    changed(6, event=event, hash=line_hash(before.hash, 6, last.at, event, last.commands))(db, world)


def line_in(db: sa.Connection, world: World, revision: int) -> Line:
    return journal.lines(db, world.run.run_id, revision - 1, 1)[0]


def appended(db: sa.Connection, world: World) -> None:
    last = line_in(db, world, 6)
    more = line_hash(last.hash, 7, last.at, last.event, last.commands)
    row = {"revision": 7, "at": last.at, "event": last.event, "commands": last.commands, "hash": more}
    db.execute(sa.insert(table).values(run=number_of(world.run.run_id), **row))


def test_a_story_that_nobody_touched_is_whole(told: World) -> None:
    assert verify(told) is None
    with told.store.read() as db:
        lines = journal.lines(db, told.run.run_id)
        assert [found.revision for found in lines] == [1, 2, 3, 4, 5, 6]
        assert journal.lines(db, told.run.run_id, after=2, limit=3) == lines[2:5]
    previous = beginning(told.run.run_id)
    for found in lines:
        assert found.hash == line_hash(previous, found.revision, found.at, found.event, found.commands)
        previous = found.hash


@pytest.mark.parametrize(
    ("tamper", "revision"),
    [
        pytest.param(changed(3, event='{"kind":"RunStarted"}'), 3, id="another event"),
        pytest.param(changed(1, commands="[]"), 1, id="other commands"),
        pytest.param(changed(6, hash=b"x" * 32), 6, id="another hash"),
        pytest.param(deleted(1), 1, id="no first line"),
        pytest.param(deleted(4), 4, id="a line is missing"),
        pytest.param(deleted(6), 6, id="cut off at the end"),
        pytest.param(swapped, 3, id="two lines have changed places"),
        pytest.param(rehashed, 6, id="a line with its own hash made anew"),
        pytest.param(appended, 7, id="a line too many"),
    ],
)
def test_every_change_of_the_story_is_found(told: World, tamper: Tamper, revision: int) -> None:
    with told.store.write() as db:
        tamper(db, told)
    assert verify(told) == revision


def test_another_time_is_found(told: World) -> None:
    at = line(told, 2).at + timedelta(microseconds=1)
    with told.store.write() as db:
        changed(2, at=at)(db, told)
    assert verify(told) == 2


def test_a_story_that_is_gone_as_a_whole_is_found(told: World) -> None:
    with told.store.write() as db:
        db.execute(sa.delete(table).where(table.c.run == number_of(told.run.run_id)))
    assert verify(told) == 1


def test_another_length_in_the_row_of_the_run_is_found(told: World) -> None:
    with told.store.write() as db:
        db.execute(sa.update(runs).where(runs.c.id == told.run.run_id).values(revision=9))
    assert verify(told) == 7


def test_a_long_story_is_read_page_by_page(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(made)
    world.reach("WAIT")
    read = journal.lines
    monkeypatch.setattr(journal, "lines", lambda db, run, after: read(db, run, after, 2))
    assert verify(world) is None


def test_a_decision_in_doubt_is_found_if_it_was_committed(world: World) -> None:
    entry = world.decided(world.success())
    with world.store.write() as db:
        assert journal.holds(db, entry, world.now) is False
    world.write(entry)
    with world.store.write() as db:
        assert journal.holds(db, entry, world.now) is True
        assert journal.holds(db, entry, world.now + timedelta(microseconds=1)) is False
        assert journal.holds(db, replace(entry, event=PauseRequested("ann")), world.now) is False
