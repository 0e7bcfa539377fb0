"""What the engine answers with: plain frozen values, fit to print and to be JSON."""

from datetime import datetime
from typing import Any, Literal

from saga_engine.domain.definition.values import Frozen


class UndoView(Frozen):
    """One step that a rollback would undo, or has undone."""

    position: int
    state: str
    visit: int
    status: str
    has_undo: bool


class TaskView(Frozen):
    """One open task of a run."""

    name: str
    kind: str
    state: str
    due_at: datetime | None
    attempt: int
    failures: int
    crashes: int
    leased_by: str | None
    ending: str | None
    parked: str | None
    error: str
    progress: dict[str, Any] | None
    heard_at: datetime | None


class RunView(Frozen):
    """A run as it stands."""

    id: str
    name: str
    saga: str
    version: int
    key: str | None
    state: str
    status: str
    paused: bool
    revision: int
    input: Any
    """JSON as Python has it: mostly a dictionary, but whatever the input model makes, such as a list."""
    results: dict[str, Any]
    """The newest result of each state that is not undone: JSON too; None of a step that returns nothing."""
    waiting_on: str
    undo: tuple[UndoView, ...]
    tasks: tuple[TaskView, ...]
    starter: str
    created_at: datetime
    updated_at: datetime
    entered_at: datetime
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """True when the status is final."""
        return self.ended_at is not None

    @property
    def stands_still(self) -> bool:
        """True when it has ended, or goes on only with a person: it is parked, paused, or waits at a gate."""
        waits = self.status == "waiting" and any(task.kind == "gate" for task in self.tasks)
        return self.ended or self.paused or self.status == "parked" or waits


class RunLine(Frozen):
    """A run in a list."""

    id: str
    name: str
    saga: str
    version: int
    key: str | None
    state: str
    status: str
    paused: bool
    revision: int
    waiting_on: str
    created_at: datetime
    updated_at: datetime


class RunPage(Frozen):
    """A page of runs, the newest first; *next* is handed in again for the page behind it."""

    items: tuple[RunLine, ...]
    next: str | None


class HistoryLine(Frozen):
    """One journal line: what happened, and what was decided."""

    revision: int
    at: datetime
    kind: str
    event: dict[str, Any]
    commands: tuple[dict[str, Any], ...]


class VoteView(Frozen):
    """One person's answer."""

    actor: str
    approved: bool
    reason: str
    at: datetime


class ApprovalView(Frozen):
    """A gate that waits for people. *digest* is what ``approve`` and ``reject`` are to be told as *shown*."""

    run_id: str
    run: str
    saga: str
    state: str
    role: str
    roles: tuple[str, ...]
    need: int
    have: int
    digest: str
    shows: Any
    """The result that is decided on, as JSON: a dictionary, whatever else its model makes, or None."""
    leads_to: str
    opened_at: datetime
    expires_at: datetime
    starter: str
    not_starter: bool
    """Whether who started the run may not answer."""
    votes: tuple[VoteView, ...]


class WorkerView(Frozen):
    """One life of a worker."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    loaded: tuple[str, ...]
    broken: dict[str, str]
    slots: int
    busy: int
    started_at: datetime
    renewed_at: datetime
    lease_until: datetime
    alive: bool


class StatusLine(Frozen):
    """How many live runs of a saga are in a state."""

    saga: str
    state: str
    status: str
    runs: int


class Reply(Frozen):
    """What became of a request: where the run was and is now.

    Not *changed*: nothing had to be done, and *note* says why.
    """

    run_id: str
    run: str
    source: str
    state: str
    status: str
    paused: bool
    revision: int
    changed: bool = True
    note: str = ""


class DeadlineView(Frozen):
    """The next time limit that moves the run, and where to."""

    at: datetime
    leads_to: str


class PictureView(Frozen):
    """A run with what is around it, as of *at*."""

    run: RunView
    path: str
    """Where it came through, where it is and what lies ahead, in one line."""
    deadline: DeadlineView | None
    worker: WorkerView | None
    """Who holds a task of it."""
    undoable: tuple[str, ...]
    """The states that a rollback would undo now, the last started first."""
    pivot: str
    """The point of no return; empty where there is none."""
    past_pivot: bool
    rolling_back: bool
    recent: tuple[HistoryLine, ...]
    """The newest journal lines, oldest first."""
    at: datetime


class CommandView(Frozen):
    """A command that helps, and what it does."""

    command: str
    effect: str


class ReasonView(Frozen):
    """One reason why a run is where it is. Codes are those of ``saga why``."""

    code: str
    sentence: str
    evidence: tuple[str, ...]
    next: tuple[CommandView, ...]


class WhyView(Frozen):
    """Why a run is where it is: the reason to act on first comes first. An ended run has none."""

    run_id: str
    run: str
    saga: str
    state: str
    status: str
    since: datetime
    reasons: tuple[ReasonView, ...]


class SchemaView(Frozen):
    """The schema of a store, *before* and now; None where there is none. *wanted* is this program's."""

    store: str
    before: str | None
    now: str | None
    wanted: str | None


class LedgerView(Frozen):
    """The ledger of a connection; *made* just now, or there already."""

    connection: str
    uuid: str
    made: bool


class Symptom(Frozen):
    """One thing that ``saga doctor`` has looked at. *next*: what mends it."""

    area: str
    state: Literal["ok", "warning", "problem"]
    text: str
    next: str = ""


class FoundView(Frozen):
    """One thing that ``saga check`` has found. *path*: the shortest way to the trouble, by states."""

    code: str
    severity: Literal["error", "warning"]
    saga: str
    state: str
    where: str
    """``file:line``."""
    text: str
    help: str
    path: tuple[str, ...] = ()


class CheckedView(Frozen):
    """What was found, and how much was looked at."""

    found: tuple[FoundView, ...]
    sagas: int
    states: int
    ways: int
