"""The values a saga is written with: events, retries, outcomes, promises."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, NewType, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P_co = TypeVar("P_co", bound=BaseModel, covariant=True)

Connection = NewType("Connection", str)
"""The name of a connection in the settings; the secret behind it never enters a run."""

UserCode: TypeAlias = Callable[..., Any]
Guard: TypeAlias = Callable[..., bool]


class Frozen(BaseModel):
    """A base for inputs, results and payloads: a frozen pydantic model that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Done(Generic[R_co]):
    """The step reported success, with this result."""

    result: R_co


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The step started and nobody knows whether it took effect: a crash, a timeout, a lost lease, a failure."""


Outcome: TypeAlias = Done[R] | InDoubt


@dataclass(frozen=True, slots=True)
class NotDone:
    """A probe looked and the step has not taken effect: it is safe to run it."""


class Origin(Generic[R_co]):
    """Something other than a step that a result comes from: pass it to ``step.of`` to read that result."""


@dataclass(frozen=True, eq=False)
class Event(Origin[P_co]):
    """A typed fact from outside, such as a person's request to abort.

    *unhandled* says, once for all states, what happens in a state that does not list the event:
    the sender is refused, the event is dropped and journalled, or it waits for a state that lists it.
    """

    name: str
    payload: type[P_co]
    unhandled: Literal["reject", "ignore", "defer"]


class Verdict(Frozen):
    """What the people decided at a gate. *digest* is of exactly what they were shown."""

    approved: bool
    actors: tuple[str, ...]
    reason: str
    decided_at: datetime
    digest: str


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast a failed attempt is tried again.

    *attempts* counts the first try too. Delays double from *first* up to *cap*, plus up to a fifth as jitter.
    A failure that is an instance of *never_on* is final at once.
    """

    attempts: int = 1
    first: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=5)
    never_on: tuple[type[BaseException], ...] = ()

    def delay(self, failures: int) -> timedelta:
        """The pause after the *failures*-th failure, counted from 1."""
        doubled = self.first.total_seconds() * 2.0 ** min(failures - 1, 40)
        return min(self.cap, timedelta(seconds=doubled))


Promise: TypeAlias = Literal["idempotent", "effect", "manual"]
"""What makes a second attempt safe. A fourth promise, *verified*, is the method ``.verified(probe)``.

idempotent  the other side drops a repeated ``step.key``: at least once
effect      the work commits together with its ledger row in ``step.effect(...)``: exactly once
manual      nothing does: at most once, an unknown outcome parks the run for a person
"""

Isolation: TypeAlias = Literal["thread", "process"]


def seconds(count: float) -> timedelta:
    """A length of time in seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """A length of time in minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """A length of time in hours."""
    return timedelta(hours=count)
