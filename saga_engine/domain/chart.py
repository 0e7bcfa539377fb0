"""A saga made ready for decisions: every look-up that ``decide`` needs, by name, built once per saga version."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel

from saga_engine.domain.definition.facts import MISSING, Facts
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.spec import spec
from saga_engine.domain.definition.table import VISITS_MAX, Activity, Gate, Group, RollBack, Row, Run, Wait
from saga_engine.domain.definition.values import Event, Retry, Verdict
from saga_engine.domain.machine import Machine, Way
from saga_engine.domain.snapshot import Snapshot
from saga_engine.domain.values import Ending
from saga_engine.errors import DefinitionError

SUSPECTED: Final = 1
"""So many processes have died with a task that may have nothing to do with it: it runs in one of its own."""
CONVICTED: Final = 2
"""So many, the last of which it had to itself: it runs with nothing beside it."""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of one run, from the settings (SEMANTICS, "Constants"), and what it may keep of an error."""

    transitions: int = 10_000
    visits: int = VISITS_MAX
    inbox: int = 1_000
    deferred: timedelta = timedelta(days=7)
    crashes: int = 3
    told: Callable[[BaseException], str] = _told
    """What a guard has raised, in a line that any store can hold and that shows no secret."""


BUDGET: Final = Budget()


class Chart:
    """One saga: rows, groups and ways by name; which source a result comes from; what its JSON is parsed with."""

    def __init__(self, saga: Saga[Any, Any]) -> None:
        _complete(saga)
        _sound(saga)
        self.saga = saga
        self.name, self.version = saga.name, saga.version
        self.machine = Machine(saga)
        self.rows: Mapping[str, Row] = {state.name: row for state, row in saga.rows.items()}
        self.groups: Mapping[str, Group] = {group.name: group for group in saga.groups}
        self.events: Mapping[str, Event[Any]] = _events(saga)
        self.sources = _sources(self.rows, self.events)
        self._models = _models(self.rows, self.events)

    @property
    def start(self) -> str:
        """The name of the first state."""
        return str(self.saga.start.name)

    @cached_property
    def spec(self) -> str:
        """The table as canonical JSON (``definition.spec``)."""
        return spec(self.saga)

    @cached_property
    def digest(self) -> str:
        """sha256 of ``spec``: what a run is pinned to beside name and version."""
        return hashlib.sha256(self.spec.encode()).hexdigest()

    def activity(self, state: str) -> Activity:
        """What happens in *state*."""
        return self.rows[state].activity

    def ways(self, state: str, trigger: str) -> tuple[Way, ...]:
        """The ways out of a state or a group, in the order in which they are asked."""
        return self.machine.ways(state, trigger)

    def run_of(self, state: str) -> Run:
        """The step of *state*."""
        activity = self.activity(state)
        assert isinstance(activity, Run), f"{state} has no step"
        return activity

    def is_pivot(self, state: str) -> bool:
        """True where the step of *state* is the point of no return."""
        activity = self.activity(state)
        return isinstance(activity, Run) and activity.safety == "pivot"

    def facts(self, run: Snapshot) -> Facts[Any]:
        """What a guard may read of *run*."""
        return Facts(self.saga.input.model_validate_json(run.input), Recorded(self, run))

    def parse(self, source: str, value: str) -> BaseModel | None:
        """A stored result of *source* as the model it was written from; None for "null"."""
        return None if value == "null" else self._models[source].model_validate_json(value)


class Recorded:
    """The results of a stored run, found by what the table was written with: functions, events, approvals."""

    def __init__(self, chart: Chart, run: Snapshot) -> None:
        self._chart = chart
        self._run = run

    def newest(self, source: object) -> object:
        """The newest result of *source* that is not undone; ``MISSING`` when there is none."""
        names = self._chart.sources.get(source, ())
        found = [r for r in self._run.results if r.source in names and not r.undone]
        if not found:
            return MISSING
        return self._chart.parse(found[-1].source, found[-1].value)


