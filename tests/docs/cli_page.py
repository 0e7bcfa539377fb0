"""Writes what the page of the command line says of each command, from the commands themselves.

``python -m tests.docs.cli_page`` brings the page up to date; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from saga_engine.cli.main import COMMANDS, Program, saga
from saga_engine.cli.options import Command

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
BEGIN: Final = "<!-- begin: written by tests/docs/cli_page.py -->\n"
END: Final = "<!-- end -->\n"


def rewritten(page: str) -> str:
    """The page with the part between the marks written anew."""
    head, rest = page.split(BEGIN)
    return head + BEGIN + "\n" + told() + "\n" + END + rest.split(END)[1]


def told() -> str:
    """Every command, by section."""
    assert isinstance(saga, Program), "the sections are those of the help"
    with click.Context(saga, info_name="saga") as context:
        return "\n".join(
            line for title, section in COMMANDS.items() for line in _section(context, title, list(section))
        )


def _section(context: click.Context, title: str, names: list[str]) -> Iterator[str]:
    yield f"## {title}\n"
    for name in names:
        command = saga.get_command(context, name)
        assert command is not None
        yield from _command(context, command, name, 3)


def _command(above: click.Context, command: click.Command, name: str, depth: int) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=above) as context:
        yield f"{'#' * depth} {context.command_path}\n"
        yield f"`{context.command_path} {' '.join(command.collect_usage_pieces(context))}`\n"
        yield _paragraphs(command) + "\n"
        rows = [row for option in _own(command) if (row := option.get_help_record(context))]
        if rows:
            yield "\n".join(f"- `{spelled}`: {_escaped(means)}" for spelled, means in rows) + "\n"
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield from _command(context, found, inner, depth + 1)


def _own(command: click.Command) -> list[click.Option]:
    """The options that are not the global ones."""
    own = command.params[: command.own] if isinstance(command, Command) else command.params
    return [option for option in own if isinstance(option, click.Option)]


def _paragraphs(command: click.Command) -> str:
    """The help; a block that click must not re-wrap stands as it is."""
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    return re.sub(r"\x08\n(.+?)(?=\n\n|\Z)", r"```text\n\1\n```", _escaped(text), flags=re.DOTALL).rstrip()


def _escaped(text: str) -> str:
    """Markdown would take names in capitals between < and > for tags."""
    return re.sub(r"<(?=[A-Za-z/])", r"\\<", text).replace("  [", " [")


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
