"""The drawing for a terminal: the trunk from top to bottom, beside each state the ways that leave it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import End
from saga_engine.domain.diagrams.route import route
from saga_engine.domain.diagrams.words import by_target, described
from saga_engine.domain.graph import Graph

NAMES_WIDTH = 24
LABELS_WIDTH = 30
"""Longer names and labels push what follows to the right, or onto a line of its own."""

NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs that are drawn with."""

    state: str = "○"
    current: str = "●"
    end: str = "◎"
    rail: str = "│"
    down: str = "▼"
    arrow: str = "─▶"


ASCII = Glyphs("o", "*", "=", "|", "v", "->")


def text(saga: Saga[Any, Any], state: str | None = None, *, ascii_only: bool = False, width: int = 80) -> str:
    """Draw *saga* in *width* columns; *state* is where a run is. Every way that can be taken is there, once.

    Lines are as wide as that unless a single name is wider.
    """
    graph, glyphs = Graph(saga), ASCII if ascii_only else Glyphs()
    lines = [f"{saga.name} v{saga.version}" + (f", in {state}" if state else ""), ""]
    for chain in _chains(graph):
        for name, onward in zip_longest(chain, chain[1:]):
            lines += _state(graph, name, glyphs, width, current=name == state)
            lines += _ways(graph, name, onward, glyphs, width)
        lines.append("")
    return "\n".join(line.rstrip() for line in lines)


def _chains(graph: Graph) -> Iterator[list[str]]:
    """The trunk, then what is left, each as far as it leads on to states that are not drawn yet."""
    drawn: set[str] = set()
    for name in (graph.start, *graph.names):
        path = route(graph, name)
        chain = list(path[: next((at for at, state in enumerate(path) if state in drawn), None)])
        drawn.update(chain)
        if chain:
            yield chain


def _state(graph: Graph, name: str, glyphs: Glyphs, width: int, *, current: bool) -> list[str]:
    is_end = isinstance(graph.activity(name), End)
    mark = glyphs.current if current else glyphs.end if is_end else glyphs.state
    column = min(NAMES_WIDTH, max(map(len, graph.names)))
    head = f"{mark} {name:<{column}}  "
    first, *more = wrap(described(graph, name), max(width - column - 4, 20))
    if len(head) + len(first) > width:
        return [head, *(f"{glyphs.rail if not is_end else ' '}   {line}" for line in (first, *more))]
    rail = " " if is_end else glyphs.rail
    return [head + first, *(f"{rail:<{column + 4}}{line}" for line in more)]


def _ways(graph: Graph, name: str, onward: str | None, glyphs: Glyphs, width: int) -> Iterator[str]:
    targets = by_target(graph.ways[name])
    aside = {to: _lines(labels, LABELS_WIDTH) or ["then"] for to, labels in targets.items() if to != onward}
    column = min(LABELS_WIDTH, max((len(lines[-1]) for lines in aside.values()), default=0))
    rail = glyphs.rail if onward else " "
    for target, (*above, last) in aside.items():
        yield from (f"{rail}   {line}" for line in above)
        line = f"{rail}   {last:<{column}} {glyphs.arrow} {target}"
        yield from [line] if len(line) <= width else [f"{rail}   {last}", f"{rail}     {glyphs.arrow} {target}"]
    if onward:
        *above, last = _lines(targets[onward], width - 2) or [""]
        yield from (f"{rail} {line}" for line in above)
        yield f"{glyphs.down} {last}"


def _lines(labels: list[str], width: int) -> list[str]:
    """The labels side by side, broken between two of them."""
    joined = ", ".join(" ".join(label.split()).replace(" ", NO_BREAK) for label in labels if label)
    return [line.replace(NO_BREAK, " ") for line in wrap(joined, width, break_long_words=False)]
