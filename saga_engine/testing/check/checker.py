"""The checker of the protocol: one pure function from everything that is stored to every promise that was broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from saga_engine.testing.check import (
    rules_causes,
    rules_effects,
    rules_events,
    rules_journal,
    rules_moves,
    rules_open,
    rules_people,
    rules_reports,
    rules_undo,
)
from saga_engine.testing.check.history import History, Unreadable, replayed
from saga_engine.testing.check.world import Story, Told, Violation, World

Rule: TypeAlias = Callable[[History, World], Iterator[str]]

UNREADABLE: Final = "the journal can be replayed"
WHOLE: Final = "the journal is whole"
ACKNOWLEDGED: Final = "what was acknowledged is kept"

RULES: Final[Mapping[str, Rule]] = {
    "the journal explains what is stored": lambda h, _: rules_journal.explains(h),
    "names are used once": lambda h, _: rules_journal.names(h),
    "moves are ways of the definition": lambda h, _: rules_moves.ways(h),
    "moves have their cause": lambda h, _: rules_causes.moves(h),
    "budgets hold": lambda h, _: rules_moves.budgets(h),
    "tasks are queued in order": lambda h, _: rules_moves.line(h),
    "what has ended stays": lambda h, _: rules_moves.over(h),
    "undos are the reverse of the starts": lambda h, _: rules_undo.order(h),
    "a rollback goes as far back as was asked": lambda h, _: rules_undo.stops(h),
    "undo entries change once": lambda h, _: rules_undo.entries(h),
    "undo entries have their cause": lambda h, _: rules_causes.undos(h),
    "nothing goes back past a pivot": lambda h, _: rules_undo.pivots(h),
    "what was rolled back is undone": lambda h, _: rules_undo.ends(h),
    "results are of what stands": lambda h, _: rules_undo.results(h),
    "work is done in turn": lambda h, _: rules_undo.turns_of_line(h),
    "reports are fenced": lambda h, _: rules_reports.fenced(h),
    "nothing happens before it is due": lambda h, world: rules_reports.in_time(h) if world.steady else iter(()),
    "failures are counted": lambda h, _: rules_reports.retries(h),
    "crashes are counted": lambda h, _: rules_reports.crashes(h),
    "a pause holds": lambda h, _: rules_reports.pauses(h),
    "events are consumed once": lambda h, _: rules_events.consumed(h),
    "the inbox tells the same": lambda h, _: rules_events.rows(h),
    "an event key counts once": lambda h, _: rules_events.keys(h),
    "verdicts are right": lambda h, _: rules_people.verdicts(h),
    "gates close as they were voted": lambda h, _: rules_people.outcomes(h),
    "gates are stored as voted": lambda h, _: rules_people.gates(h),
    "a live run waits for something": lambda h, _: rules_open.waits(h),
    "only the head of the line is due": lambda h, _: rules_open.line(h),
    "what stands beside the line belongs there": lambda h, _: rules_open.beside(h),
    "an ended run waits for nothing": lambda h, _: rules_open.ended(h),
    "tasks are held by the living": lambda h, world: rules_open.held(h, quiet=world.quiet),
    "touched targets are known": lambda h, world: rules_effects.touched(h, world.ledgers),
    "effects once, or undone": rules_effects.entries,
    "no write by an older attempt": lambda h, world: rules_effects.tokens(h, world.ledgers),
    "business rows are the model's": rules_effects.business,
}
"""Every rule about one run, by the promise that it watches."""


def check(world: World) -> list[Violation]:
    """Every promise that *world* shows to be broken; an empty list where none is.

    Pure: it reads no clock, no database, no file, and the same world gives the same list.
    """
    found = []
    told: dict[str, list[Told]] = {}
    for one in world.told:
        told.setdefault(one.run, []).append(one)
    for run, story in world.stories.items():
        found += [Violation(rule, run, text) for rule, text in _of_run(story, told.pop(run, []), world)]
    for run, log in told.items():  # runs of which a client knows and the store does not
        found += [Violation(ACKNOWLEDGED, run, text) for text in rules_events.acknowledged(None, log)]
    return found


def _of_run(story: Story, told: list[Told], world: World) -> Iterator[tuple[str, str]]:
    for text in rules_journal.whole(story.evidence):
        yield WHOLE, text
    try:
        history = replayed(story.evidence, story.chart, world.budget)
    except Unreadable as unreadable:
        yield UNREADABLE, str(unreadable)
        return
    for rule, ask in RULES.items():
        for text in ask(history, world):
            yield rule, text
    for text in rules_events.acknowledged(history, told):
        yield ACKNOWLEDGED, text
