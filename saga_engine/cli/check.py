"""``saga check`` and ``saga explain``: what is wrong with sagas, and what a code means."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Final

import click
from rich.console import Group as Lines
from rich.text import Text

from saga_engine.cli import output, people, sarif
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import STYLES, cell
from saga_engine.errors import WorkflowsMissing
from saga_engine.runtime import checking
from saga_engine.runtime.views import CheckedView, FoundView

PROBLEMS: Final = 6


@click.command(cls=Command, formats=("text", "json", "sarif"))
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--against-store", is_flag=True, help="Compare what is looked at with what live runs go by, too.")
@click.pass_obj
def check(given: Options, paths: tuple[Path, ...], *, against_store: bool) -> int:
    """Find what is wrong with sagas before they run.

    Looks at the workflows of the settings, or at the files and folders that are named. Exits with 6 where it finds an
    error; warnings alone are no failure.
    """
    began = time.monotonic()
    with Here(given) as here:
        asked = paths or (here.settings.workflows,)
        for path in asked:
            if not path.exists():
                raise WorkflowsMissing(path=path)
        looked, sagas = checking.check(asked, here.settings.roles)
        found = [*looked.found, *(checking.against_store(here.settings, sagas) if against_store else ())]
    near = [finding.model_copy(update={"where": _near(finding.where)}) for finding in found]
    _print(given, looked, near, time.monotonic() - began)
    return PROBLEMS if any(finding.severity == "error" for finding in found) else 0


@click.command("explain", cls=Command, formats=("text",))
@click.argument("code", metavar="[CODE]", required=False)
def explain_rule(code: str | None) -> None:
    """Explain a rule of check.

    Without a code it lists them all.
    """
    if code is not None:
        sys.stdout.write(checking.explain(code))
        return
    for known, title in checking.titles().items():
        people.line(f"{known}  {title}")


def _print(given: Options, looked: CheckedView, found: list[FoundView], seconds: float) -> None:
    match given.output:
        case "json":
            output.records(given, "FindingList", FoundView, found)
        case "sarif":
            sys.stdout.write(f"{json.dumps(sarif.log(found), indent=2)}\n")
        case _:
            for finding in found:
                people.show(given, _told(finding))
            size = f"{looked.states} states, {looked.ways} ways, {seconds:.1f} s"
            people.line(f"{_count(len(found), 'problem')} in {_count(looked.sagas, 'saga')} ({size})")


def _told(finding: FoundView) -> Lines:
    head = Text.assemble(
        cell(finding.where or finding.saga),
        "  ",
        (f"{finding.code} {finding.severity:<8}", STYLES[finding.severity]),
        cell(finding.text),
    )
    path = [cell(f"    {' → '.join(finding.path)}")] if len(finding.path) > 1 else []
    return Lines(head, *path, cell(f"    help: {finding.help}    saga explain {finding.code}"))


def _near(where: str) -> str:
    """``file:line`` from the working directory, where the file is below it."""
    file, colon, line = where.rpartition(":")
    path = Path(file or where)
    if not where or not path.is_absolute() or not path.is_relative_to(Path.cwd()):
        return where
    return f"{path.relative_to(Path.cwd())}{colon}{line if file else ''}"


def _count(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
