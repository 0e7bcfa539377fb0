"""``saga history``: what happened to a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from shlex import quote
from typing import Final

import click

from saga_engine.cli import options, output, people
from saga_engine.cli.following import LINES_AT_ONCE, follow_history
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.story import Teller, as_line
from saga_engine.runtime.views import HistoryLine

REVISION_MAX: Final = 2**31 - 1
"""The highest that the column of a store can hold."""


@click.command(cls=Command)
@options.run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens next, until the run has ended.")
@click.option(
    "--after", type=click.IntRange(0, REVISION_MAX), default=0, metavar="REVISION", help="Lines behind this one."
)
@click.option(
    "--limit", type=click.IntRange(1, LINES_AT_ONCE), help=f"At most so many: {LINES_AT_ONCE}, and all as jsonl or csv."
)
@click.pass_obj
def history(given: Options, run: str, after: int, limit: int | None, *, follow: bool) -> None:
    """Tell what happened to a run, line by line.

    Each line is one event and what followed from it. JSON, JSON lines and CSV give the journal as it is stored.
    """
    with Here(given) as here:
        run_id = here.run(run)
        tells = Teller.of(here.engine, run_id)

        def told(line: HistoryLine) -> str:
            return as_line(tells.tell(line), line.at, datetime.now(UTC))

        if follow:
            write = (lambda line: people.line(told(line))) if output.for_people(given) else output.line
            follow_history(here, run_id, write, after)
            return
        if limit is None and output.streams(given):
            output.stream(given, HistoryLine, _pages(here, run_id, after))
            return
        lines = here.engine.history(run_id, after=after, limit=limit or LINES_AT_ONCE)
        more = str(lines[-1].revision) if len(lines) == (limit or LINES_AT_ONCE) else None
        if output.for_people(given):
            for line in lines:
                people.line(f"{line.revision:>5}  {told(line)}" if given.format == "wide" else told(line))
        else:
            output.records(given, "HistoryList", HistoryLine, lines, more)
        if more and given.format != "json":
            here.note(f"more:  saga history {quote(run)} --after {more}")


def _pages(here: Here, run_id: str, after: int) -> Iterator[Sequence[HistoryLine]]:
    while lines := here.engine.history(run_id, after=after, limit=LINES_AT_ONCE):
        yield lines
        after = lines[-1].revision
