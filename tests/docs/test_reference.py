"""The pages of the reference name exactly what the code has."""

from __future__ import annotations

import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import pytest
import sqlalchemy as sa

from saga_engine import errors
from saga_engine.cli.main import saga as saga_command
from saga_engine.cli.options import global_options
from saga_engine.cli.topics import TOPICS
from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.definition import fluent, saga
from saga_engine.domain.definition.facts import Approval, Facts, Step
from saga_engine.domain.definition.values import Event, Retry, Verdict
from saga_engine.domain.why import ORDER
from saga_engine.ledger import schema as ledger
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.store import schema as store
from saga_engine.store.migrate import VERSION_TABLE
from saga_engine.testing import plugin
from saga_engine.testing.clock import Clock
from saga_engine.testing.harness import Harness
from tests.docs import cli_page

PACKAGE: Final = Path(errors.__file__).parents[1]
REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference"

DRAFTS: Final = [kind for kind in vars(fluent).values() if isinstance(kind, type) and issubclass(kind, fluent.Draft)]
WORDS: Final = {
    name: word
    for kind in (*DRAFTS, saga.At, saga.Saga)
    for name, word in vars(kind).items()
    if inspect.isfunction(word) and not name.startswith("_")
}
"""Every word of a table; of one that several classes have, any: they agree, or the page would be wrong in a test."""


def text(page: str) -> str:
    return (REFERENCE / f"{page}.md").read_text()


def sections(page: str) -> dict[str, str]:
    """Heading -> what stands below it, down to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", text(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(page: str) -> list[list[str]]:
    """The rows of all tables of a page, without their heads and without back-ticks."""
    lines = text(page).splitlines()
    below = [line for line, after in pairwise([*lines, ""]) if line.startswith("| ") and not after.startswith("|--")]
    return [[cell.strip().replace("`", "") for cell in line[1:-1].split("|")] for line in below]


def columns(page: str) -> dict[str, list[str]]:
    """Table -> its columns, of a page that has a heading and a table for each."""
    named = {name: below for name, below in sections(page).items() if name.startswith("saga_")}
    return {name: re.findall(r"^\| `(\w+)` \|", below, re.MULTILINE) for name, below in named.items()}


def keywords(function: Any) -> set[str]:
    """The parameters of a function that a caller may name."""
    kinds = (inspect.Parameter.KEYWORD_ONLY,)
    return {name for name, parameter in inspect.signature(function).parameters.items() if parameter.kind in kinds}


def public(kind: type) -> set[str]:
    """What a class offers."""
    return {name for name in [*vars(kind), *kind.__annotations__] if not name.startswith("_")}


def called(function: Any) -> str:
    """A call with all parameters, each with its default: what a page shows."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"{function.__name__}({', '.join(shown)})"


def test_every_word_of_a_table_has_its_section() -> None:
    level_three = set(re.findall(r"^### (\w+)$", text("words"), re.MULTILINE))
    assert level_three == set(WORDS)


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_section_of_a_word_names_its_keywords(word: str) -> None:
    below = sections("words")[word]
    assert {name for name in keywords(WORDS[word]) if not re.search(rf"\b{name}\b", below)} == set()


@pytest.mark.parametrize(("heading", "kind"), [("approval", Approval), ("on", Event), ("run", Retry)])
def test_the_values_of_a_table_are_shown_with_all_their_parts(heading: str, kind: type) -> None:
    shown = re.search(rf"`{kind.__name__}\((.+)\)`", sections("words")[heading])
    assert shown is not None
    assert {part for part in inspect.signature(kind).parameters if not re.search(rf"\b{part}\b", shown[1])} == set()


def test_the_saga_is_shown_with_all_its_parts() -> None:
    shown = re.search(r"`Saga\((.+)\)`", text("words"))
    assert shown is not None
    assert re.findall(r"\w+(?==)|^\w+", shown[1]) == list(inspect.signature(saga.Saga).parameters)


@pytest.mark.parametrize(("heading", "kind"), [("Facts", Facts), ("Step", Step)])
def test_facts_and_step_are_shown_with_all_they_have(heading: str, kind: type) -> None:
    shown = set(re.findall(r"^\| `(\w+)", sections("step")[heading], re.MULTILINE))
    assert shown == public(kind)


def test_a_verdict_is_shown_with_all_its_parts() -> None:
    assert set(Verdict.model_fields) - set(re.findall(r"`(\w+)`", sections("step")["Facts"])) == set()


