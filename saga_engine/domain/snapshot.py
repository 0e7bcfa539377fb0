"""What a decision may look at: one run as it is stored, read-only.

Every stored column that a decision needs is a field here, under the same name. Only ``evolve`` makes a new
one out of an old one, so the journal's commands explain every difference between two snapshots.
"""

from collections.abc import Mapping
from datetime import datetime

from saga_engine.domain.frozen import Value
from saga_engine.domain.values import FINAL, Ending, ParkCode, Status, TaskKind, UndoStatus

ACTIONS = ("leaving", "entering", "step", "undo")
"""Kinds of task that are code to run."""


class Parked(Value):
    """Why a task is set aside.

    *outcome*: the way that was being taken, to be taken again by ``retry``; or an ``Ending``, where an attempt may
    still be running somewhere: nothing may overtake it.
    """

    code: ParkCode
    text: str
    outcome: str = ""


class Task(Value):
    """A piece of work of a run that is still open.

    Tasks with a *position* > 0 form the run's line: only its head is due, the others are held. Timers and
    parked events stand beside it, at position 0.
    """

    name: str
    """``run.revision[.n]`` of the decision that made it: stable over attempts, the idempotency key of a step."""
    kind: TaskKind
    state: str
    """The state it belongs to; for a timer of a group, the group."""
    visit: int
    position: int
    due_at: datetime | None = None
    """When a worker may take it; None while it is held, waits, or is parked or paused."""
    resumes_at: datetime | None = None
    """What ``due_at`` goes back to: at resume, or when the attempt that is ending has ended."""
    attempt: int = 0
    """Counted at each lease: the fence. Raised by a claim, never by a decision."""
    failures: int = 0
    """Failed and timed-out attempts: the retry budget."""
    leased_by: str | None = None
    """The incarnation that holds it. Set by a claim, or when it is recorded already leased."""
    ending: Ending | None = None
    """Set while an attempt that nobody wants any more has not come back."""
    parked: Parked | None = None
    outcome: str = ""
    """What a timer brings: timed_out, expired, escalate, forget."""
    about: int = 0
    """The position of the undo entry (undo), or the number of the waiting event (a forget timer, a parked event)."""
    error: str = ""
    """The last failure, for ``why``."""
    lost_by: str | None = None
    """Who held it last and never handed it back; set when an ended incarnation's tasks are freed, until a decision."""
    lost_dead: bool = False
    """The process that lost it is known to be gone."""


class Result(Value):
    """What came of a state. *revision* orders results; *source* is a function, ``event:NAME`` or ``verdict:STATE``."""

    state: str
    visit: int
    source: str
    value: str
    revision: int
    undone: bool = False


class UndoEntry(Value):
    """One step that was started, on the stack of what a rollback undoes."""

    position: int
    state: str
    visit: int
    task: str
    revision: int
    status: UndoStatus = "started"

    @property
    def is_left(self) -> bool:
        """True while a rollback would undo it: its step is in effect, or may be."""
        return self.status in ("started", "done")


class WaitingEvent(Value):
    """An accepted event that no state has taken yet. *number* is its revision: the order of arrival."""

    number: int
    name: str
    payload: str
    actor: str
    source: str


class Vote(Value):
    """One person's answer at an open gate."""

    actor: str
    approved: bool
    reason: str
    at: datetime


class OpenGate(Value):
    """An approval that can be given now. *digest* is of task, state, where approval leads, and *shows*."""

    task: str
    roles: tuple[str, ...]
    need: int
    digest: str
    shows: str
    opened_at: datetime
    expires_at: datetime
    not_starter: bool = False
    votes: tuple[Vote, ...] = ()
    state: str = ""
    """The state whose gate this is."""


class Snapshot(Value):
    """One run."""

    run_id: str
    saga: str
    version: int
    digest: str
    input: str
    starter: str
    state: str = ""
    status: Status = "running"
    revision: int = 0
    """Raised by each recorded event; equals the number of the journal's last line."""
    transitions: int = 0
    open: bool = False
    """True once the state's ``entering`` has ended: its timers run, events are taken, its gate can be decided."""
    paused: bool = False
    cancelling: bool = False
    """A cancel began the rollback: the final status is ``cancelled``."""
    rollback_to: str = ""
    """The state at which a rollback stops and goes forward again."""
    rollback_floor: int = 0
    """Its entry on the undo stack, the last that this rollback undoes; 0 where it goes to the bottom."""
    visits: Mapping[str, int] = {}  # a new one for each
    tasks: tuple[Task, ...] = ()
    results: tuple[Result, ...] = ()
    undo: tuple[UndoEntry, ...] = ()
    inbox: tuple[WaitingEvent, ...] = ()
    gate: OpenGate | None = None

    @property
    def ended(self) -> bool:
        """True when the status is final; a notice may still be due."""
        return self.status in FINAL

    @property
    def visit(self) -> int:
        """Which stay in the current state this is, from 1."""
        return self.visits.get(self.state, 0)

    def task(self, name: str) -> Task | None:
        """The open task of that name."""
        for task in self.tasks:
            if task.name == name:
                return task
        return None

    def due(self, now: datetime) -> bool:
        """True when a task is due that nobody holds."""
        return any(task.due_at is not None and task.due_at <= now and task.leased_by is None for task in self.tasks)

    def line(self) -> list[Task]:
        """The tasks that run in order, the head first."""
        return sorted((task for task in self.tasks if task.position > 0), key=lambda task: task.position)

    def head(self) -> Task | None:
        """The task of the line that is due, or waits."""
        found: Task | None = None
        for task in self.tasks:
            if task.position > 0 and (found is None or task.position < found.position):
                found = task
        return found

    def entry(self, task: str) -> UndoEntry | None:
        """The undo entry that the step task *task* pushed."""
        for entry in self.undo:
            if entry.task == task:
                return entry
        return None
