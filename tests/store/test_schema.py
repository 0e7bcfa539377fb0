"""The schema refuses what must never be: each CHECK bites, whoever writes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from saga_engine.domain.events import EventReceived
from saga_engine.store import definitions
from saga_engine.store import schema as s
from tests.store.world import START, World

WRONG: list[tuple[sa.Table, dict[str, Any]]] = [
    (s.store, {"id": 2}),
    (s.runs, {"status": "sleeping"}),
    (s.runs, {"ended_at": START}),
    (s.runs, {"status": "completed"}),
    (s.runs, {"revision": 0}),
    (s.runs, {"rests_in": None}),
    (s.runs, {"state": None}),
    (s.runs, {"definition": 999_999}),
    (s.tasks, {"kind": "nap"}),
    (s.tasks, {"leased_by": "w", "attempt": 0}),
    (s.tasks, {"leased_by": "w", "attempt": 1, "lost_by": "v"}),
    (s.tasks, {"ending": "soon"}),
    (s.tasks, {"parked_code": "W22"}),
    (s.tasks, {"run_id": "no run"}),
    (s.undo, {"status": "forgotten"}),
    (s.inbox, {"fate": "lost"}),
    (s.approvals, {"outcome": "perhaps"}),
    (s.incarnations, {"ended_at": START}),
    (s.incarnations, {"ended_how": "dead"}),
    (s.incarnations, {"ended_at": START, "ended_how": "bored"}),
]


@pytest.fixture
def full(world: World) -> World:
    """A row in every table that has a CHECK."""
    world.reach("GATE")
    world.tell(EventReceived("go", "{}", "ann", dedup_key="k"))
    with world.store.write() as db:
        definitions.identity(db, START)
    return world


@pytest.mark.parametrize(("table", "values"), WRONG, ids=lambda value: getattr(value, "name", None) or str(value))
def test_what_must_never_be_is_refused(full: World, table: sa.Table, values: dict[str, Any]) -> None:
    with full.store.read() as db:
        before = db.execute(sa.select(table)).all()
    assert before != []
    with pytest.raises(IntegrityError), full.store.write() as db:
        db.execute(sa.update(table).values(**values))
    with full.store.read() as db:
        assert db.execute(sa.select(table)).all() == before


def test_an_event_key_counts_once_for_each_run_and_source(full: World) -> None:
    with full.store.read() as db:
        row = dict(db.execute(sa.select(s.inbox)).mappings().one())
    with full.store.write() as db:
        db.execute(sa.insert(s.inbox), {**row, "number": 98, "source": "other"})
        db.execute(sa.insert(s.inbox), [{**row, "number": number, "dedup_key": None} for number in (96, 97)])
    with pytest.raises(IntegrityError), full.store.write() as db:
        db.execute(sa.insert(s.inbox), {**row, "number": 99})


def test_a_run_key_belongs_to_one_run(world: World) -> None:
    world.start(key="orders")
    with pytest.raises(IntegrityError):
        world.start(key="orders")


def test_one_person_has_one_vote(full: World) -> None:
    gate = full.run.gate
    assert gate is not None
    vote = {"task": gate.task, "actor": "ann", "approved": True, "reason": "", "at": START}
    with full.store.write() as db:
        db.execute(sa.insert(s.votes), vote)
    with pytest.raises(IntegrityError), full.store.write() as db:
        db.execute(sa.insert(s.votes), {**vote, "approved": False})
