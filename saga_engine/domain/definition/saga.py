"""The saga itself and ``at``: every kind of state that a table can hold, one method each."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import Generic, Literal

from saga_engine.domain.definition import table
from saga_engine.domain.definition.facts import Approval, I, N, Startable, Step
from saga_engine.domain.definition.fluent import (
    ONCE,
    Asking,
    Draft,
    Members,
    P,
    RollingBack,
    Running,
    S,
    Waiting,
)
from saga_engine.domain.definition.functions import named, result_model
from saga_engine.domain.definition.table import Row
from saga_engine.domain.definition.values import Event, Isolation, Promise, Retry
from saga_engine.errors import DefinitionError


class At(Draft[S, I]):
    """A state whose activity is still to be said."""

    def run(
        self,
        work: Callable[[Step[I]], N | Awaitable[N]],
        *,
        retry: Retry = ONCE,
        timeout: timedelta | None = None,
        deadline: timedelta | None = None,
        heartbeat: timedelta | None = None,
        isolation: Isolation = "thread",
        promise: Promise = "idempotent",
    ) -> Running[S, I, N]:
        """Run *work*, sync or async, which returns a model or None; the engine reads the annotation.

        *timeout* is for one attempt, *deadline* for the whole state, retries included; an attempt that is
        silent for *heartbeat* has timed out.
        """
        model = result_model(work)
        run = table.Run(work, model, retry, timeout, deadline, heartbeat, isolation, promise)
        return Running(self._does(run), self._keep)

    def wait(self, event: Event[P], *, deadline: timedelta) -> Waiting[S, I, P]:
        """Wait for *event*, holding nothing but a row; its payload is the result."""
        return Waiting(self._does(table.Wait(event, deadline)), self._keep)

    def approval(self, approval: Approval[I]) -> Asking[S, I]:
        """Wait until people have decided."""
        named(approval.shows)
        return Asking(self._does(table.Gate(approval)), self._keep)

    def _does(self, activity: table.Activity) -> Row:
        return replace(self._row, activity=activity)


class Saga(Startable[I], Generic[S, I]):
    """A definition: written once at import, read by the checker, the diagram and the engine.

    *version* is raised when runs in flight could not go on under the new table. *queue* names the workers
    that serve it (``saga worker --queues``).
    """

    def __init__(
        self,
        name: str,
        *,
        version: int,
        states: type[S],
        input: type[I],  # noqa: A002  the word of the API
        start: S,
        queue: str = "default",
    ) -> None:
        if not name.isidentifier():
            raise DefinitionError(f"{name!r}: name a saga with letters, digits and _ only; run names are built from it")
        if version < 1:
            raise DefinitionError(f"{name}: versions count from 1")
        if not isinstance(start, states):  # to a type checker, two Enums have Enum in common
            raise DefinitionError(f"{start!r} is not a state of {name}")
        self.name = name
        self.version = version
        self.states = states
        self.input = input
        self.start = start
        self.queue = queue
        self.rows: dict[Enum, Row] = {}
        self.groups: list[table.Group] = []

    def at(
        self,
        state: S,
        *,
        entering: Callable[[Step[I]], None | Awaitable[None]] | None = None,
        leaving: Callable[[Step[I]], None | Awaitable[None]] | None = None,
        visits: int = table.VISITS_MAX,
    ) -> At[S, I]:
        """Say what happens in *state*.

        *entering* runs before the activity and *leaving* after it, whichever way is taken; both are durable,
        retried, and never undone: for messages and tidying, not for work. *visits* bounds a cycle: one
        more visit parks the run.
        """
        row = Row(state, table.End(), entering=entering, leaving=leaving, visits=visits, where=_caller())
        return At(row, self._add)

    def rolls_back(
        self, state: S, *, entering: Callable[[Step[I]], None | Awaitable[None]] | None = None
    ) -> RollingBack[S, I]:
        """Make *state* the one that undoes, last started first, what the run has done."""
        return RollingBack(Row(state, table.RollBack(), entering=entering, where=_caller()), self._add)

    def group(self, *members: S, deadline: timedelta | None = None) -> Members[S, I]:
        """Give several states the same ways out; *deadline* runs from entering the first of them until all are left."""
        if not members:
            raise DefinitionError(f"{self.name}: a group without members says nothing")
        where = _caller()
        return Members(Row(members[0], table.End()), lambda row: self._share(members, deadline, row.edges, where))

    def final(
        self,
        *states: S,
        outcome: Literal["completed", "failed"] = "completed",
        entering: Callable[[Step[I]], None | Awaitable[None]] | None = None,
    ) -> None:
        """End the run in these states; *outcome* "failed" where that is not a success. *entering* is for notices."""
        for state in states:
            self._add(Row(state, table.End(outcome), entering=entering, where=_caller()))

    def _add(self, row: Row) -> None:
        self._check_states(row.state)
        if row.state in self.rows:
            raise DefinitionError(f"{row.state.name} is written twice in {self.name}: join the two lines")
        for notice in (row.entering, row.leaving):
            if notice is not None:
                named(notice)
        self._check_edges(row.edges)
        if isinstance(row.activity, table.Run):
            self._check_step(row.state, row.activity)
        self.rows[row.state] = row

    def _check_edges(self, edges: tuple[table.Edge, ...]) -> None:
        for edge in edges:
            if edge.guard is not None:
                named(edge.guard)
            self._check_states(edge.to)

    def _check_states(self, *states: Enum) -> None:
        for state in states:
            if not isinstance(state, self.states):
                raise DefinitionError(f"{state!r} is not a state of {self.name}")

    def _check_step(self, state: Enum, run: table.Run) -> None:
        """A step's result is found by its function, so one function serves one state."""
        for other, row in self.rows.items():
            if isinstance(row.activity, table.Run) and row.activity.work is run.work:
                raise DefinitionError(
                    f"{named(run.work)} is the step of {other.name} and of {state.name}: its result would be "
                    "ambiguous; write a second function that calls the first"
                )

    def _share(
        self, members: tuple[S, ...], deadline: timedelta | None, edges: tuple[table.Edge, ...], where: str
    ) -> None:
        self._check_states(*members)
        self._check_edges(edges)
        for group in self.groups:
            common = set(group.members) & set(members)
            if set(group.members) == set(members):
                raise DefinitionError(f"{group.name} has the same members as another group: join the two lines")
            if common and common not in (set(group.members), set(members)):
                raise DefinitionError(
                    f"{group.name} shares only some members with another group: nest one in the other"
                )
        name = f"GROUP_{len(self.groups) + 1}"
        if name in self.states.__members__:
            raise DefinitionError(f"{name} is the engine's own name for a group: call the state something else")
        self.groups.append(table.Group(name, members, deadline, edges, where))


def _caller() -> str:
    """``file:line`` of the user's code, two frames up."""
    frame = sys._getframe(2)  # noqa: SLF001  `inspect.stack` reads every source file on the way
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
