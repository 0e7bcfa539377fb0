"""A reason as it is found and as it is told, and the view of a run that all reasons are found in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from saga_engine.domain.chart import Chart
from saga_engine.domain.events import Request
from saga_engine.domain.lengths import clock, spaced
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.domain.whys.surroundings import Attempt, Surroundings

SHOWN_MAX: Final = 200
"""Characters of a payload or a result that evidence quotes."""

UNKNOWN: Final = Attempt()

TIMERS: Final = {
    "timed_out": "the deadline of {}",
    "expired": "the expiry of the approval of {}",
    "escalate": "the escalation of the approval of {}",
    "forget": "the time to live of a waiting event",
}


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A command of the command line, with … for what only a person knows, and what it does."""

    command: str
    effect: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is where it is: a code of the closed list, a sentence, its evidence, the commands that help."""

    code: str
    sentence: str
    evidence: tuple[str, ...]
    next: tuple[NextCommand, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A command that may help. *event* is what it sends to the run, so that ``decide`` can be asked what it would do.

    *mend_first*: it moves nothing as long as its cause is not mended. Without an event it is told untried.
    """

    command: str
    effect: str
    event: Request | None = None
    mend_first: bool = False
    outside: bool = False
    """It looks, or starts something, and needs nothing of the run's saga."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason before its commands have been tried. *brief*: what the run waits for, in a few words, for lists."""

    code: str
    brief: str
    sentence: str
    evidence: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    parked: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """One run, what is around it, and the words for what is seen."""

    chart: Chart | None
    run: Snapshot
    around: Surroundings

    @property
    def now(self) -> datetime:
        """The moment of the look."""
        return self.around.now

    def attempt(self, task: Task) -> Attempt:
        """What the task's row says beyond the snapshot."""
        return self.around.tasks.get(task.name, UNKNOWN)

    def at(self, moment: datetime) -> str:
        """A moment, in UTC."""
        return clock(moment, self.now)

    def ago(self, moment: datetime) -> str:
        """How long ago a moment was."""
        return spaced(self.now - moment)

    def ahead(self, moment: datetime) -> str:
        """A moment to come, and how far it is; one that has passed is overdue."""
        left = moment - self.now
        return f"at {self.at(moment)} (" + (f"in {spaced(left)})" if left > timedelta() else "overdue)")

    def targets(self, level: str, *triggers: str) -> str:
        """Where the first of *triggers* that has ways leads, for the end of a sentence; empty where none has any.

        Nothing is known of ways where the saga is not loaded here.
        """
        if self.chart is None:
            return ""
        ways = next(filter(None, (self.chart.ways(level, trigger) for trigger in triggers)), ())
        return " → " + " or ".join(dict.fromkeys(way.target for way in ways)) if ways else ""

    def what(self, task: Task) -> str:
        """The task in words."""
        match task.kind:
            case "undo":
                return f"the undo of {task.state}"
            case "entering" | "leaving":
                return f"the notice on {task.kind} {task.state}"
            case "event":
                names = [event.name for event in self.run.inbox if event.number == task.about]
                return f"the event {', '.join(names)}"
            case "timer":
                return TIMERS[task.outcome].format(self.level(task.state))
            case _:
                return task.state

    def level(self, name: str) -> str:
        """A state's name; a group by its members, for its own name is made up."""
        group = self.chart.groups.get(name) if self.chart else None
        return f"the group of {', '.join(member.name for member in group.members)}" if group else name


def shown(text: str) -> str:
    """A stored value, cut to what evidence may quote."""
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def counted(number: int, word: str) -> str:
    """``1 worker``, ``2,000 workers``."""
    return f"{number:,} {word}" + "s" * (number != 1)
