"""Drawings of a saga and of a run's path: for a terminal, for Mermaid, for Graphviz."""

from saga_engine.domain.diagrams.dot import dot
from saga_engine.domain.diagrams.mermaid import mermaid
from saga_engine.domain.diagrams.path import Stay, path_line
from saga_engine.domain.diagrams.text import text

__all__ = ["Stay", "dot", "mermaid", "path_line", "text"]
