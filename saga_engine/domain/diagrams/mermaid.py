"""The drawing as Mermaid text (stateDiagram-v2)."""

import re
from collections.abc import Mapping
from typing import Any

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.table import End
from saga_engine.domain.diagrams.words import Box, arrows, boxes, frame
from saga_engine.domain.graph import Graph

RESERVED = frozenset({
    "as", "choice", "class", "classdef", "click", "default", "direction", "end", "fork", "hide", "href", "join",
    "note", "root", "scale", "start", "state", "style",
})  # fmt: skip
"""Words that Mermaid 11 reads as its own, in any case, where a state's name may stand."""


def mermaid(saga: Saga[Any, Any], state: str | None = None) -> str:
    """Draw *saga*: groups as composite states, the *state* where a run is set off."""
    graph = Graph(saga)
    ids = _ids([*graph.names, *graph.groups])
    lines = ["stateDiagram-v2"]
    for box in boxes(graph):
        lines += _box(graph, box, ids)
    lines.append(f"[*] --> {ids[graph.start]}")
    lines += [f"{ids[source]} --> {ids[target]}" + _label(label) for source, target, label in arrows(graph)]
    lines += [f"{ids[name]} --> [*]" for name, _ in graph.of(End)]
    if state is not None:
        lines += ["classDef current font-weight:bold,stroke-width:4px", f"class {ids[state]} current"]
    return "\n    ".join(lines) + "\n"


def _box(graph: Graph, box: Box, ids: Mapping[str, str]) -> list[str]:
    """The declaration of a state or group; members stand two steps further in."""
    if box.name not in graph.groups:
        return [ids[box.name]] if ids[box.name] == box.name else [f'state "{box.name}" as {ids[box.name]}']
    inside = [f"    {line}" for inner in box.inside for line in _box(graph, inner, ids)]
    return [f'state "{frame(graph, box.name)}" as {ids[box.name]} {{', *inside, "}"]


def _ids(names: list[str]) -> Mapping[str, str]:
    """For each name one that Mermaid takes and no other has."""
    ids: dict[str, str] = {}
    for name in names:
        found = name
        while found.lower() in RESERVED or found in ids.values() or (found != name and found in names):
            found += "_"
        ids[name] = found
    return ids


def _label(label: str) -> str:
    """The label behind an arrow, with what Mermaid would read as its own written as character numbers."""
    return " : " + re.sub(r"[^\w .,()-]", lambda found: f"#{ord(found[0])};", label) if label else ""
