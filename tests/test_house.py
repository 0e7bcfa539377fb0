"""The house itself: sizes, circles, words above doors, and files that name nobody's machine."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, TypeAlias

import grimp
import pytest

ROOT: Final = Path(__file__).parents[1]
LINES_MAX: Final = 300
FUNCTION_LINES_MAX: Final = 60
# A released migration is never edited again: it may be as long as the schema that it makes.
FILES: Final = sorted(
    path
    for path in [*ROOT.glob("saga_engine/**/*.py"), *ROOT.glob("workflows/**/*.py")]
    if path.parent.name != "versions"
)
LOCKS: Final = sorted(ROOT.glob("requirements/*.txt"))

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text(), str(path))


def functions() -> Iterator[tuple[Path, Function]]:
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield path, node


def test_there_is_a_house_to_look_at() -> None:
    assert (len(FILES) > 10, [path.name for path in LOCKS]) == (True, ["dev.txt", "run.txt"])


def test_no_file_is_longer_than_300_lines() -> None:
    assert [shown(path) for path in FILES if len(path.read_text().splitlines()) > LINES_MAX] == []


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{shown(path, node.lineno)} {node.name}"
        for path, node in functions()
        if (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_import_hides_inside_a_function() -> None:
    hidden = [
        shown(path, inner.lineno)
        for path, node in functions()
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = grimp.build_graph("saga_engine", exclude_type_checking_imports=True, cache_dir=None)
    order = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_everything_public_has_a_docstring() -> None:
    silent = [
        f"{shown(path, getattr(node, 'lineno', 1))} {getattr(node, 'name', 'module')}"
        for path, tree in trees()
        for node in public(tree)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """The node and what is public in it. An overload and a setter are spoken for by what they belong to."""
    yield node
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from public(inner)
        elif isinstance(inner, Function) and not inner.name.startswith("_") and not spoken_for(inner):
            yield inner


def spoken_for(function: Function) -> bool:
    return any(
        ast.unparse(decorator).endswith(("overload", ".setter", "override")) for decorator in function.decorator_list
    )


def test_the_domain_asks_no_clock_and_no_dice() -> None:
    asked = {"now", "today", "utcnow", "time", "monotonic", "uuid1", "uuid4", "uuid7"}
    calls = [
        shown(path, node.lineno)
        for path, tree in trees()
        if "domain" in path.parts
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in asked
    ]
    assert calls == []


def test_every_silenced_rule_says_why() -> None:
    marker = re.compile(
        r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\]|pyright: ignore\[\w+\]|pragma: no \w+)(?P<why>.*)$"
    )
    bare = [
        shown(path, number)
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := marker.search(line)) and not re.search(r"\w{3}", found["why"])
    ]
    assert bare == []


def test_every_lint_exception_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("ignore = [") : text.index("[tool.ruff.lint.mccabe]")]
    assert [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+\d*",?\s*$', line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_pins_everything_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    lines = text.replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if re.search(r"://|--(?:extra-)?index|--find-links|file:", line)] == []
    assert [line for line in pinned if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_the_lock_files_hold_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "run.txt": project["dependencies"],
        "dev.txt": project["dependencies"]
        + [name for extra in project["optional-dependencies"].values() for name in extra],
    }
    missing = {
        lock: [
            name
            for name in map(plain, requirements)
            if not re.search(rf"(?m)^{name}==", (ROOT / "requirements" / lock).read_text())
        ]
        for lock, requirements in wanted.items()
    }
    assert missing == {"run.txt": [], "dev.txt": []}


def plain(requirement: str) -> str:
    """The normalised name in a requirement; ours stands for itself."""
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    name = re.sub(r"[-_.]+", "-", match[0]).lower()
    return "sqlalchemy" if name == "saga-engine" else name
