"""Does the table hold together? States that nothing reaches or leaves, names used twice, ways that are never asked."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from saga_engine.domain.checks.finding import Finding, error, level_told, state_of, warning
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Edge, End, Run, Wait
from saga_engine.domain.definition.values import Event
from saga_engine.domain.graph import Graph, reach


def check(graph: Graph) -> Iterator[Finding]:
    """SG001, SG002, SG003, SG005, SG023, SG070."""
    yield from _dead_ends(graph)
    if all(name in graph.rows for name in graph.names):  # else the missing line may be the one that leads there
        yield from _unreachable(graph)
    yield from _traps(graph)
    yield from _names_used_twice(graph)
    yield from _never_timed_out(graph)
    yield from _never_asked(graph)


def _dead_ends(graph: Graph) -> Iterator[Finding]:
    for name in graph.names:
        if name not in graph.rows:
            text = f"{name} has no line in the table, or its line lacks .then(…)"
            yield error(graph, "SG003", name, text, "write the line, or end it with .then(…)", path=graph.path_to(name))
        elif not graph.ways[name] and not isinstance(graph.activity(name), End):
            yield error(
                graph, "SG003", name, f"{name} has no way out", "end its line with .then(…)", path=graph.path_to(name)
            )


def _unreachable(graph: Graph) -> Iterator[Finding]:
    reached = {name for name, _ in graph.reached()}
    for name in graph.names:
        visits = graph.rows[name].visits
        if name not in reached:
            text = f"nothing leads from {graph.start} to {name}"
            yield error(graph, "SG001", name, text, f"add a way to {name}, or remove it")
        elif visits < 1 and name != graph.start:
            text = f"{name} allows {visits} visits: a run parks in front of it"
            yield error(graph, "SG001", name, text, "give visits= a number from 1 on", path=graph.path_to(name))


def _traps(graph: Graph) -> Iterator[Finding]:
    """States that only lead to each other. What merely leads into such a circle is not reported beside it."""
    ahead = {
        name: reach([name], lambda state: [way.target for way in graph.ways[state]]) for name, _ in graph.reached()
    }
    for name in graph.names:
        if name not in ahead or not graph.ways[name]:
            continue
        circle = [state for state in graph.names if state in ahead[name]]
        if name == circle[0] and all(name in ahead[other] for other in circle):
            text = f"no end can be reached from {', '.join(circle)}"
            yield error(
                graph, "SG002", name, text, "add a way that leads on to a final state", path=graph.path_to(name)
            )


def _names_used_twice(graph: Graph) -> Iterator[Finding]:
    for function, name in _clashes([(named(run.work), run.work, name) for name, run in graph.of(Run)]):
        text = f"two steps are called {function}; results are stored by name"
        yield error(graph, "SG005", name, text, "rename one of the functions")
    for event, name in _clashes([(event.name, event, name) for event, name in events_of(graph)]):
        text = f"two events are called {event}"
        yield error(graph, "SG005", name, text, "write one Event value and use it twice, or rename one")


def _clashes(uses: list[tuple[str, object, str]]) -> list[tuple[str, str]]:
    """Each name that stands for two things, with the state of the first use that contradicts the one before."""
    first: dict[str, object] = {}
    clashes = [(word, state) for word, thing, state in uses if first.setdefault(word, thing) is not thing]
    return list(dict(reversed(clashes)).items())


def events_of(graph: Graph) -> list[tuple[Event[Any], str]]:
    """Every use of an event in the table: the event and a state or group that takes it."""
    waits = [(wait.event, name) for name, wait in graph.of(Wait)]
    return waits + [(edge.on, level) for level, edges in _levels(graph) for edge in edges if isinstance(edge.on, Event)]


def _never_timed_out(graph: Graph) -> Iterator[Finding]:
    taken = {way.level for ways in graph.ways.values() for way in ways if way.trigger == "timed_out"}
    for level, edges in _levels(graph):
        if level not in taken and any(edge.on == "timed_out" for edge in edges):
            text = f"timed_out is written for {level_told(graph, level)}, and no deadline can bring it"
            advice = "add deadline=…, or remove timed_out="
            yield warning(graph, "SG023", state_of(graph, level), text, advice, where=graph.where(level))


def _never_asked(graph: Graph) -> Iterator[Finding]:
    for level, edges in _levels(graph):
        for edge in _after_unguarded(edges):
            on = edge.on if isinstance(edge.on, str) else edge.on.name
            text = f"the way to {edge.to.name} on {on} is never asked: the one before it has no guard"
            advice = "put the way without a guard last, or remove one of them"
            yield error(graph, "SG070", state_of(graph, level), text, advice, where=graph.where(level))


def _after_unguarded(edges: tuple[Edge, ...]) -> Iterator[Edge]:
    closed: Counter[str] = Counter()
    for edge in edges:
        if closed[edge.trigger]:
            yield edge
        closed[edge.trigger] += edge.guard is None


def _levels(graph: Graph) -> list[tuple[str, tuple[Edge, ...]]]:
    """The states and groups of the table with the ways that are written for them."""
    rows = [(name, row.edges) for name, row in graph.rows.items()]
    return rows + [(name, group.edges) for name, group in graph.groups.items()]
