"""Following one run: its picture on a terminal, its history elsewhere, JSON lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from saga_engine.cli import output, people, waiting
from saga_engine.cli.here import Here
from saga_engine.cli.params import FOREVER
from saga_engine.cli.picture import drawn_of
from saga_engine.cli.story import Teller, as_line
from saga_engine.cli.waiting import Check, Drawn, Over
from saga_engine.runtime.views import HistoryLine, RunView

LINES_AT_ONCE = 1_000


def follow_run(here: Here, run_id: str, limit: timedelta, over: Over, check: Check = waiting.unchecked) -> int:
    """Show the run until it is *over*, or *limit*; the exit code of a wait."""
    with _shown(here, run_id) as drawn:
        run, code = waiting.until_stopped(here, run_id, limit, drawn, over, check=check)
    if code == waiting.STILL_WAITING:
        here.note(f"hint:  saga why {run.name}")
    return code


def follow_history(here: Here, run_id: str, write: Callable[[HistoryLine], None], after: int) -> None:
    """Call *write* for each journal line behind revision *after*, until the run has ended."""
    drawn = lines_to(here, run_id, write, after)
    waiting.until_stopped(here, run_id, FOREVER, drawn, lambda run: 0 if run.ended else None)


def lines_to(here: Here, run_id: str, write: Callable[[HistoryLine], None], after: int = 0) -> Drawn:
    """Call *write* for each journal line that is new since the last look."""
    seen = [after]

    def drawn(run: RunView) -> None:
        while run.revision > seen[-1]:
            lines = here.engine.history(run_id, after=seen[-1], limit=LINES_AT_ONCE)
            for line in lines:
                write(line)
            seen.append(lines[-1].revision)

    return drawn


@contextmanager
def _shown(here: Here, run_id: str) -> Iterator[Drawn]:
    given = here.options
    if not output.for_people(given):
        yield _each_change(output.line)
    elif sys.stdout.isatty():
        with people.live(given) as live:
            yield lambda _run: live.update(drawn_of(here, run_id), refresh=True)
    else:
        tells = Teller.of(here.engine, run_id)
        yield lines_to(here, run_id, lambda line: people.line(as_line(tells.tell(line), line.at, datetime.now(UTC))))


def _each_change(write: Callable[[RunView], None]) -> Drawn:
    last: list[RunView] = []

    def drawn(run: RunView) -> None:
        if last[-1:] != [run]:
            last[:] = [run]
            write(run)

    return drawn
