"""What can happen to a run. Past tense; each accepted one is a line of the journal.

``decide`` says what follows from one. Times and identities are fields: nothing here reads a clock.
"""

from typing import TypeAlias

from saga_engine.domain.frozen import Told
from saga_engine.domain.values import ParkCode


class RunStarted(Told):
    """Somebody started the run; the first event of each."""

    actor: str


class ActionSucceeded(Told):
    """An attempt came back. *value* is its result as canonical JSON ("null" where it returns nothing)."""

    task: str
    attempt: int
    incarnation: str
    value: str = "null"


class ActionFailed(Told):
    """An attempt raised. *final*: of a kind that is never retried. *park* set: no retry can help, a person must look.

    *error* is the exception's type and primary message; never a driver's text that may hold row values.
    """

    task: str
    attempt: int
    incarnation: str
    error: str
    final: bool = False
    park: ParkCode | None = None
    busy: bool = False
    """The target was locked by somebody else: back off, nothing is counted (W04)."""


class AttemptTimedOut(Told):
    """An attempt ran longer than its timeout, or was silent longer than its heartbeat. It may still be running."""

    task: str
    attempt: int
    incarnation: str
    error: str


class AttemptLost(Told):
    """A worker holds a task whose earlier attempt never came back, or gave up on one of its own.

    *crashes* is the task's count of such ends; *known_dead*: the process that ran it is known to be gone;
    *runner* names it for a person.
    """

    task: str
    attempt: int
    incarnation: str
    crashes: int
    known_dead: bool
    runner: str


class TimerFired(Told):
    """A timer task came due and a worker leased it."""

    task: str
    attempt: int
    incarnation: str


class EventReceived(Told):
    """Somebody sent an event. *dedup_key* is its event key; *payload* is validated, as canonical JSON."""

    name: str
    payload: str
    actor: str
    source: str = "api"
    dedup_key: str | None = None


class VerdictGiven(Told):
    """A person decided at a gate, having seen what *digest* is of. *roles* are those the settings give the actor."""

    approved: bool
    digest: str
    actor: str
    roles: tuple[str, ...]
    reason: str = ""


class CancelRequested(Told):
    """A person wants the run stopped and what it did undone."""

    actor: str
    reason: str = ""


class RollbackRequested(Told):
    """A person wants the run undone: all of it, or back to *to*, where it then goes forward again.

    *unapplied*: the engine has proved that a parked pivot took no effect.
    """

    actor: str
    to: str | None = None
    reason: str = ""
    unapplied: bool = False


class RetryRequested(Told):
    """A person wants what is parked, or backs off, tried again now."""

    actor: str
    reason: str = ""


class SkipRequested(Told):
    """A person takes over what is parked: the run goes on without it."""

    actor: str
    reason: str


class Resolved(Told):
    """A person found out what a step in doubt did. *done* with its result as JSON, or not done at all."""

    actor: str
    evidence: str
    done: bool
    value: str = "null"


class Reconciled(Told):
    """A person lets a run go on from what a target's ledger knows, the store having been restored from a backup.

    *attempt*: the newest attempt of the task that the ledger knows; *evidence*: what was seen there.
    """

    actor: str
    task: str
    attempt: int
    evidence: str


class PauseRequested(Told):
    """A person holds the run: nothing new starts, no timer fires."""

    actor: str
    reason: str = ""


class ResumeRequested(Told):
    """A person lets a paused run go on."""

    actor: str
    reason: str = ""


Report: TypeAlias = ActionSucceeded | ActionFailed | AttemptTimedOut | AttemptLost | TimerFired
"""What workers say of a task they hold: fenced by attempt and incarnation."""

Request: TypeAlias = (
    EventReceived
    | VerdictGiven
    | CancelRequested
    | RollbackRequested
    | RetryRequested
    | SkipRequested
    | Resolved
    | Reconciled
    | PauseRequested
    | ResumeRequested
)
"""What people and programs ask for: refused with an error, or recorded."""

Event: TypeAlias = RunStarted | Report | Request
