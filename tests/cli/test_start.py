"""What a cold start imports, and what the help says: real processes."""

from __future__ import annotations

import re
import subprocess
import sys

import click

from saga_engine.cli.main import COMMANDS
from saga_engine.cli.main import saga as program
from tests.cli.place import Place

HEAVY = {"sqlalchemy", "pydantic", "pydantic_settings", "alembic", "rich", "structlog", "transitions", "psycopg"}
IMPORTED = """
import sys
from saga_engine.cli.main import run
code = run({arguments})
sys.stderr.write(" ".join({{name.partition(".")[0] for name in sys.modules}}))
sys.exit(code)
"""


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(arguments=list(arguments))], capture_output=True, text=True, check=True
    )
    return HEAVY & set(done.stderr.split())


def test_help_and_version_import_nothing_heavy() -> None:
    assert (imported("--help"), imported("--version"), imported("help", "exit-codes")) == (set(), set(), set())


def test_looking_at_a_run_does_not_import_alembic(saga: Place) -> None:
    saga.started()
    code = IMPORTED.format(arguments=["list"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=saga.folder, env=saga.environment
    )
    assert {"alembic", "psycopg"} & set(done.stderr.split()) == set()


def test_the_help_names_every_command_by_what_one_wants(saga: Place) -> None:
    done = saga("--help")
    sections = re.findall(r"^(\w+):$", done.out, re.MULTILINE)
    names = re.findall(r"^  ([a-z]+)  +[A-Z]", done.out, re.MULTILINE)
    assert (done.code, done.err) == (0, "")
    assert sections == ["Start", "Look", "Decide", "Repair", "Author", "Operate", "Options"]
    assert names == [name for section in COMMANDS.values() for name in section]


def test_the_line_in_the_help_is_the_one_that_the_command_itself_says() -> None:
    told = {name: entry.help for section in COMMANDS.values() for name, entry in section.items()}
    with click.Context(program) as context:
        own = {name: program.get_command(context, name) for name in told}
    assert {name: command.get_short_help_str(200) for name, command in own.items() if command} == told


def test_every_command_has_a_help_of_its_own(saga: Place) -> None:
    for name in (name for section in COMMANDS.values() for name in section):
        done = saga(name, "--help")
        assert (done.code, done.err, done.out[:7]) == (0, "", "Usage: "), name


def test_a_word_that_is_nearly_a_command_is_guessed(saga: Place) -> None:
    assert saga("lst") == (2, "", "error: no such command 'lst'. Did you mean list?\nhint:  saga --help\n")
    assert saga("db", "upgrad") == (
        2,
        "",
        "error: no such command 'upgrad'. Did you mean upgrade?\nhint:  saga db --help\n",
    )
    assert saga("list", "--stat", "x").err.startswith("error: no such option '--stat'. Did you mean --state or --stat")


def test_without_a_command_the_help_goes_to_standard_error(saga: Place) -> None:
    done = saga()
    assert (done.code, done.out, done.err.splitlines()[0]) == (2, "", "Usage: saga [OPTIONS] COMMAND [ARGS]...")


def test_a_shell_can_complete_commands(saga: Place) -> None:
    script = saga(_SAGA_COMPLETE="bash_source")
    assert (script.code, "_SAGA_COMPLETE=bash_complete" in script.out) == (0, True)
    words = saga(_SAGA_COMPLETE="bash_complete", COMP_WORDS="saga re", COMP_CWORD="1")
    assert words.out.split() == ["plain,reject", "plain,retry", "plain,resolve", "plain,reconcile", "plain,resume"]


def test_topics_of_the_help(saga: Place) -> None:
    codes = saga("help", "exit-codes").out
    assert " ".join(re.findall(r"^ *(\d+)  ", codes, re.MULTILINE)) == "0 1 2 3 4 5 6 7 8 9 75 124 130"
    assert "Topics of saga help: exit-codes, runs, outputs, settings, completion" in saga("help").out
