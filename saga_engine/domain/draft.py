"""A decision being made: the commands so far and the run as they leave it, so that one step sees the one before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import BaseModel

from saga_engine.domain import commands as c
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.definition.functions import named, takes_facts
from saga_engine.domain.evolve import apply, held, settle
from saga_engine.domain.frozen import Value, copied
from saga_engine.domain.machine import Way
from saga_engine.domain.snapshot import Parked, Snapshot, Task
from saga_engine.domain.values import ParkCode, TaskKind


class Decision(Value):
    """What follows from an event: nothing (a stale report, a no-op), or commands and the run after them."""

    commands: tuple[c.Command, ...]
    after: Snapshot
    note: str = ""
    """What to tell the asker, where nothing had to be done."""


class Halted(Exception):
    """No decision can be made here: the run is parked with *code* and *text*, for a person to mend."""

    def __init__(self, code: ParkCode, text: str) -> None:
        super().__init__(text)
        self.code: ParkCode = code


@dataclass(slots=True)
class Draft:
    """Collects commands. ``run`` is the snapshot as the commands so far leave it."""

    chart: Chart
    run: Snapshot
    now: datetime
    budget: Budget
    commands: list[c.Command] = field(default_factory=list)
    made: int = 0
    """Tasks named in this decision so far."""

    @property
    def revision(self) -> int:
        """The number of the journal line that this decision becomes."""
        return self.run.revision + 1

    def emit(self, *commands: c.Command) -> None:
        """Ask for these, in order."""
        if commands and not self.commands:
            self.run = copied(self.run)  # what the caller has stays as it was
        for command in commands:
            self.commands.append(command)
            apply(self.run, command)

    def done(self, note: str = "") -> Decision:
        """The decision. A live run has an open task: without one nobody would ever look at it again."""
        if not self.commands:
            return Decision((), self.run, note)
        settle(self.run)
        assert self.run.ended or self.run.tasks, f"{self.run.run_id} is live and has no open task"
        return Decision(tuple(self.commands), self.run, note)

    def task_name(self) -> str:
        """``run.revision[.n]``, unique in the run for ever."""
        self.made += 1
        return f"{self.run.run_id}.{self.revision}" + (f".{self.made - 1}" if self.made > 1 else "")

    def queue(self, kind: TaskKind, state: str, visit: int, about: int = 0) -> Task:
        """Put a held task of that visit of *state* at the end of the line."""
        position = max((task.position for task in self.run.tasks), default=0) + 1
        task = Task(self.task_name(), kind, state, visit, position, about=about)
        self.emit(c.AddTask(task))
        return task

    def timer(self, state: str, outcome: str, length: timedelta, about: int = 0) -> None:
        """Start a timer beside the line."""
        due_at, resumes_at = held(self.run, self.now + length)
        visit = self.run.visits.get(state, 0)
        self.emit(
            c.AddTask(
                Task(self.task_name(), "timer", state, visit, 0, due_at, resumes_at, outcome=outcome, about=about)
            )
        )

    def park(self, task: Task, code: ParkCode, text: str, outcome: str = "") -> None:
        """Set a task aside for a person."""
        self.emit(c.Park(task.name, Parked(code, text, outcome), task.failures))

    def parse(self, source: str, value: str) -> BaseModel | None:
        """A stored result of *source*. Raises ``Halted`` (W16): what another program stored may not fit any more."""
        try:
            return self.chart.parse(source, value)
        except ValueError as error:
            raise Halted("W16", f"what is stored of {source} cannot be read: {self.budget.told(error)}") from error

    def choose(self, ways: tuple[Way, ...], subject: object) -> Way | None:
        """The first way whose guard agrees. Raises ``Halted`` (W16) with the guard's name and error."""
        for way in ways:
            if way.guard is None or self._asks(way.guard, subject):
                return way
        return None

    def _asks(self, guard: Callable[..., bool], subject: object) -> bool:
        try:
            return bool(guard(subject, self.chart.facts(self.run)) if takes_facts(guard) else guard(subject))
        except (Exception, SystemExit) as error:  # whatever it raises: the run waits for a person, and goes on here
            raise Halted("W16", f"guard {named(guard)} raised {self.budget.told(error)}") from error
