"""The way a run takes when all goes well: the trunk of the drawing, and what lies ahead in the path line."""

from saga_engine.domain.definition.table import End, RollBack
from saga_engine.domain.graph import Graph, shortest

GOOD = ("then", "approved")


def route(graph: Graph, start: str) -> tuple[str, ...]:
    """From *start* to an end by successes: the way without a guard where it leads on, else the first that does.

    A rollback is no success. Where only failures lead to an end, the shortest way to one; where nothing does,
    *start* alone.
    """
    path = [start]
    while (following := _next(graph, path)) is not None:
        path.append(following)
    if isinstance(graph.activity(path[-1]), End):
        return tuple(path)
    ends = {name for name, _ in graph.of(End)}
    return shortest([start], ends.__contains__, lambda at: [way.target for way in graph.ways[at]]) or (start,)


def _next(graph: Graph, path: list[str]) -> str | None:
    """The next state of the trunk: one from which a success still leads to an end, past none of *path*."""
    ends = {name for name, end in graph.of(End) if end.outcome == "completed"}

    def ahead(state: str) -> list[str]:
        return [to for to in _successes(graph, state) if to not in path]

    return next((to for to in ahead(path[-1]) if shortest([to], ends.__contains__, ahead)), None)


def _successes(graph: Graph, state: str) -> list[str]:
    back = {name for name, _ in graph.of(RollBack)}
    ways = [way for way in graph.ways[state] if way.trigger in GOOD and way.target not in back]
    return [way.target for way in sorted(ways, key=lambda way: way.guard != "")]
