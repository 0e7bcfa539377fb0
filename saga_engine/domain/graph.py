"""The table as a graph: which ways can be taken from a state, where they lead, and the shortest path to something.

It asks the same ``Machine`` as ``decide`` does, so what is checked and drawn is what happens. A state without a
line in the table has no ways and breaks nothing: unfinished tables can be looked at.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar

from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Activity, End, Gate, RollBack, Run, Wait
from saga_engine.domain.machine import Machine

A = TypeVar("A", Run, Wait, Gate, RollBack, End)
N = TypeVar("N")

CANCEL: Final = "cancel"
"""The trigger of the way that nobody writes: ``saga cancel`` and ``saga rollback`` lead to a rolling-back state."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way out that can be taken. *level*: the state or group that wrote it; *guard*: its name, "" for none."""

    trigger: str
    target: str
    level: str
    guard: str = ""


Place: TypeAlias = tuple[str, bool]
"""A state, and whether a pivot was passed before it."""


class Graph:
    """A saga's states and ways by name. Ways that nothing can ever bring about are left out."""

    def __init__(self, saga: Saga[Any, Any], machine: Machine | None = None) -> None:
        """*machine*: the one that a chart of this saga has built already."""
        states: Any = saga.states
        self.saga = saga
        self.start = str(saga.start.name)
        self.names: tuple[str, ...] = tuple(state.name for state in states)
        self.rows = {state.name: row for state, row in saga.rows.items()}
        self.groups = {group.name: group for group in saga.groups}
        self.machine = machine or Machine(saga)
        every = chain(*(row.edges for row in saga.rows.values()), *(group.edges for group in saga.groups))
        self._events = tuple(dict.fromkeys(edge.trigger for edge in every if not isinstance(edge.on, str)))
        self.ways = {name: self._ways(name) for name in self.names}

    def activity(self, state: str) -> Activity | None:
        """What happens in *state*; None where the table has no line for it."""
        return self.rows[state].activity if state in self.rows else None

    def of(self, kind: type[A]) -> list[tuple[str, A]]:
        """The states of that kind with what happens there, in the order of the enum."""
        found = [(name, self.activity(name)) for name in self.names]
        return [(name, activity) for name, activity in found if isinstance(activity, kind)]

    def is_pivot(self, state: str) -> bool:
        """True for a point of no return."""
        activity = self.activity(state)
        return isinstance(activity, Run) and activity.safety == "pivot"

    def where(self, level: str) -> str:
        """``file:line`` of a state or group; for a state without a line, of the first that leads there."""
        if level in self.groups:
            return self.groups[level].where
        if level in self.rows:
            return self.rows[level].where
        leading = (way.level for name in self.names for way in self.ways[name] if way.target == level)
        return next(
            (self.where(found) for found in leading), self.rows[self.start].where if self.start in self.rows else ""
        )

    def asked(self, level: str, trigger: str) -> tuple[Way, ...]:
        """The ways of a state or group on *trigger*, as far as they are asked: to the first without a guard."""
        found: list[Way] = []
        for way in self.machine.ways(level, trigger):
            found.append(Way(trigger, way.target, way.level, named(way.guard) if way.guard else ""))
            if way.guard is None:
                break
        return tuple(found)

    def deadlines(self, state: str) -> list[tuple[str, timedelta]]:
        """The deadlines that can pass in *state*, each with the state or group that it belongs to, the inner first."""
        activity = self.activity(state)
        own = activity.deadline if isinstance(activity, Run | Wait) else None
        levels = [(state, own), *((name, self.groups[name].deadline) for name in self.machine.groups(state))]
        return [(level, deadline) for level, deadline in levels if deadline is not None]

    def at_deadline(self, level: str) -> tuple[Way, ...]:
        """Where the deadline of a state or group leads: by ``timed_out``, else by ``failed``."""
        return self.asked(level, "timed_out") or self.asked(level, "failed")

    def cancel_target(self, state: str) -> str | None:
        """Where a cancel leads (SEMANTICS, "Cancel"): by the state's failed way, its groups', else to the only one."""
        every = [name for name, _ in self.of(RollBack)]
        failed = [way.target for way in self.machine.ways(state, "failed") if way.target in every]
        return next(iter(failed), every[0] if len(every) == 1 else None)

    def after(self, place: Place) -> list[Place]:
        """Where the run can be next, by the ways that are written."""
        state, past = place
        return [(way.target, past or self._passes(way, state)) for way in self.ways[state]]

    def after_or_cancelled(self, place: Place) -> list[Place]:
        """Where the run can be next, a cancel included; past a pivot there is none."""
        state, past = place
        ways = self.ways[state] if past else self.ways_or_cancel(state)
        return [(way.target, past or self._passes(way, state)) for way in ways]

    def ways_or_cancel(self, state: str) -> tuple[Way, ...]:
        """The ways out, and the one that a cancel takes where a run can be cancelled."""
        target = self.cancel_target(state) if isinstance(self.activity(state), Run | Wait | Gate) else None
        return (*self.ways[state], *([Way(CANCEL, target, state)] if target else []))

    def _passes(self, way: Way, state: str) -> bool:
        return way.trigger == "then" and self.is_pivot(state)

    def reached(self) -> set[Place]:
        """Every place that a run can come to."""
        return reach([(self.start, False)], self.after_or_cancelled)

    def path_to(self, state: str) -> tuple[str, ...]:
        """The shortest path from the start to *state*; empty where there is none."""
        places = shortest([(self.start, False)], lambda place: place[0] == state, self.after_or_cancelled)
        return tuple(name for name, _ in places)

    def _ways(self, state: str) -> tuple[Way, ...]:
        """Outcomes of the activity, events, deadlines. An end and a state without a line have none."""
        activity = self.activity(state)
        if activity is None or isinstance(activity, End):
            return ()
        triggers = (*_outcomes(activity), *self._events)
        by_time = [self.at_deadline(level) for level, _ in self.deadlines(state)]
        return tuple(dict.fromkeys(chain(*(self.asked(state, trigger) for trigger in triggers), *by_time)))


def shortest(starts: Iterable[N], found: Callable[[N], bool], after: Callable[[N], Iterable[N]]) -> tuple[N, ...]:
    """The shortest path from one of *starts* to a node that is *found*, both included; empty where there is none."""
    came: dict[N, N | None] = dict.fromkeys(starts)
    todo = deque(came)
    while todo:
        node = todo.popleft()
        if found(node):
            return _path(came, node)
        for following in after(node):
            if following not in came:
                came[following] = node
                todo.append(following)
    return ()


def reach(starts: Iterable[N], after: Callable[[N], Iterable[N]]) -> set[N]:
    """*starts* and every node that they lead to."""
    seen: set[N] = set()
    todo = list(starts)
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo.extend(after(node))
    return seen


def _path(came: dict[N, N | None], node: N) -> tuple[N, ...]:
    path = [node]
    while (before := came[path[-1]]) is not None:
        path.append(before)
    return tuple(reversed(path))


def _outcomes(activity: Run | Wait | Gate | RollBack) -> tuple[str, ...]:
    """What the activity itself can bring, in the order in which it is told; deadlines come beside it."""
    match activity:
        case Run(safety="pivot"):
            return ("then",)  # whatever its group says: one that fails for good is parked
        case Run():
            return ("then", "failed")
        case Gate():
            return ("approved", "rejected", "expired")
        case _:
            return ("then",)
