"""Both type checkers accept what is right and find each mistake, on its line and nowhere else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from saga_engine.domain.chart import Chart
from saga_engine.domain.check import check
from tests.typing import good

pytestmark = pytest.mark.xdist_group("checkers")  # one process of the tests makes what all look at

ROOT: Final = Path(__file__).parents[2]
GOOD: Final = ROOT / "tests/typing/good.py"
BAD: Final = ROOT / "tests/typing/bad.py"
IGNORE: Final = re.compile(r"  # type: ignore\[[a-z, -]+\](?=  # (?P<number>\d+) )")
DANGLING: Final = """\
# pyright: strict, reportUnusedCallResult=true
from tests.typing.good import S, export, load, saga

saga.at(S.EXPORTING).run(export).then(S.LOADING)
saga.at(S.LOADING).run(load)
"""

Found: TypeAlias = dict[str, dict[int, list[str]]]
"""What a checker has to say: ``{file: {line: [messages]}}``."""


def mypy(files: list[Path]) -> Found:
    lines = checked("mypy", "--strict", "--output=json", *map(str, files)).splitlines()
    errors = [json.loads(line) for line in lines]
    return by_line((e["file"], e["line"], e["message"]) for e in errors if e["severity"] == "error")


def basedpyright(files: list[Path]) -> Found:
    errors = json.loads(checked("basedpyright", "--outputjson", *map(str, files)))["generalDiagnostics"]
    return by_line((e["file"], e["range"]["start"]["line"] + 1, e["message"]) for e in errors)


def checked(*command: str) -> str:
    """What the checker prints; it ends with 1 where it has found something."""
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def by_line(errors: Any) -> Found:
    found: Found = {}
    for file, line, message in errors:
        found.setdefault(Path(file).name, {}).setdefault(line, []).append(message)
    return found


CHECKERS: Final[dict[str, Callable[[list[Path]], Found]]] = {"mypy": mypy, "basedpyright": basedpyright}


@pytest.fixture(scope="module", params=CHECKERS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Found]:
    """One run of a checker over what is right, the marked mistakes, the same without marks, and a chain cut short."""
    folder = tmp_path_factory.mktemp(request.param)
    stripped, dangling = folder / "stripped.py", folder / "dangling.py"
    stripped.write_text(IGNORE.sub("", BAD.read_text()))
    dangling.write_text(DANGLING)
    return request.param, CHECKERS[request.param]([GOOD, BAD, stripped, dangling])


def marked() -> dict[int, int]:
    """``{number of the mistake: its line}``."""
    lines = enumerate(BAD.read_text().splitlines(), 1)
    return {int(match["number"]): line for line, text in lines if (match := IGNORE.search(text))}


def test_the_mistakes_are_numbered() -> None:
    assert list(marked()) == list(range(1, 63))


def test_what_is_right_is_accepted_and_no_mark_is_idle(found: tuple[str, Found]) -> None:
    """An ignore that is not needed is an error of its own in both checkers."""
    assert {name: lines for name, lines in found[1].items() if name in ("good.py", "bad.py")} == {}


def test_each_mistake_is_found_on_its_line_and_nothing_else(found: tuple[str, Found]) -> None:
    lines = found[1]["stripped.py"]
    assert {number for number, line in marked().items() if line not in lines} == set()
    assert {line: messages for line, messages in lines.items() if line not in marked().values()} == {}


def test_a_chain_without_then_is_found_by_basedpyright(found: tuple[str, Found]) -> None:
    checker, messages = found
    told = messages.get("dangling.py", {})
    if checker == "mypy":
        assert told == {}  # it cannot see a dropped chain; the engine and `saga check` name the state
    else:
        assert list(told) == [5]
        assert "is not used" in told[5][0] or "unused" in told[5][0].lower()


def test_the_tables_that_use_every_word_are_sound() -> None:
    roles = {"dba": ["ann", "bob"], "dba-lead": ["cid"]}
    assert [Chart(saga).name for saga in (good.saga, good.other)] == ["migrate_table", "charge"]
    assert [check(saga, roles) for saga in (good.saga, good.other)] == [[], []]
