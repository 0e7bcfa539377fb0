"""``saga why``: the reasons, each with its evidence and the commands that help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from saga_engine.cli import options, output, people, trouble, waiting
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column, cell
from saga_engine.domain.lengths import spaced
from saga_engine.runtime.views import WhyView

RUNS_MAX: Final = 1_000
"""So many live runs ``--all`` looks at."""

COLUMNS: Final = (
    Column[WhyView]("RUN", lambda why: why.run, whole=True),
    Column[WhyView]("STATE", lambda why: why.state, whole=True),
    Column[WhyView]("STATUS", lambda why: why.status),
    Column[WhyView]("WHY", lambda why: " ".join(reason.code for reason in why.reasons) or "-", whole=True),
    Column[WhyView]("", lambda why: why.reasons[0].sentence if why.reasons else "-"),
    Column[WhyView]("NEXT", lambda why: next((n.command for r in why.reasons for n in r.next), "-"), wide=True),
)


@click.command(cls=Command)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--all", "every", is_flag=True, help="Every live run, the newest first.")
@options.watch_option
@click.pass_obj
def why(given: Options, run: str | None, *, every: bool, watch: bool) -> None:
    """Say why a run is where it is, and which command helps."""
    if (run is None) != every:
        raise trouble.Refused("name one run, or say --all", "saga why RUN")
    with Here(given) as here:
        if run is None:
            _list(here, watch=watch)
        else:
            _one(here, here.run(run), watch=watch)


def _one(here: Here, run_id: str, *, watch: bool) -> None:
    def look() -> WhyView:
        return here.engine.why(run_id)

    def write(seen: WhyView) -> None:
        output.item(here.options, "Why", seen, lambda: draw(seen))

    if watch:
        waiting.watch(here.options, look, draw, write, lambda _seen: here.engine.get(run_id).ended)
    else:
        write(look())


def _list(here: Here, *, watch: bool) -> None:
    given = here.options

    def look() -> list[WhyView]:
        return [here.engine.why(line.id) for line in here.engine.find(live=True, limit=RUNS_MAX).items]

    def write(seen: list[WhyView]) -> None:
        output.items(given, "WhyList", WhyView, seen, COLUMNS, empty="no live runs")

    if watch:
        waiting.watch(given, look, lambda seen: people.table(COLUMNS, seen, wide=given.format == "wide"), write)
    else:
        write(look())


def draw(seen: WhyView) -> RenderableType:
    """The sentence on the run, then each reason, then what to do."""
    stayed = spaced(datetime.now(UTC) - seen.since)
    if not seen.reasons:
        return cell(f"{seen.run} is in {seen.state}, {seen.status}, for {stayed}. Nothing is in its way.")
    return Lines(cell(f"{seen.run} is in {seen.state}, {seen.status}, for {stayed}."), Text(), *_reasons(seen))


def _reasons(seen: WhyView) -> Iterator[RenderableType]:
    for number, reason in enumerate(seen.reasons):
        head = Text("ALSO  " if number else "WHY   ", style="bold")
        yield Text.assemble(head, (reason.code, "yellow"), "  ", cell(reason.sentence))
        for line in reason.evidence:
            yield cell(f"           {line}")
    commands = list(dict.fromkeys((n.command, n.effect) for reason in seen.reasons for n in reason.next))
    if commands:
        yield Text()
        yield people.facts(
            (f"{'NEXT' if number == 1 else '    '}  {number}", f"{command:<48}  {effect}".rstrip())
            for number, (command, effect) in enumerate(commands, start=1)
        )
