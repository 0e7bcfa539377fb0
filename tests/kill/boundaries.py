"""Reads code for the places at which a process may die between two things that last: statements, commits, files.

A *boundary* is a call that writes or locks in a database, or ends a transaction. A query that locks nothing is none:
to die before it is to die behind what came before. What a call executes is looked up, through names of the function
and of the module, to the word that its statement begins with; what cannot be looked up is taken for a boundary.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

EXECUTES: Final = {"execute", "exec_driver_sql", "executemany", "executescript", "scalar", "scalars"}
COMPILED: Final = {"execute", "one_or_none"}
"""Methods of a statement that is compiled once (store/compiled.py)."""
DRIVES: Final = {"drive"}
ENDS: Final = {"commit"}
QUERIES: Final = {"select", "union", "union_all", "exists", "_next"}
READING_SQL: Final = re.compile(r"(?i)\s*(SELECT|SHOW|PRAGMA\s+\w*\s*(;|$)|PRAGMA \{)")
LOCKS: Final = {"with_for_update"}

Names: TypeAlias = Mapping[str, Sequence[ast.expr]]


@dataclass(frozen=True)
class Function:
    """A function of the code: where it is, and its boundaries and failpoints by line, in order."""

    file: str
    name: str
    events: tuple[tuple[int, str], ...]
    """``(line, "hit" | the call)``."""

    @property
    def bare(self) -> list[str]:
        """Boundaries with a failpoint neither between them and the one before nor between them and the next."""
        kinds = ["hit" if what == "hit" else "boundary" for _, what in self.events]
        return [
            f"{self.file}:{line} {self.name}: {what}"
            for place, (line, what) in enumerate(self.events)
            if what != "hit" and "hit" not in (*kinds[place - 1 : place], *kinds[place + 1 : place + 2])
        ]


def functions(file: str, code: str) -> Iterator[Function]:
    """Every function that has a boundary, nested ones for themselves."""
    tree = ast.parse(code)
    known = _assigned(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {**known, **_assigned(_own(node))}
            events = [(line, what) for line, _, what in sorted(_events(node, names))]
            if any(what != "hit" for _, what in events):
                yield Function(file, node.name, tuple(events))


def _events(node: ast.AST, names: Names) -> Iterator[tuple[int, int, str]]:
    """``(line, column, what)``."""
    for inner in _own(node):
        if isinstance(inner, ast.Call):
            name = _called(inner)
            if name == "hit":
                yield inner.lineno, inner.col_offset, "hit"
            elif name in DRIVES or (isinstance(inner.func, ast.Attribute) and _lasts(inner, inner.func, names)):
                yield inner.lineno, inner.col_offset, ast.unparse(inner)[:80]


def _lasts(call: ast.Call, method: ast.Attribute, names: Names) -> bool:
    compiled = _compiled(method.value, names)
    if compiled:
        return method.attr in COMPILED and not all(_reads(statement, names) for statement in compiled)
    return method.attr in ENDS or (method.attr in EXECUTES and not _only_reads(call, names))


def _compiled(receiver: ast.expr, names: Names) -> list[ast.expr]:
    """The statements that were compiled once, where the receiver of a call is known to be such a one."""
    values = names.get(receiver.id, ()) if isinstance(receiver, ast.Name) else ()
    return [value.args[0] for value in values if isinstance(value, ast.Call) and _called(value) == "Compiled"]


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, without the functions in it; a lambda belongs to whoever wrote it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own(child)


def _assigned(nodes: Iterable[ast.AST]) -> Names:
    """What names stand for; a name that is assigned again stands for all of it."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.setdefault(name, []).append(value)
            case _:
                pass
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _only_reads(call: ast.Call, names: Names) -> bool:
    return bool(call.args) and _reads(call.args[0], names)


def _reads(statement: ast.expr, names: Names) -> bool:
    """True when the statement is known to be a query that locks nothing."""
    match statement:
        case ast.Constant(value=str(text)):
            return READING_SQL.match(text) is not None
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return READING_SQL.match(f"{text}{{") is not None
        case ast.Name(id=name) if name in names:
            # Itself it may be built on: `query = query.where(…)`.
            return all(_reads(value, {**names, name: ()}) for value in names[name])
        case ast.Call(func=ast.Name(id=name)):
            return name in QUERIES
        case ast.Call(func=ast.Attribute(value=value, attr=attr)):
            if attr in LOCKS:
                return False
            return attr in QUERIES or _reads(value, names)
        case _:
            return False