def source_of(chart: Chart, state: str) -> str:
    """The name under which what comes of *state* is stored."""
    match chart.activity(state):
        case Run(work=work):
            return named(work)
        case Wait(event=event):
            return f"event:{event.name}"
        case _:
            return f"verdict:{state}"


def retry_of(chart: Chart, kind: str, state: str, notice: Retry) -> Retry:
    """How often a failing task of this kind is tried."""
    match chart.activity(state):
        case Run(retry=retry) if kind == "step":
            return retry
        case Run(undo=undo) if kind == "undo" and undo is not None:
            return undo.retry
        case _:
            return notice


def may_overlap(chart: Chart, kind: str, state: str, then: Ending) -> bool:
    """May the run go on with *then* while an attempt of this task might still be running somewhere?

    The ledger fences an effect, and a reader harms nothing. A retry with the same key is what an idempotent step,
    an undo and a notice must bear; what follows in another state need not (SEMANTICS, "Ending an attempt").
    """
    if kind != "step":
        return then == "retry"
    run = chart.run_of(state)
    fenced = run.promise == "effect" or run.safety == "reads_only"
    return fenced or (then == "retry" and run.promise == "idempotent")


def _complete(saga: Saga[Any, Any]) -> None:
    """Every state has a line, and every step a name of its own."""
    states: type[Enum] = saga.states
    missing = [state.name for state in states if state not in saga.rows]
    if missing:
        raise DefinitionError(f"{saga.name}: no line in the table for {', '.join(missing)}, or its line lacks `.then`")
    works = [named(row.activity.work) for row in saga.rows.values() if isinstance(row.activity, Run)]
    doubled = {name for name in works if works.count(name) > 1}
    if doubled:
        raise DefinitionError(
            f"{saga.name}: two steps are called {', '.join(sorted(doubled))}; results are stored by name"
        )


def _sound(saga: Saga[Any, Any]) -> None:
    """A rollback is left when all is undone and not before, and a gate asks somebody."""
    shared = {state for group in saga.groups for state in group.members}
    for state, row in saga.rows.items():
        if isinstance(row.activity, RollBack) and (state in shared or len(row.edges) > 1):
            raise DefinitionError(
                f"{saga.name}: {state.name} undoes what the run did, and .to(…) is its only way out: "
                "give it no .on(…), and take it out of the group"
            )
        if isinstance(row.activity, Gate) and row.activity.approval.quorum < 1:
            raise DefinitionError(f"{saga.name}: the approval of {state.name} needs a quorum of at least one person")


def _events(saga: Saga[Any, Any]) -> Mapping[str, Event[Any]]:
    found: dict[str, Event[Any]] = {}
    edges = [edge for row in saga.rows.values() for edge in row.edges] + [e for g in saga.groups for e in g.edges]
    events = [edge.on for edge in edges if isinstance(edge.on, Event)]
    events += [row.activity.event for row in saga.rows.values() if isinstance(row.activity, Wait)]
    for event in events:
        if found.setdefault(event.name, event) is not event:
            raise DefinitionError(f"{saga.name}: two events are called {event.name}; write one value and use it twice")
    return found


def _sources(rows: Mapping[str, Row], events: Mapping[str, Event[Any]]) -> Mapping[object, tuple[str, ...]]:
    """For everything ``facts.of`` takes, the names under which its results are stored."""
    found: dict[object, tuple[str, ...]] = {event: (f"event:{name}",) for name, event in events.items()}
    for name, row in rows.items():
        match row.activity:
            case Run(work=work):
                found[work] = (named(work),)
            case Gate(approval=approval):
                found[approval] = (*found.get(approval, ()), f"verdict:{name}")
            case _:
                pass
    return found


def _models(rows: Mapping[str, Row], events: Mapping[str, Event[Any]]) -> Mapping[str, type[BaseModel]]:
    """For each name of a result, what its JSON is parsed with."""
    found: dict[str, type[BaseModel]] = {f"event:{name}": event.payload for name, event in events.items()}
    for name, row in rows.items():
        match row.activity:
            case Run(work=work, result=model) if model is not None:
                found[named(work)] = model
            case Gate():
                found[f"verdict:{name}"] = Verdict
            case _:
                pass
    return found
