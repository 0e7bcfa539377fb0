"""What a decision asks for. Imperative; ``evolve`` turns each into the next snapshot, ``store.record`` into rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from saga_engine.domain.snapshot import OpenGate, Parked, Task, Vote
from saga_engine.domain.values import Ending, Status, UndoStatus


@dataclass(frozen=True, slots=True)
class Move:
    """Go from one state to another (*source* is empty at the start); one more visit of *target*."""

    source: str
    target: str
    visit: int
    because: str


@dataclass(frozen=True, slots=True)
class OpenState:
    """The state's ``entering`` has ended: events, timers and verdicts count from now on."""

    state: str


@dataclass(frozen=True, slots=True)
class AddTask:
    """Open a task."""

    task: Task


@dataclass(frozen=True, slots=True)
class CloseTask:
    """The task is over; its row goes."""

    task: str


@dataclass(frozen=True, slots=True)
class SetDue:
    """Let a worker take the task from *due_at* on, nobody holding it now. *failures* is its budget used so far."""

    task: str
    due_at: datetime | None
    failures: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Ask the running attempt to stop; what follows, when it has, is *then* (for a retry: not before *due_at*)."""

    task: str
    then: Ending
    due_at: datetime | None = None
    failures: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class RaiseAttempt:
    """Count on from an attempt that the target knows and the store has forgotten: the next one is newer."""

    task: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Park:
    """Set the task aside for a person."""

    task: str
    parked: Parked
    failures: int = 0


@dataclass(frozen=True, slots=True)
class AddResult:
    """Keep what came of a state."""

    state: str
    visit: int
    source: str
    value: str


@dataclass(frozen=True, slots=True)
class PushUndo:
    """Put a step on the undo stack, before it starts, its outcome in doubt."""

    position: int
    state: str
    visit: int
    task: str


@dataclass(frozen=True, slots=True)
class SetUndo:
    """Say what became of a step on the undo stack; undone, its result no longer counts."""

    position: int
    status: UndoStatus


@dataclass(frozen=True, slots=True)
class ForgetResults:
    """What came after *revision* no longer counts: the run goes forward again from there."""

    revision: int


@dataclass(frozen=True, slots=True)
class KeepEvent:
    """An accepted event waits for a state that takes it."""

    number: int
    name: str
    payload: str
    actor: str
    source: str
    dedup_key: str | None


@dataclass(frozen=True, slots=True)
class NoteEvent:
    """An event was taken or dropped at once; its event key, where it has one, is remembered."""

    number: int
    name: str
    source: str
    dedup_key: str | None
    fate: str


@dataclass(frozen=True, slots=True)
class TakeEvent:
    """A waiting event waits no longer. *fate*: taken, skipped, expired or ended."""

    number: int
    fate: str


@dataclass(frozen=True, slots=True)
class OpenApproval:
    """The gate can be decided from now on."""

    gate: OpenGate


@dataclass(frozen=True, slots=True)
class CountVote:
    """A person's answer counts."""

    task: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class WidenGate:
    """A second role may answer too."""

    task: str
    role: str


@dataclass(frozen=True, slots=True)
class CloseApproval:
    """The gate is over: approved, rejected, expired or void."""

    task: str
    outcome: str


@dataclass(frozen=True, slots=True)
class BeginRollback:
    """The run turns back: to the start, or *to* a state where it goes forward again."""

    cancelling: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold the run."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Let it go on."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has ended."""

    status: Status


Command: TypeAlias = (
    Move
    | OpenState
    | AddTask
    | CloseTask
    | SetDue
    | EndAttempt
    | RaiseAttempt
    | Park
    | AddResult
    | PushUndo
    | SetUndo
    | ForgetResults
    | KeepEvent
    | NoteEvent
    | TakeEvent
    | OpenApproval
    | CountVote
    | WidenGate
    | CloseApproval
    | BeginRollback
    | Pause
    | Resume
    | Finish
)
