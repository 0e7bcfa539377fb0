"""Each place that writes to the store is in the table that says what happens when the answer to its COMMIT is lost."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = ROOT / "docs" / "decisions" / "0021-unknown-outcomes.md"
TRYING: Final = {"retrying", "certain", "alone"}
OWN: Final = {ROOT / "saga_engine" / "store" / name for name in ("transactions.py", "retry.py")}
"""Where these are made."""


def writes(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in TRYING:
            return True
        case ast.Call(func=ast.Attribute(attr="write", value=holder)):
            return ast.unparse(holder).split(".")[-1].lstrip("_") == "store"
        case _:
            return False


def places(tree: ast.AST, inside: str = "") -> set[str]:
    """The methods and functions that write, without those that are nested in them."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.ClassDef(name=name):
                found |= places(node, f"{name}.")
            case ast.FunctionDef(name=name) if any(writes(part) for part in ast.walk(node)):
                found.add(f"{inside}{name}")
            case _:
                pass
    return found


def test_the_table_names_each_place_that_writes_to_the_store() -> None:
    files = [file for file in sorted((ROOT / "saga_engine").rglob("*.py")) if file not in OWN]
    code = {
        f"{file.relative_to(ROOT / 'saga_engine')} {place}"
        for file in files
        for place in places(ast.parse(file.read_text(encoding="utf-8")))
    }
    told = re.findall(r"^\| `([^`]+)` \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(told) == code
    assert len(told) == len(set(told))


def test_each_line_says_which_of_the_four_answers_it_is() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    answers = [re.match(r"\*(again|asked|later|told)\*", line.split(" | ")[2]) for line in lines]
    assert all(answers), [line for line, answer in zip(lines, answers, strict=True) if not answer]
