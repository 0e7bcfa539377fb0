"""The drawing as DOT, for Graphviz."""

from typing import Any

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import End, Gate, RollBack, Wait
from saga_engine.domain.diagrams.words import Box, arrows, boxes, described, frame
from saga_engine.domain.graph import Graph

HEAD = (
    "compound=true;",
    "rankdir=TB;",
    'node [shape=box, style=rounded, fontname="sans-serif"];',
    'edge [fontname="sans-serif"];',
)


def dot(saga: Saga[Any, Any], state: str | None = None) -> str:
    """Draw *saga*: groups as clusters, the *state* where a run is in bold."""
    graph = Graph(saga)
    body = [*HEAD, '"" [shape=point];']
    for box in boxes(graph):
        body += _box(graph, box, state)
    body.append(f'"" -> {_quoted(graph.start)};')
    body += [_arrow(graph, *arrow) for arrow in arrows(graph)]
    return "\n    ".join([f"digraph {_quoted(saga.name)} {{", *body]) + "\n}\n"


def _box(graph: Graph, box: Box, state: str | None) -> list[str]:
    if box.name not in graph.groups:
        return [_node(graph, box.name, current=box.name == state)]
    inside = [f"    {line}" for inner in box.inside for line in _box(graph, inner, state)]
    head = f"subgraph {_quoted(f'cluster_{box.name}')} {{"
    return [head, f"    label={_quoted(frame(graph, box.name))};", *inside, "}"]


def _node(graph: Graph, name: str, *, current: bool) -> str:
    shape = {End: ", peripheries=2", Gate: ", shape=house", Wait: ", shape=oval", RollBack: ", style=dashed"}
    looks = shape.get(type(graph.activity(name)), "") + (", penwidth=4" if current else "")
    said = _quoted(f"{name}\n{described(graph, name)}")
    return f"{_quoted(name)} [label={said}{looks}];"


def _arrow(graph: Graph, source: str, target: str, label: str) -> str:
    """An arrow; one from a group starts at its first member and is cut at the frame."""
    looks = [f"label={_quoted(label)}"] if label else []
    if source in graph.groups:
        looks.append(f"ltail={_quoted(f'cluster_{source}')}")
        source = graph.groups[source].members[0].name
    return f"{_quoted(source)} -> {_quoted(target)}" + (f" [{', '.join(looks)}]" if looks else "") + ";"


def _quoted(text: str) -> str:
    """A string of DOT, in which a line may break."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
