"""Can everything that was done be undone, and is there no way back where there must be none?"""

from collections.abc import Callable, Iterable, Iterator

from saga_engine.domain.checks.finding import Finding, error, level_told, told, warning
from saga_engine.domain.definition.table import Gate, RollBack, Run, Wait
from saga_engine.domain.graph import Graph, Place, Way, reach, shortest


def check(graph: Graph) -> Iterator[Finding]:
    """SG010, SG012, SG013, SG014, SG031."""
    reached = graph.reached()
    yield from _without_undo(graph, reached)
    yield from _way_back(graph, reached)
    yield from _no_cancel(graph, reached)
    yield from _left_undone(graph)
    yield from _gate_past_pivot(graph, reached)


def _without_undo(graph: Graph, reached: set[Place]) -> Iterator[Finding]:
    """Whatever can be rolled back is decided: a rollback passes silently over a step of which nothing is said."""
    for name in [name for name, run in graph.of(Run) if run.safety == "undecided"]:
        path = _to_rollback(graph, name, _not_sealing)
        cancelled = graph.cancel_target(name) if (name, False) in reached else None
        if name in _states(reached) and (path or cancelled):
            how = told(path) if path else f"saga cancel: {name} → {cancelled}"
            text = f"{name} has no undo and can be rolled back: {how}"
            advice = "add .undo(…), .reads_only() or .pivot()"
            yield error(graph, "SG010", name, text, advice, path=path or (name, str(cancelled)))


def _way_back(graph: Graph, reached: set[Place]) -> Iterator[Finding]:
    for name in [name for name in graph.names if graph.is_pivot(name) and name in _states(reached)]:
        for way in graph.asked(name, "failed"):
            if path := _to_rollback(graph, way.target, _every):
                text = f"{name} is the point of no return, yet failed= of its group leads back: {told((name, *path))}"
                advice = f"take {name} out of the group, or give the group no failed="
                yield error(graph, "SG012", name, text, advice, path=(name, *path), where=graph.where(way.level))
        paths = [_to_rollback(graph, way.target, _every) for way in graph.asked(name, "then")]
        if path := min(filter(None, paths), key=len, default=()):
            text = f"{name} is the point of no return, yet a rollback can follow: {told((name, *path))}"
            advice = "let what follows the pivot lead forward only, or move .pivot() to the last such step"
            yield error(graph, "SG012", name, text, advice, path=(name, *path))


def _to_rollback(graph: Graph, state: str, ways: Callable[[Graph, str], Iterable[Way]]) -> tuple[str, ...]:
    """The shortest path from *state* to one that undoes, by these ways."""
    back = {name for name, _ in graph.of(RollBack)}
    return shortest([state], back.__contains__, lambda at: [way.target for way in ways(graph, at)])


def _every(graph: Graph, state: str) -> Iterable[Way]:
    return graph.ways[state]


def _not_sealing(graph: Graph, state: str) -> Iterable[Way]:
    """The ways out but those that pass a pivot: nothing before it is undone any more."""
    return [way for way in graph.ways[state] if not (graph.is_pivot(state) and way.trigger == "then")]


def _no_cancel(graph: Graph, reached: set[Place]) -> Iterator[Finding]:
    """Several rolling-back states and none named: a cancel would have to guess, so it is refused.

    A pivot has no failed way to name one by; where nothing was done yet, a cancel ends the run on the spot.
    """
    back = [name for name, _ in graph.of(RollBack)]
    undoing = [(name, False) for name, run in graph.of(Run) if run.safety == "undone"]
    done = reach([place for place in undoing if place in reached], graph.after)
    live = [name for name in graph.names if isinstance(graph.activity(name), Run | Wait | Gate)]
    for name in live:
        if len(back) > 1 and (name, False) in done and not graph.is_pivot(name) and not graph.cancel_target(name):
            text = f"a cancel in {name} does not know where to: {', '.join(back)}"
            advice = "name one with failed= here or in a group"
            yield error(graph, "SG013", name, text, advice, path=graph.path_to(name))


def _left_undone(graph: Graph) -> Iterator[Finding]:
    """The engine loads no saga with a rolling-back state in a group, whatever the group's ways are."""
    for name, _ in graph.of(RollBack):
        for group in graph.machine.groups(name):
            text = f"{name} undoes what the run did and stands in {level_told(graph, group)}, whose ways would end that"
            yield error(graph, "SG014", name, text, f"take {name} out of the group", where=graph.where(group))
        for way in [way for way in graph.ways[name] if way.trigger != "then" and way.level == name]:
            on = way.trigger.removeprefix("event:")
            text = f"{on} leads from {name} to {way.target} before everything is undone"
            yield error(graph, "SG014", name, text, "remove the way", path=(name, way.target))


def _gate_past_pivot(graph: Graph, reached: set[Place]) -> Iterator[Finding]:
    pivots = sorted(place for place in reached if graph.is_pivot(place[0]))
    for name, _ in graph.of(Gate):
        if path := shortest(pivots, (name, True).__eq__, graph.after):
            states = tuple(state for state, _ in path)
            text = f"{name} asks when it is too late to say no: {told(states)}"
            advice = f"ask before {states[0]}, or make sure that rejected= and expired= lead forward"
            yield warning(graph, "SG031", name, text, advice, path=states)


def _states(places: set[Place]) -> set[str]:
    return {state for state, _ in places}
