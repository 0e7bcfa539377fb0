"""From a seed to what became of it: faults first, then calm; then everything is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from saga_engine.domain import events as e
from saga_engine.domain.definition.functions import named
from saga_engine.domain.snapshot import Snapshot
from saga_engine.ledger.evidence import Books
from saga_engine.store import journal
from saga_engine.testing.check import Expected, Story, Violation, check, ledgers, stories
from saga_engine.testing.check import World as Checked
from tests.simulation import databases, sagas
from tests.simulation.people import People
from tests.simulation.platform import installed
from tests.simulation.world import World

REST: Final = "the run comes to rest"
ONCE: Final = "a manual step begins once"
FENCED: Final = "reports are fenced"
HELD_ONCE: Final = "a task is held by one"
TURNS_MAX: Final = 40
CALM_TURNS_MAX: Final = 400
BESIDE: Final = 6
"""Of eight seeds in a row, the one whose run is started in the process of a worker."""
WISHES_MAX: Final = 25


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed. *journal*: every byte of it."""

    seed: int
    saga: str
    status: str
    journal: bytes
    violations: list[Violation]
    told: str
    """Everything that a person would look at."""


def simulate(seed: int) -> Outcome:
    """Live through one seed."""
    world = World(seed)
    with installed(world):
        if seed % 8 == BESIDE:
            world.settles()
        run = world.start()
        people = People(world, run)
        _storm(world, people)
        rest = _calm(world, people, run)
        return _outcome(world, seed, run, rest)


def _storm(world: World, people: People) -> None:
    world.calm = False
    world.visits, world.objects = people.visit, people.object
    for _ in range(TURNS_MAX):
        world.goes_on()
        if world.at_rest() and world.dice.random() < 0.5:
            break
    world.calm, world.visits = True, lambda: False


def _calm(world: World, people: People, run: str) -> list[Violation]:
    """No more faults: the run ends, or waits for nobody, within a bounded number of turns."""
    for process in world.workers():
        assert (process.busy, process.stopped) == (set(), 0)
    wishes = 0
    for _ in range(CALM_TURNS_MAX):
        if world.goes_on():
            continue
        if world.at_rest():
            return []
        found = world.look(run)
        if _in_hand(world, found):
            _passes(world, found)
            continue
        wishes += 1
        if wishes > WISHES_MAX or not people.settle():
            break
    if world.at_rest():
        return []
    found = world.look(run)
    return [Violation(REST, run, f"it is {found.status} in {found.state}: {found.tasks}")]


def _in_hand(world: World, run: Snapshot) -> bool:
    """A worker has something to do, now or after a while that is worth waiting for."""
    for task in run.tasks:
        if task.leased_by is not None:
            return True
        if task.due_at is not None and task.kind != "timer":
            return True
    return False


def _passes(world: World, run: Snapshot) -> None:
    """Time goes by until the head of the line is due."""
    due = [task.due_at for task in run.tasks if task.due_at and task.leased_by is None and task.kind != "timer"]
    if due:
        world.leaps(max(0.0, (min(due) - world.now).total_seconds()))


def _outcome(world: World, seed: int, run: str, rest: list[Violation]) -> Outcome:
    found = stories(world.store, sagas.REGISTRY, [run])
    books = ledgers({databases.TARGET: world.target}, databases.STORE)
    rows = [*databases.booked(world.target), *((key, "called") for key, there in world.callee.done.items() if there)]
    violations = check(
        Checked(found, books, world.told, business={run: rows}, model=_model, budget=world.door.budget, quiet=True)
    )
    story = found[run].evidence
    lines = b"\n".join(
        b"%d %s %s %s" % (x.revision, x.event.encode(), x.commands.encode(), x.hash) for x in story.lines
    )
    wrong = [*violations, *rest, *_at_most_once(world, found[run])]
    wrong += [Violation(HELD_ONCE, run, text) for text in world.audit.held_twice]
    wrong += [Violation(FENCED, run, text) for text in world.audit.unfenced]
    return Outcome(seed, story.run.saga, story.run.status, lines, wrong, _told(world, found[run]))


def _model(story: Story, _books: Mapping[str, Books]) -> Expected:
    """The rows that a run must have: those of the steps that are done, and none of those that are undone."""
    expected, run = Expected(), story.evidence.run
    with_result = {(x.state, x.visit) for x in run.results if not x.undone and not x.source.startswith("event:")}
    for entry in run.undo:
        work = named(story.chart.run_of(entry.state).work)
        if work == "check":
            continue
        rows = [(entry.task, part) for part in sagas.PARTS.get(work, ("called",))]
        stands = entry.status == "done" or (entry.status == "sealed" and (entry.state, entry.visit) in with_result)
        if stands:
            expected.must.update(rows)
        elif entry.status in ("started", "skipped", "sealed"):
            expected.may.update(rows)
    return expected


def _at_most_once(world: World, story: Story) -> list[Violation]:
    """A manual step is begun once, unless a person has it begun again."""
    events = [line.told()[0] for line in story.evidence.lines]
    again = sum(isinstance(x, e.RetryRequested) or (isinstance(x, e.Resolved) and not x.done) for x in events)
    return [
        Violation(ONCE, story.evidence.run.run_id, f"{entry.task} was begun {count} times")
        for entry in story.evidence.run.undo
        if story.chart.run_of(entry.state).promise == "manual" and (count := world.callee.calls[entry.task]) > 1 + again
    ]


def _told(world: World, story: Story) -> str:
    run = story.evidence.run
    lines = [f"{x.revision:3} {x.at:%H:%M:%S.%f} {x.event}\n      → {x.commands}" for x in story.evidence.lines]
    told = [f"{one.request} → {one.answer}" for one in world.told]
    return "\n".join([f"{run.saga} is {run.status} in {run.state}; {world.faults}", *lines, *told, repr(run.tasks)])


__all__ = ["Outcome", "journal", "simulate"]
