"""The finished table of a saga: plain frozen rows that can be checked, drawn, hashed and explored. No behaviour."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from saga_engine.domain.definition.values import Event, Guard, Isolation, Promise, Retry, UserCode

Safety: TypeAlias = Literal["undecided", "undone", "reads_only", "pivot"]

NOTICE_RETRY = Retry(8, cap=timedelta(minutes=5))
"""How ``entering`` and ``leaving`` are retried (SEMANTICS, "Moving from A to B")."""
NOTICE_TIMEOUT = timedelta(minutes=5)
VISITS_MAX = 100
"""How often a run may be in one state, unless ``at(visits=)`` says otherwise; one more parks it (W14)."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The way back of a step. *verify*, where given, proves that it worked."""

    work: UserCode
    verify: UserCode | None
    retry: Retry


@dataclass(frozen=True, slots=True)
class Run:
    """A step. *safety* stays "undecided" when the table says nothing; ``saga check`` decides if that may be."""

    work: UserCode
    result: type[BaseModel] | None
    retry: Retry
    timeout: timedelta | None
    deadline: timedelta | None
    heartbeat: timedelta | None
    isolation: Isolation
    promise: Promise | Literal["verified"]
    probe: UserCode | None = None
    undo: Undo | None = None
    safety: Safety = "undecided"


@dataclass(frozen=True, slots=True)
class Wait:
    """The run waits for *event*; its payload is the state's result."""

    event: Event[Any]
    deadline: timedelta


@dataclass(frozen=True, slots=True)
class Gate:
    """The run waits for people. *approval* is a ``facts.Approval``."""

    approval: Any


@dataclass(frozen=True, slots=True)
class RollBack:
    """The rolling-back state: undoes, last started first, what the run has done."""


@dataclass(frozen=True, slots=True)
class End:
    """A final state; *outcome* is "failed" where this end is not a success."""

    outcome: Literal["completed", "failed"] = "completed"


Activity: TypeAlias = Run | Wait | Gate | RollBack | End


@dataclass(frozen=True, slots=True)
class Edge:
    """One way out. *on* is an outcome's name ("then", "failed", "approved", …) or the event that takes the edge."""

    on: str | Event[Any]
    to: Enum
    guard: Guard | None = None

    @property
    def trigger(self) -> str:
        """The name under which the state machine knows this edge: an outcome, or ``event:NAME``."""
        return self.on if isinstance(self.on, str) else f"event:{self.on.name}"


@dataclass(frozen=True, slots=True)
class Row:
    """Everything the table says of one state. *where* is the source line, as ``file:line``, for ``saga check``."""

    state: Enum
    activity: Activity
    edges: tuple[Edge, ...] = ()
    entering: UserCode | None = None
    leaving: UserCode | None = None
    visits: int = VISITS_MAX
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Ways out and a deadline that several states share; a member's own way for the same outcome wins."""

    name: str
    members: tuple[Enum, ...]
    deadline: timedelta | None = None
    edges: tuple[Edge, ...] = ()
    where: str = field(default="", compare=False)
