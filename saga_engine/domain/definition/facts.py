"""What user code receives: ``Facts`` to read (guards) and ``Step`` to act with (steps, undos, notices)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, overload

from pydantic import BaseModel

from saga_engine.domain.definition.values import Connection, Origin, R, Verdict
from saga_engine.errors import NoResult

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy

I = TypeVar("I", bound=BaseModel)  # noqa: E741  reads as "input" next to S, R and P
I_contra = TypeVar("I_contra", bound=BaseModel, contravariant=True)
I_co = TypeVar("I_co", bound=BaseModel, covariant=True)
M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel | None)

MISSING: Final = object()
"""What ``Results.newest`` answers where the run has nothing."""


class Results(Protocol):
    """Where facts come from: the stored run, or what a unit test has given."""

    def newest(self, source: object) -> object:
        """The newest result of *source* that is not undone, parsed; ``MISSING`` when there is none."""


class Facts(Generic[I_co]):
    """A run as recorded so far. Pure to read: no clock, no connection, the same answer every time.

    Covariant in the input: a step written for a base model serves every saga whose input extends it.
    """

    def __init__(self, input: I_co, results: Results) -> None:  # noqa: A002  the word of the API
        self._input = input
        self._results = results

    @property
    def input(self) -> I_co:
        """What the run was started with."""
        return self._input

    @overload
    def of(self, source: Origin[R]) -> R: ...
    @overload
    def of(self, source: Callable[[Step[I_co]], M | None | Awaitable[M | None]]) -> M: ...
    def of(self, source: object) -> object:
        """Return what came of *source*: a step's result, an event's payload, a verdict.

        The newest one when the run went through it more than once. Raises ``NoResult`` when the run never
        did, or when it was undone; on a path where that may be, ask ``find``.
        """
        value = self._results.newest(source)
        if value is MISSING or value is None:
            raise NoResult(
                source=getattr(source, "__qualname__", None) or getattr(source, "name", None) or repr(source)
            )
        return value

    @overload
    def find(self, source: Origin[R]) -> R | None: ...
    @overload
    def find(self, source: Callable[[Step[I_co]], M | None | Awaitable[M | None]]) -> M | None: ...
    def find(self, source: object) -> object:
        """Return what came of *source*, or None when this run has nothing of it."""
        value = self._results.newest(source)
        return None if value is MISSING else value


class Log(Protocol):
    """The part of structlog's bound logger that steps use; run, state and attempt are bound already."""

    def info(self, event: str, **fields: object) -> None:
        """Write a line that tells what happened."""

    def warning(self, event: str, **fields: object) -> None:
        """Write a line that a person should look at."""


class Step(Facts[I_co]):
    """One attempt of one step: the facts, and hands to act with."""

    run_id: str
    """The run, as a UUID in hexadecimal."""
    attempt: int
    """Which try this is, from 1."""
    key: str
    """The idempotency key: the same for every attempt of this visit, and in the undo of it."""
    log: Log

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """True once nobody wants this attempt's result: cancel, deadline, timeout, shutdown. Return soon."""

    @abstractmethod
    def heartbeat(self) -> None:
        """Say "still alive". Raises ``AttemptEnded`` once this attempt no longer counts."""

    @abstractmethod
    def progress(self, done: int, total: int | None = None, unit: str = "") -> None:
        """Show how far the attempt is: *done* of *total* (None: unknown) in *unit*. Counts as a heartbeat."""

    @abstractmethod
    def checkpoint(self, value: BaseModel) -> None:
        """Keep *value* for the next attempt, should this one die. A hint only: the ledger is the truth."""

    @abstractmethod
    def last_checkpoint(self, kind: type[M]) -> M | None:
        """Return what an earlier attempt kept, validated as *kind*; None where none did."""

    @abstractmethod
    def folder(self) -> Path:
        """The folder for this run's files, yours to make: below ``[exports] dir`` of the settings, named as the run.

        Where hosts do not share that place, whatever the run does from now on is done on this host.
        """

    @abstractmethod
    def effect(self, connection: Connection, work: Callable[[sqlalchemy.Connection], N], part: str = "") -> N:
        """Call *work* inside one transaction in the target, its ledger row first: exactly once for each *part*.

        If *part* was applied already, *work* is not called and its recorded result comes back, parsed by the
        annotation of *work*. Inside an undo *work* is called only if *part* was applied (without *part*: any).
        """

    @abstractmethod
    def connect(self, connection: Connection) -> AbstractContextManager[sqlalchemy.Connection]:
        """A connection of your own to read with, closed at the end of the block. What it commits is not fenced."""


class Approval(Origin[Verdict], Generic[I_contra]):
    """A gate for people of one *role*. Nobody waits for ever: *expires* has no default.

    *shows* names an earlier step: its newest result is what the approvers see, and each verdict is bound to
    the digest of it, so a later change voids the verdict. *quorum* verdicts approve; one rejection rejects.
    *escalate* adds a second role after that long. *not_starter* keeps whoever started the run from approving.
    """

    def __init__(
        self,
        role: str,
        *,
        shows: Callable[[Step[I_contra]], BaseModel | Awaitable[BaseModel]],
        expires: timedelta,
        quorum: int = 1,
        escalate: tuple[str, timedelta] | None = None,
        not_starter: bool = False,
    ) -> None:
        self.role = role
        self.shows: Callable[..., Any] = shows
        self.expires = expires
        self.quorum = quorum
        self.escalate = escalate
        self.not_starter = not_starter


class Startable(Generic[I]):
    """A saga as its caller sees it: something that an input starts."""

    input: type[I]
