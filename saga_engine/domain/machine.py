"""The one adapter to ``transitions``: which ways lead out of a state, in the order in which they are asked.

The machine is built once per saga, with groups as nested states, and only read: no model lives in it, no user
code runs in it, nothing is triggered on the way of an event. Three threads that share a hierarchical machine
corrupt each other, it leaves a model in the new state when a callback raises, and a trigger costs a hundred
times a look-up. So the ways are looked up once, here; a contract test shows that triggering a real model
gives the same answers.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from transitions import EventData
from transitions.extensions.nesting import HierarchicalMachine, NestedState

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import Edge, Group
from saga_engine.domain.definition.values import Guard

logging.getLogger("transitions").setLevel(logging.WARNING)

SEPARATOR = "/"


class _State(NestedState):
    """States of ours may have ``_`` in their names, which is the library's own separator."""

    separator = SEPARATOR


class _Machine(HierarchicalMachine):
    state_cls = _State


@dataclass(frozen=True, slots=True)
class Way:
    """One way out: where it leads if *guard* (None: always) agrees. *level* is the state or group that wrote it."""

    target: str
    guard: Guard | None
    level: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A guard as a condition of the machine. A model answers it by ``model.asks(guard)``."""

    guard: Guard

    def __call__(self, call: EventData) -> bool:
        """What the model says of the guard."""
        model: Any = call.model
        return bool(model.asks(self.guard))


class Machine:
    """The ways out of every state of a saga, the ways of its groups behind its own."""

    def __init__(self, saga: Saga[Any, Any]) -> None:
        self.paths = _paths(saga)
        self.machine = _Machine(
            model=None,
            states=_nested(saga),
            initial=self.paths[saga.start.name],
            auto_transitions=False,
            send_event=True,
        )
        for row in saga.rows.values():
            self._add(self.paths[row.state.name], row.edges)
        for group in saga.groups:
            self._add(self.paths[group.name], group.edges)
        self._ways = {
            (state, trigger): self._found(state, trigger) for state in self.paths for trigger in self.machine.events
        }

    def ways(self, state: str, trigger: str) -> tuple[Way, ...]:
        """The ways out of *state*, or of a group, on *trigger*, in the order in which they are asked."""
        return self._ways.get((state, trigger), ())

    def groups(self, state: str) -> tuple[str, ...]:
        """The groups that *state* is in, the inner first."""
        return tuple(reversed(self.paths[state].split(SEPARATOR)[:-1]))

    def _add(self, source: str, edges: tuple[Edge, ...]) -> None:
        for edge in edges:
            conditions: list[Any] = [Ask(edge.guard)] if edge.guard else []
            self.machine.add_transition(edge.trigger, source, self.paths[edge.to.name], conditions=conditions)

    def _found(self, state: str, trigger: str) -> tuple[Way, ...]:
        """What the machine would try: the state's own transitions, then those of each group around it."""
        event: Any = self.machine.events[trigger]
        found: list[Way] = []
        path = self.paths[state]
        while path:
            for transition in event.transitions.get(path, ()):
                guard = transition.conditions[0].func.guard if transition.conditions else None
                found.append(Way(_leaf(transition.dest), guard, _leaf(path)))
            path = path.rpartition(SEPARATOR)[0]
        return tuple(found)


def _paths(saga: Saga[Any, Any]) -> Mapping[str, str]:
    """Where each state and group stands in the hierarchy, as ``OUTER/INNER/STATE``."""
    members: type[Enum] = saga.states
    sizes = sorted(saga.groups, key=lambda group: len(group.members))
    groups = {group.name: _path(_around(sizes, set(group.members), after=group), group.name) for group in saga.groups}
    states = {state.name: _path(_around(sizes, {state}), state.name) for state in members}
    return {**states, **groups}


def _around(sizes: list[Group], members: set[Any], after: Group | None = None) -> list[str]:
    """The names of the groups that hold all of *members*, the outer first."""
    return [g.name for g in reversed(sizes) if g is not after and members <= set(g.members)]


def _path(outer: list[str], name: str) -> str:
    return SEPARATOR.join([*outer, name])


def _leaf(path: str) -> str:
    return path.rpartition(SEPARATOR)[2]


def _nested(saga: Saga[Any, Any]) -> list[Any]:
    """The states as ``transitions`` wants them: a list of names and of ``{name, children}``."""
    top: dict[str, Any] = {}
    for path in sorted(_paths(saga).values(), key=lambda path: path.count(SEPARATOR)):
        level = top
        for part in path.split(SEPARATOR):
            level = level.setdefault(part, {})
    return _children(top)


def _children(level: dict[str, Any]) -> list[Any]:
    return [{"name": name, "children": _children(below)} if below else name for name, below in level.items()]
