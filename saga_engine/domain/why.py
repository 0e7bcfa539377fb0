"""``saga why``: the reasons why a run is where it is, each from rows, with the commands that help."""

from datetime import datetime

from saga_engine.domain.chart import Chart
from saga_engine.domain.snapshot import Parked, Snapshot, Task
from saga_engine.domain.whys import people
from saga_engine.domain.whys.due import due
from saga_engine.domain.whys.held import held
from saga_engine.domain.whys.offers import tried
from saga_engine.domain.whys.parked import parked
from saga_engine.domain.whys.reason import Cause, NextCommand, Offer, Reason, View
from saga_engine.domain.whys.surroundings import Attempt, Hold, Holder, Kept, Loaded, Surroundings, Worker

__all__ = [
    "Attempt",
    "Hold",
    "Holder",
    "Kept",
    "Loaded",
    "NextCommand",
    "Reason",
    "Surroundings",
    "Worker",
    "waiting_on",
    "why",
]

ORDER = (
    "W21", "W24", "W23", "W17", "W16", "W22", "W14", "W25",
    "W09", "W01", "W10", "W19", "W18", "W12", "W05", "W03", "W06", "W02", "W04", "W00",
)  # fmt: skip
"""What a person must act on first, first: faults, then people, then what ends by itself."""

UNRECORDED = "W25"
"""What a worker says itself, while it holds what it cannot record; of an ended run, too, of whose notices it may be."""

LOOKED_UP = ("W01", "W10")
"""Findings of the keeper that a fresh look at the workers outranks."""


def why(chart: Chart | None, run: Snapshot, around: Surroundings) -> list[Reason]:
    """Return why *run* is where it is; what a person must act on first comes first.

    Every live run has a reason; W00 where it is at work and nothing has to be done. An ended run has one only where
    a last notice failed for good (W22), or what came of it cannot be recorded (W25). *chart* is None where the run's
    version is not loaded here: then its states' ways are not named and the commands are replaced by how to load it.
    Each command told is one that the run takes now and that moves it, or helps outside it. Pure, but for guards, which
    are asked.
    """
    view = View(chart, run, around)
    return [_told(view, cause) for cause in _causes(view)]


def waiting_on(chart: Chart | None, run: Snapshot, around: Surroundings) -> str:
    """Return what *run* waits for first, in a few words for a list; empty for a run at rest."""
    return next((cause.brief for cause in _causes(View(chart, run, around))), "")


def _told(view: View, cause: Cause) -> Reason:
    """A driver's message may have several lines; a sentence and a line of evidence have one."""
    evidence = tuple(" ".join(line.split()) for line in cause.evidence)
    return Reason(cause.code, " ".join(cause.sentence.split()), evidence, tried(view, cause.offers))


def _causes(view: View) -> list[Cause]:
    found = parked(view)
    found += _kept(view)
    if not view.run.ended:
        found += [*people.paused(view), *_of_head(view), *_late_timers(view)]
        found = found or [_nothing_open(view)]
    return sorted(found, key=_urgency)


def _urgency(cause: Cause) -> tuple[bool, int]:
    return not cause.parked, ORDER.index(cause.code) if cause.code in ORDER else len(ORDER)


def _of_head(view: View) -> list[Cause]:
    """What the head of the line waits for, where that is not a person who paused or has to mend."""
    match view.run.head():
        case None | Task(parked=Parked()):
            return []
        case Task(leased_by=str()) as head:
            return [held(view, head)]
        case Task(kind="gate") if view.run.gate is not None:
            return [people.approval(view, view.run.gate)]
        case Task(kind="wait") as head:
            return [people.event(view, head)]
        case Task(due_at=datetime() as due_at) as head:
            return [due(view, head, due_at)]
        case _:
            return []


def _late_timers(view: View) -> list[Cause]:
    """The first overdue timer that no worker can take. Where the head waits for one too, its reason says it."""
    head = view.run.head()
    if head is not None and head.due_at is not None and head.leased_by is None:
        return []
    free = [(task, task.due_at) for task in view.run.tasks if task.kind == "timer" and task.leased_by is None]
    late = [due(view, task, due_at) for task, due_at in free if due_at is not None and due_at <= view.now]
    return [cause for cause in late if cause.code != "W00"][:1]


def _nothing_open(view: View) -> Cause:
    text = "the run is live and nothing in it is due, awaited or set aside: that should never be, and nothing moves it"
    line = f"state {view.run.state}, revision {view.run.revision}"
    return Cause(
        "W22", "nothing", text, (line,), (Offer("saga doctor", "lists such runs and checks the store", outside=True),)
    )


def _kept(view: View) -> list[Cause]:
    """What a keeper saw when it looked further; and what a worker said that lives and holds something of the run."""
    holders = [attempt.holder for attempt in view.around.tasks.values() if attempt.holder is not None]
    lives = any(one.ended_at is None and not one.is_gone and view.now < one.lease_until for one in holders)
    fresh = LOOKED_UP if view.around.workers is not None else ()
    over = () if lives else (UNRECORDED,)
    look = Offer("saga doctor", "looks again, at the store and the workers", outside=True)
    looks = {kept.code: () if kept.code == UNRECORDED else (look,) for kept in view.around.findings}
    return [
        Cause(kept.code, kept.evidence, kept.evidence, (f"seen since {view.at(kept.since)}",), looks[kept.code])
        for kept in view.around.findings
        if kept.code not in (*fresh, *over) and (kept.code == UNRECORDED or not view.run.ended)
    ]
