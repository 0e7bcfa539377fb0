"""What a decision asks for. Imperative; ``evolve`` turns each into the next snapshot, ``store.record`` into rows."""

from datetime import datetime
from typing import TypeAlias

from saga_engine.domain.frozen import Told
from saga_engine.domain.snapshot import OpenGate, Parked, Task, Vote
from saga_engine.domain.values import Ending, Status, UndoStatus


class Move(Told):
    """Go from one state to another (*source* is empty at the start); one more visit of *target*."""

    source: str
    target: str
    visit: int
    because: str


class OpenState(Told):
    """The state's ``entering`` has ended: events, timers and verdicts count from now on."""

    state: str


class AddTask(Told):
    """Open a task."""

    task: Task


class CloseTask(Told):
    """The task is over; its row goes."""

    task: str


class SetDue(Told):
    """Let a worker take the task from *due_at* on, nobody holding it now. *failures* is its budget used so far."""

    task: str
    due_at: datetime | None
    failures: int = 0
    error: str = ""


class EndAttempt(Told):
    """Ask the running attempt to stop; what follows, when it has, is *then* (for a retry: not before *due_at*)."""

    task: str
    then: Ending
    due_at: datetime | None = None
    failures: int = 0
    error: str = ""


class RaiseAttempt(Told):
    """Count on from an attempt that the target knows and the store has forgotten: the next one is newer."""

    task: str
    attempt: int


class Park(Told):
    """Set the task aside for a person."""

    task: str
    parked: Parked
    failures: int = 0


class AddResult(Told):
    """Keep what came of a state."""

    state: str
    visit: int
    source: str
    value: str


class PushUndo(Told):
    """Put a step on the undo stack, before it starts, its outcome in doubt."""

    position: int
    state: str
    visit: int
    task: str


class SetUndo(Told):
    """Say what became of a step on the undo stack; undone, its result no longer counts."""

    position: int
    status: UndoStatus


class ForgetResults(Told):
    """What came after *revision* no longer counts: the run goes forward again from there."""

    revision: int


class KeepEvent(Told):
    """An accepted event waits for a state that takes it."""

    number: int
    name: str
    payload: str
    actor: str
    source: str
    dedup_key: str | None


class NoteEvent(Told):
    """An event was taken or dropped at once; its event key, where it has one, is remembered."""

    number: int
    name: str
    source: str
    dedup_key: str | None
    fate: str


class TakeEvent(Told):
    """A waiting event waits no longer. *fate*: taken, skipped, expired or ended."""

    number: int
    fate: str


class OpenApproval(Told):
    """The gate can be decided from now on."""

    gate: OpenGate


class CountVote(Told):
    """A person's answer counts."""

    task: str
    vote: Vote


class WidenGate(Told):
    """A second role may answer too."""

    task: str
    role: str


class CloseApproval(Told):
    """The gate is over: approved, rejected, expired or void."""

    task: str
    outcome: str


class BeginRollback(Told):
    """The run turns back: to the start, or *to* a state where it goes forward again."""

    cancelling: bool = False
    to: str = ""


class Pause(Told):
    """Hold the run."""

    actor: str
    reason: str


class Resume(Told):
    """Let it go on."""


class Finish(Told):
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