def test_every_method_of_the_engine_is_shown_as_it_is_called() -> None:
    shown = re.findall(r"^\| `(\w+\(.*?\))` \|", text("engine"), re.MULTILINE)
    methods = [vars(Engine)[name] for name in public(Engine) if inspect.isfunction(vars(Engine)[name])]
    assert sorted(shown) == sorted(called(method) for method in methods)


@pytest.mark.parametrize("kind", [Harness, Clock])
def test_what_a_test_may_ask_of_its_engine_is_shown_as_it_is_called(kind: type) -> None:
    shown = re.findall(r"^\| `(\w+\(.*?\))` \|", sections("testing")[kind.__name__], re.MULTILINE)
    methods = [vars(kind)[name] for name in vars(kind) if inspect.isfunction(vars(kind)[name]) and name[0] != "_"]
    assert sorted(shown) == sorted(called(method) for method in methods)


def test_the_fixtures_of_the_plugin_are_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", sections("testing")["Fixtures"], re.MULTILINE)
    assert sorted(listed) == sorted(name for name in vars(plugin) if name.startswith("saga_") and name != "saga_engine")


def test_the_engine_is_shown_as_it_is_made() -> None:
    assert f"`{called(Engine)}`" in text("engine")


def test_every_error_is_listed_with_its_base_its_exit_code_and_its_next_command() -> None:
    listed = {(error, base, code, following) for error, base, code, _, following in rows("errors")}
    assert listed == {
        (kind.__name__, kind.__base__.__name__, str(getattr(kind, "exit_code", "")), getattr(kind, "hint", ""))
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__base__ is not None
    }


def test_every_code_of_check_is_listed_with_its_title() -> None:
    listed = dict(re.findall(r"^\| `(SG\d+)` \| (.+) \|$", text("check-codes"), re.MULTILINE))
    assert listed == {code: rule.title for code, rule in RULES.items()}


def test_every_table_of_the_store_is_shown_with_its_columns() -> None:
    tables: list[sa.Table] = list(store.metadata.sorted_tables)
    assert columns("store-tables") == {table.name: list(table.columns.keys()) for table in tables}


def test_the_table_of_the_schemas_version_is_named() -> None:
    assert f"`{VERSION_TABLE}`" in text("store-tables")


def test_every_table_of_the_ledger_is_shown_with_its_columns() -> None:
    tables: list[sa.Table] = list(ledger.metadata.sorted_tables)
    assert columns("ledger-tables") == {table.name: list(table.columns.keys()) for table in tables}


def test_the_page_of_the_command_line_says_what_the_commands_say() -> None:
    page = cli_page.PAGE.read_text()
    assert page == cli_page.rewritten(page), "bring it up to date: python -m tests.docs.cli_page"


def test_every_global_option_is_listed() -> None:
    listed = set(re.findall(r"`(--?[\w-]+)", sections("cli")["Global options"]))
    options = [option for option in (*global_options(), *saga_command.params) if isinstance(option, click.Option)]
    assert listed == {name for option in options for name in option.opts} | {"--help", "-h"}


def test_every_exit_code_is_listed() -> None:
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", sections("cli")["Exit codes"], re.MULTILINE)]
    told = [int(code) for code in re.findall(r"^ *(\d+)  ", TOPICS["exit-codes"], re.MULTILINE)]
    raised = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert (listed, raised - set(listed)) == (told, set())


def test_every_way_to_name_a_run_is_listed() -> None:
    told = re.findall(r"^  (\S+) {2,}", TOPICS["runs"], re.MULTILINE)
    assert len(re.findall(r"^\| `", sections("cli")["Names of runs"], re.MULTILINE)) == len(told)


def test_every_code_of_why_is_listed_and_those_that_nothing_says_yet_are_planned() -> None:
    listed = dict(re.findall(r"^\| `(W\d\d)` \| (.+?) \|", text("why-codes"), re.MULTILINE))
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "why.py")
    said = {known for known in ORDER if f'"{known}"' in code}
    assert set(listed) == set(ORDER)
    assert {known for known, why in listed.items() if not why.startswith("*planned:*")} == said


def test_every_input_of_migrate_table_is_listed() -> None:
    page = (REFERENCE.parent / "how-to" / "migrate-a-table.md").read_text()
    listed = [name for row in re.findall(r"^\| (`\w+`(?:, `\w+`)?) \|", page, re.MULTILINE) for name in row.split(", ")]
    [chart] = registry.load(REFERENCE.parents[1] / "workflows" / "migrate_table.py")
    assert sorted(name.strip("`") for name in listed) == sorted(chart.saga.input.model_fields)
