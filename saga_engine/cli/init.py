"""``saga init``: a settings file and a first saga, where there are none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from saga_engine.cli import people
from saga_engine.cli.options import Command, Options
from saga_engine.cli.trouble import Refused, note
from saga_engine.errors import NotShipped
from saga_engine.settings import shipped_workflows, system_user

TEMPLATES: Final = Path(__file__).parent / "templates"
FIRST: Final = "hello"
"""The saga that is written where none is named."""


@click.command(cls=Command, formats=("text",))
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--from", "name", default=FIRST, show_default=True, metavar="NAME", help="The saga: hello, or a shipped one."
)
@click.pass_obj
def init(given: Options, folder: Path, name: str) -> None:
    """Write a settings file and a first saga into a folder.

    Writes saga.toml and workflows/NAME.py, and never over a file that is there. The shipped sagas, such as
    migrate_table, are real ones: yours to change.
    """
    written = {
        folder / "saga.toml": (TEMPLATES / "saga.toml").read_text().replace("{user}", system_user()),
        folder / "workflows" / f"{name}.py": _source(name).read_text(),
    }
    for path, text in written.items():
        people.line(_write(path, text))
    if not given.quiet:
        note(f"next:  {_next(folder, name)}")


def _source(name: str) -> Path:
    """Where the saga of that name is written down."""
    shipped = {path.stem: path for path in shipped_workflows().glob("*.py") if not path.name.startswith("_")}
    known = {FIRST: TEMPLATES / f"{FIRST}.py", **shipped}
    if name not in known:
        raise NotShipped(saga=name, loaded=", ".join(known))
    return known[name]


def _write(path: Path, text: str) -> str:
    """Make the file, if it is not there; say what was done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if os.path.lexists(path):
            return f"kept   {path}"
        raise Refused(f"{path} cannot be written: {path.parent} is a file", "saga init DIR writes elsewhere") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}", "saga init DIR writes elsewhere") from None
    return f"wrote  {path}"


def _next(folder: Path, name: str) -> str:
    there = "" if folder.resolve() == Path.cwd().resolve() else f"cd {folder} && "
    return f"{there}saga run hello --input name=World --work" if name == FIRST else f"{there}saga graph {name}"
