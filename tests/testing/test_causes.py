"""Whatever the engine decides, in whatever order things happen, has a cause that the checker knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.domain.chart import BUDGET, Chart
from saga_engine.domain.evolve import evolve, settled
from saga_engine.testing.check import rules_causes
from saga_engine.testing.check.history import History, Turn, first
from tests.domain.worlds import FIXED, Move, World, charts, moves

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING: Any = None
"""These rules look at no row: the journal alone tells."""


def told(world: World) -> History:
    """The history as its lines tell it: without leases, which no line has."""
    run, turns = first(world.run), []
    for number, (event, _, decision) in enumerate(world.journal, start=1):
        steps, after = [], run
        for command in decision.commands:
            steps.append((command, after))
            after = evolve(after, command)
        after = settled(after)
        turns.append(Turn(number, MOMENT, event, decision.commands, run, after, tuple(steps)))
        run = after
    return History(NOTHING, world.chart, BUDGET, tuple(turns))


@settings(max_examples=250)
@given(chart=st.sampled_from(FIXED) | charts(), happenings=moves(60))
def test_no_order_of_events_leads_to_what_has_no_cause(chart: Chart, happenings: list[Move]) -> None:
    world = World(chart)
    for happens, number in happenings:
        happens(world, number)
    history = told(world)
    assert [*rules_causes.moves(history), *rules_causes.undos(history)] == []
