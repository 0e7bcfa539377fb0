"""What a rule says: a finding for one table, and the text that explains the rule to whoever meets it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from saga_engine.domain.graph import Graph

Severity: TypeAlias = Literal["error", "warning"]
"""error: a run can go wrong, or the table says what cannot happen · warning: it may be meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a table. *help* is what to write instead."""

    code: str
    severity: Severity
    saga: str
    state: str
    where: str
    """``file:line`` of the line of the table; where a state has none, of the line that leads to it."""
    text: str
    help: str
    path: tuple[str, ...] = ()
    """The shortest way to the trouble, as names of states; empty where the trouble is in one line."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What ``saga explain`` prints: why it matters, a line that breaks the rule, a line that does not."""

    code: str
    title: str
    why: str
    bad: str
    good: str


def error(
    graph: Graph, code: str, state: str, text: str, advice: str, *, path: tuple[str, ...] = (), where: str = ""
) -> Finding:
    """What must be mended; *where* is the line of *state* unless a group's line is meant."""
    return Finding(code, "error", graph.saga.name, state, where or graph.where(state), text, advice, path)


def warning(
    graph: Graph, code: str, state: str, text: str, advice: str, *, path: tuple[str, ...] = (), where: str = ""
) -> Finding:
    """What may be meant."""
    return Finding(code, "warning", graph.saga.name, state, where or graph.where(state), text, advice, path)


def told(path: tuple[str, ...]) -> str:
    """A path for a sentence."""
    return " → ".join(path)


def level_told(graph: Graph, level: str) -> str:
    """A state's name; a group by its members, for its own name is made up."""
    if level in graph.groups:
        return "the group of " + ", ".join(member.name for member in graph.groups[level].members)
    return level


def state_of(graph: Graph, level: str) -> str:
    """The state that a finding about a state or group is filed under: of a group, its first member."""
    return graph.groups[level].members[0].name if level in graph.groups else level
