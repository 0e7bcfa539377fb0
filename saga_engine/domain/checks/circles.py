"""Circles that a run can go round without anybody, with nothing written about how often."""

from collections.abc import Iterator

from saga_engine.domain.checks.finding import Finding, error, told, warning
from saga_engine.domain.definition.table import VISITS_MAX, Wait
from saga_engine.domain.graph import Graph, reach, shortest

FAILURES = ("failed", "timed_out", "expired")
"""Outcomes that come by themselves and are nobody's success."""


def check(graph: Graph) -> Iterator[Finding]:
    """SG020, once for each set of states that lead to each other.

    Every state has a bound of 100 visits, so no run goes round for ever: it parks. One that was written,
    ``at(…, visits=n)``, is taken as meant. A circle that needs an event or a verdict in each round goes as
    fast as people do and is left alone.
    """
    reached = {name for name, _ in graph.reached()}
    unbounded = {name for name in reached if name in graph.rows and graph.rows[name].visits == VISITS_MAX}
    after = {name: [to for to in _by_itself(graph, name) if to in unbounded] for name in unbounded}
    ahead = {name: reach(after[name], after.__getitem__) for name in unbounded}
    seen: set[str] = set()
    for name in graph.names:
        circle = {other for other in ahead.get(name, ()) if name in ahead[other]}
        if circle and name not in seen:
            seen |= circle
            back = shortest(after[name], name.__eq__, after.__getitem__)
            yield _finding(graph, (name, *back), circle)


def _by_itself(graph: Graph, state: str) -> list[str]:
    """Where the run can go next without an event or a person."""
    triggers = FAILURES if isinstance(graph.activity(state), Wait) else ("then", *FAILURES)
    return [way.target for way in graph.ways[state] if way.trigger in triggers]


def _finding(graph: Graph, path: tuple[str, ...], circle: set[str]) -> Finding:
    exits = [way for state in circle for way in graph.ways[state] if way.target not in circle]
    if any(way.trigger not in FAILURES for way in exits):
        text = f"nothing bounds {told(path)}: after {VISITS_MAX} rounds the run parks"
        return warning(graph, "SG020", path[0], text, "say how often it may go round: at(…, visits=n)", path=path)
    text = f"only a failure leaves {told(path)}: a run that succeeds goes round {VISITS_MAX} times and parks"
    return error(graph, "SG020", path[0], text, "add .when(guard, state) that leads out, or at(…, visits=n)", path=path)
