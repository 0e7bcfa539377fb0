"""What every drawing says of a state and of a way, and how groups stand around states."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from saga_engine.domain.definition.facts import Approval
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import End, Gate, RollBack, Run, Wait
from saga_engine.domain.graph import Graph, Way
from saga_engine.domain.lengths import spaced
from saga_engine.domain.machine import SEPARATOR


@dataclass(slots=True)
class Box:
    """A group with what stands in it, or a state, which holds nothing."""

    name: str
    inside: list["Box"] = field(default_factory=list)


def described(graph: Graph, state: str) -> str:
    """What happens in *state*, in a few words."""
    match graph.activity(state):
        case Run() as run:
            return f"{named(run.work)}, {_way_back(run)}"
        case Wait(event=event, deadline=deadline):
            return f"waits for {event.name}, {at_most(deadline)}"
        case Gate(approval=approval):
            return _asks(approval)
        case RollBack():
            return "undoes, last started first"
        case End(outcome=outcome):
            return "end" if outcome == "completed" else "end, failed"
        case _:
            return "no line in the table"


def label(way: Way, ways: Iterable[Way]) -> str:
    """When *way*, one of *ways*, is taken; empty for the plain way on."""
    when = f" when {way.guard}" if way.guard else ""
    if way.trigger != "then":
        event = way.trigger.removeprefix("event:")
        return (event if event == way.trigger else f"on {event}") + when
    return when.strip() or ("else" if any(other.trigger == "then" and other.guard for other in ways) else "")


def by_target(ways: Iterable[Way]) -> Mapping[str, list[str]]:
    """Where *ways* lead, each with the labels of those that lead there, in the order in which they are asked."""
    asked = list(ways)
    found: dict[str, list[str]] = {}
    for way in asked:
        found.setdefault(way.target, []).append(label(way, asked))
    return found


def written(graph: Graph, level: str) -> list[Way]:
    """The ways that are written for a state or group and can be taken by somebody, each once."""
    return list(dict.fromkeys(way for name in graph.names for way in graph.ways[name] if way.level == level))


def arrows(graph: Graph) -> list[tuple[str, str, str]]:
    """Every arrow of a drawing with groups: from a state or group, to a state, with its label.

    A group's way into the group itself starts at each member: no drawing program takes it from the frame.
    """
    found: list[tuple[str, str, str]] = []
    for level in (*graph.names, *graph.groups):
        for target, labels in by_target(written(graph, level)).items():
            sources = [level]
            if level in graph.groups and level in graph.machine.paths[target].split(SEPARATOR):
                sources = [name for name in graph.names if (level, target) in _taken(graph, name)]
            found += [(source, target, ", ".join(filter(None, labels))) for source in sources]
    return found


def _taken(graph: Graph, state: str) -> set[tuple[str, str]]:
    return {(way.level, way.target) for way in graph.ways[state]}


def frame(graph: Graph, group: str) -> str:
    """What a group's frame says: its own name is made up."""
    deadline = graph.groups[group].deadline
    return "group" if deadline is None else f"group, {at_most(deadline)}"


def boxes(graph: Graph) -> list[Box]:
    """The groups with the states in them, and the states that are in none, in the order of the table."""
    top = Box("")
    for name in graph.names:
        level = top
        for part in graph.machine.paths[name].split(SEPARATOR):
            found = next((box for box in level.inside if box.name == part), None)
            if found is None:
                found = Box(part)
                level.inside.append(found)
            level = found
    return top.inside


def at_most(length: timedelta | None) -> str:
    """A time limit; a table written without a type checker may lack one."""
    return "for ever" if length is None else f"at most {spaced(length)}"


def _way_back(run: Run) -> str:
    match run.safety:
        case "undone":
            return f"undo by {named(run.undo.work)}" if run.undo else "undone"
        case "reads_only":
            return "reads only"
        case "pivot":
            return "point of no return"
        case _:
            return "no undo"


def _asks(approval: Approval[Any]) -> str:
    role = approval.role if approval.escalate is None else f"{approval.role}, later {approval.escalate[0]}"
    return f"asks {approval.quorum} of {role}, shows {named(approval.shows)}, {at_most(approval.expires)}"
