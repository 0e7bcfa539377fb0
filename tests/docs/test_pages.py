"""The documentation is whole: it builds without a warning, and the reference names all there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from saga_engine.settings import Limits, Settings

DOCS: Final = Path(__file__).parents[2] / "docs"
PACKAGE: Final = DOCS.parent / "saga_engine"


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*build, "-d", tmp_path / "doctrees", DOCS, tmp_path / "html"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "html" / "glossary.html").is_file()


def test_the_reference_names_every_limit_with_its_default() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+|none) \|", page, re.MULTILINE))
    limits = {
        name: None if value == "none" else float(value)
        for name, value in rows.items()
        if value != "none" or name in Limits.model_fields
    }
    assert limits == Limits().model_dump()


def test_the_reference_names_every_setting() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    named = {key.split(".")[0] for key in re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)}
    assert set(Settings.model_fields) - {"limits"} - named == set()


def test_the_reference_says_which_limits_nothing_reads_yet() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    said = set(re.findall(r"^\| `(\w+)` \| [\d.]+ \| \*not used yet:\*", page, re.MULTILINE))
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.parent.name != "settings")
    assert said == {name for name in Limits.model_fields if not re.search(rf"limits\.{name}\b", code)}


def test_the_reference_says_what_a_setting_is_where_nobody_sets_it() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| (?:`(.+?)`|none) \|", page, re.MULTILINE)
    shown = {name: value for name, value in rows if name not in Limits.model_fields}
    made = Settings()
    values = {**made.model_dump(exclude={"limits", "exports"}, mode="json")}
    values |= {f"exports.{name}": value for name, value in made.exports.model_dump(mode="json").items()}
    assert shown == {name: _written(value) for name, value in values.items()}


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value or "")


def test_the_tests_that_the_promises_name_are_there() -> None:
    page = (DOCS / "explanation" / "promises.md").read_text()
    promises = re.split(r"^## ", page.partition("## The figures")[0], flags=re.MULTILINE)[1:]
    named = [re.findall(r"`(\w+/\w+\.(?:py|pml))`", promise.rpartition("Shown by")[2]) for promise in promises]
    tests = DOCS.parent / "tests"
    assert [len(promises), all(named)] == [6, True]
    assert [name for names in named for name in names if not (tests / name).exists()] == []


def test_the_models_rules_are_counted_in_the_promises() -> None:
    page = (DOCS / "explanation" / "promises.md").read_text()
    rules = len(
        re.findall(
            r"^    \(\"\w+\", \"[A-Z_]+\", [A-Z_]+\),$",
            (DOCS.parent / "tests/model/test_models.py").read_text(),
            re.MULTILINE,
        )
    )
    assert f"0; {rules} of {rules}" in page
