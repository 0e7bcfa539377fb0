"""The chain behind ``saga.at(state)``: what happens there, then the ways out; ``.then`` is last and writes the row.

Nothing here is changed in place: each word returns a new draft, so a chain without ``.then`` leaves no trace.
Because ``.then`` returns None, no way out can follow it, and basedpyright's ``reportUnusedCallResult`` finds a
chain that forgot it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import Enum
from typing import Generic, Self, TypeVar

from pydantic import BaseModel

from saga_engine.domain.definition.facts import Facts, I, Step
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Edge, Row, Run, Undo
from saga_engine.domain.definition.values import Done, Event, InDoubt, NotDone, Outcome, R, Retry
from saga_engine.errors import DefinitionError

S = TypeVar("S", bound=Enum)
P = TypeVar("P", bound=BaseModel)

ONCE = Retry()
UNDO_RETRY = Retry(20)


class Draft(Generic[S, I]):
    """A row being written. *keep* takes it into the saga's table."""

    def __init__(self, row: Row, keep: Callable[[Row], None]) -> None:
        self._row = row
        self._keep = keep

    def on(
        self, event: Event[P], to: S, *, when: Callable[[P], bool] | Callable[[P, Facts[I]], bool] | None = None
    ) -> Self:
        """Leave for *to* when *event* arrives here; edges of one event are tried in written order."""
        return self._with(Edge(event, to, when))

    def _with(self, *edges: Edge) -> Self:
        return type(self)(replace(self._row, edges=(*self._row.edges, *edges)), self._keep)

    def _write(self, **ways: S | None) -> None:
        named_ways = [Edge(outcome, to) for outcome, to in ways.items() if to is not None]
        self._keep(replace(self._row, edges=(*self._row.edges, *named_ways)))


class Result(Draft[S, I], Generic[S, I, R]):
    """A draft whose activity ends with an R, which guards may look at."""

    def when(self, guard: Callable[[R], bool] | Callable[[R, Facts[I]], bool], to: S) -> Self:
        """Leave for *to* if *guard*, a pure named function, says so. Guards are asked in written order."""
        return self._with(Edge("then", to, guard))


class Decided(Result[S, I, R]):
    """The result may be bad: what happens then is said in the same breath."""

    def then(self, to: S, *, failed: S | None = None, timed_out: S | None = None) -> None:
        """Leave for *to* when no guard took another way.

        *failed* is taken when the retries are used up; without it the group's way is taken, or the run parks.
        *timed_out* is taken when the deadline passes; a last attempt that ran out of time takes *failed*.
        """
        self._write(then=to, failed=failed, timed_out=timed_out)


class Onward(Result[S, I, R]):
    """One way on and none for failure: past the pivot the engine retries, then parks the run."""

    def then(self, to: S) -> None:
        """Leave for *to* when no guard took another way."""
        self._write(then=to)


class Waiting(Result[S, I, R]):
    """A wait always says what happens when nothing comes."""

    def then(self, to: S, *, timed_out: S) -> None:
        """Leave for *to* when the event came and no guard took another way; for *timed_out* at the deadline."""
        self._write(then=to, timed_out=timed_out)


class Asking(Draft[S, I]):
    """A gate has three ways out and all three are decided."""

    def then(self, *, approved: S, rejected: S, expired: S) -> None:
        """Leave for *approved* at the quorum, for *rejected* at one rejection, for *expired* when time is up."""
        self._write(approved=approved, rejected=rejected, expired=expired)


class Running(Decided[S, I, R]):
    """A step whose way back is still to be said: exactly one of undo, reads_only and pivot."""

    def undo(
        self,
        work: Callable[[Step[I], Outcome[R]], None | Awaitable[None]],
        *,
        verify: Callable[[Step[I]], bool | Awaitable[bool]] | None = None,
        retry: Retry = UNDO_RETRY,
    ) -> Decided[S, I, R]:
        """Compensate with *work*, which must bear being run twice and must handle ``InDoubt``.

        With *verify* the undo counts only when *verify* then returns True.
        """
        named(work)
        if verify is not None:
            named(verify)
        undone = replace(self._run(), undo=Undo(work, verify, retry), safety="undone")
        return Decided(replace(self._row, activity=undone), self._keep)

    def reads_only(self) -> Decided[S, I, R]:
        """Say that the step changes nothing, so that there is nothing to undo and a retry is always safe."""
        return Decided(replace(self._row, activity=replace(self._run(), safety="reads_only")), self._keep)

    def pivot(self) -> Onward[S, I, R]:
        """Make this the point of no return: neither this step nor any before it is undone any more."""
        return Onward(replace(self._row, activity=replace(self._run(), safety="pivot")), self._keep)

    def verified(self, probe: Callable[[Step[I]], Done[R] | NotDone | InDoubt]) -> Self:
        """Before a second attempt ask *probe* whether the first one took effect; InDoubt parks the run."""
        named(probe)
        probed = replace(self._run(), promise="verified", probe=probe)
        return type(self)(replace(self._row, activity=probed), self._keep)

    def _run(self) -> Run:
        if not isinstance(self._row.activity, Run):
            raise DefinitionError(f"{self._row.state.name}: only a step can be undone")
        return self._row.activity


class RollingBack(Draft[S, I]):
    """A state that undoes; a failing undo parks the run there."""

    def to(self, end: S) -> None:
        """Leave for *end* when everything is undone."""
        self._write(then=end)


class Members(Draft[S, I]):
    """Ways that several states share."""

    def then(self, *, failed: S | None = None, timed_out: S | None = None) -> None:
        """Leave for *failed* or *timed_out* from every member that has no such way of its own."""
        self._write(failed=failed, timed_out=timed_out)
