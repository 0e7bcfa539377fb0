"""``saga why``: the reasons, each with its evidence and the commands that help."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from saga_engine.cli import options, output, people, trouble, waiting
from saga_engine.cli.following import LINES_AT_ONCE
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column, cell
from saga_engine.cli.story import Teller, as_line
from saga_engine.domain.lengths import spaced
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import HistoryLine, WhyView

WATCHED_MAX: Final = 200
"""So many runs, the newest, are looked at again and again."""
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

    def drawn(seen: WhyView) -> RenderableType:
        return draw(seen, turned_back(here.engine, seen))

    def write(seen: WhyView) -> None:
        output.item(here.options, "Why", seen, lambda: drawn(seen))

    if watch:
        waiting.watch(here.options, look, drawn, write, lambda _seen: here.engine.get(run_id).ended)
    else:
        write(look())


def _list(here: Here, *, watch: bool) -> None:
    given = here.options

    def look() -> list[WhyView]:
        lines = islice(here.live(), WATCHED_MAX) if watch else here.live()
        return [here.engine.why(line.id) for line in lines]

    def write(seen: list[WhyView]) -> None:
        output.items(given, "WhyList", WhyView, seen, COLUMNS, empty="no live runs")

    if watch:
        waiting.watch(given, look, lambda seen: people.table(COLUMNS, seen, wide=given.format == "wide"), write)
    else:
        write(look())


def turned_back(engine: Engine, seen: WhyView) -> str:
    """What made a run turn back, or end without completing, as its history tells it; empty where it did neither."""
    run = engine.get(seen.run_id)
    if run.status == "completed" or not (run.ended or any(task.kind == "undo" for task in run.tasks)):
        return ""
    entered: dict[str, HistoryLine] = {}
    end, back = None, run.state
    for line in _history(engine, seen.run_id):
        moves = [command for command in line.commands if command["kind"] == "Move"]
        entered |= {move["target"]: line for move in moves}
        if any(command["kind"] == "Finish" for command in line.commands):
            # The state that it left at the end is the one that it rolled back in; else the end itself tells.
            end, back = line, moves[-1]["source"] if moves and run.status != "failed" else ""
    found = entered.get(back, end)
    return as_line(Teller.of(engine, seen.run_id).tell(found), found.at, datetime.now(UTC)) if found else ""


def _history(engine: Engine, run_id: str) -> Iterator[HistoryLine]:
    after = 0
    while lines := engine.history(run_id, after=after, limit=LINES_AT_ONCE):
        yield from lines
        after = lines[-1].revision


def draw(seen: WhyView, turned: str = "") -> RenderableType:
    """The sentence on the run, what it turned back for, then each reason, then what to do."""
    stayed = spaced(datetime.now(UTC) - seen.since)
    free = "" if seen.reasons else " Nothing is in its way."
    head = [cell(f"{seen.run} is in {seen.state}, {seen.status}, for {stayed}.{free}")]
    if turned:
        head += [Text(), Text.assemble(("BACK  ", "bold"), cell(turned))]
    return Lines(*head, *([Text(), *_reasons(seen)] if seen.reasons else []))


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
