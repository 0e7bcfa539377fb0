"""Waiting for a run, and looking again and again: on a terminal in place, elsewhere a line for each change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeVar

from rich.console import RenderableType
from rich.live import Live

from saga_engine.cli import output, people
from saga_engine.cli.here import Here
from saga_engine.cli.options import Options
from saga_engine.cli.params import FOREVER
from saga_engine.cli.trouble import note
from saga_engine.errors import StoreBusy, StoreUnreachable
from saga_engine.runtime.views import RunView

T = TypeVar("T")
Drawn = Callable[[RunView], None]
Over = Callable[[RunView], int | None]
Check = Callable[[], None]
"""Raises what ends a wait before its time; asked between looks, when nothing is held."""

FIRST_LOOK_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 0.5
"""How often a wait looks at the run: often at first, for most answers come soon."""
WATCH_SECONDS: Final = 1.0
"""How often a watch looks."""
AWAY_SECONDS_MAX: Final = 60.0
"""How long a wait bears a store that does not answer: a restart takes less."""

COMPLETED: Final = 0
NOT_COMPLETED: Final = 5
STILL_WAITING: Final = 8
RAN_OUT: Final = 124


def stopped(run: RunView) -> int | None:
    """The exit code that a wait for the run ends with; None while it goes on without a person.

    It waits for an event like for any other time: a program may send it.
    """
    if run.ended:
        return COMPLETED if run.status == "completed" else NOT_COMPLETED
    if run.paused or run.status == "parked":
        return STILL_WAITING
    asks = any(task.kind == "gate" for task in run.tasks)
    return STILL_WAITING if run.status == "waiting" and asks else None


def idle(run: RunView) -> int | None:
    """The same for a worker's own wait: there is nothing to do for it while the run waits for an event."""
    return STILL_WAITING if run.status == "waiting" else stopped(run)


def unchecked() -> None:
    """Nothing ends the wait before its time."""


def until_stopped(
    here: Here, run_id: str, limit: timedelta, drawn: Drawn, over: Over = stopped, *, check: Check = unchecked
) -> tuple[RunView, int]:
    """Look at the run until it is *over*, or *limit* is; the run then, and the exit code."""
    end = None if limit == FOREVER else time.monotonic() + limit.total_seconds()
    pause = FIRST_LOOK_SECONDS
    while True:
        check()
        run = _got(here, run_id, check)
        drawn(run)
        code = over(run)
        if code is not None:
            return run, code
        left = pause if end is None else end - time.monotonic()
        if left <= 0:
            return run, RAN_OUT
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LOOK_SECONDS)


def _got(here: Here, run_id: str, check: Check) -> RunView:
    """The run; a store that is away for a while is waited for."""
    end = time.monotonic() + AWAY_SECONDS_MAX
    while True:
        try:
            return here.engine.get(run_id)
        except (StoreUnreachable, StoreBusy):
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_SECONDS)
            check()


@contextmanager
def told(options: Options) -> Iterator[Drawn]:
    """While somebody waits: on a terminal one line that changes, elsewhere a line when the state does; with -q none."""
    if options.quiet:
        yield lambda _run: None
    elif sys.stderr.isatty():
        with Live(console=people.console(options, sys.stderr), transient=True, redirect_stdout=False) as live:
            yield lambda run: live.update(people.cell(f"{run.name}: {where(run)}"))
    else:
        yield _each_change()


def _each_change() -> Drawn:
    seen: list[tuple[str, str, bool]] = []

    def drawn(run: RunView) -> None:
        now = (run.state, run.status, run.paused)
        if seen[-1:] != [now]:
            seen.append(now)
            note(f"{run.name}: {where(run)}")

    return drawn


def where(run: RunView) -> str:
    """Where the run is, in a few words."""
    if run.ended:
        return f"{run.state}, {run.status}"
    words = [run.state, "paused" if run.paused else run.status]
    words += [progress(run)] if progress(run) else []
    words += [f"waits for {run.waiting_on}"] if run.waiting_on else []
    return ", ".join(words)


def progress(run: RunView) -> str:
    """How far the running step is, as it says itself; empty where it says nothing."""
    said = next((task.progress for task in run.tasks if task.progress), None)
    if not said:
        return ""
    total = f"/{said['total']:,}" if said.get("total") is not None else ""
    return f"{said['done']:,}{total} {said.get('unit') or ''}".strip()


def watch(
    options: Options,
    look: Callable[[], T],
    draw: Callable[[T], RenderableType],
    write: Callable[[T], None],
    over: Callable[[T], bool] = lambda _seen: False,
) -> None:
    """Look until it is *over* or somebody presses Ctrl-C. A terminal shows what *draw* makes, in place.

    Elsewhere, and with an output for programs, *write* is called for what is new.
    """
    if output.for_people(options) and sys.stdout.isatty():
        with people.live(options) as live:
            for seen in _looks(look, over):
                live.update(draw(seen), refresh=True)
        return
    last: T | None = None
    for seen in _looks(look, over):
        if seen != last:
            write(seen)
            sys.stdout.flush()
        last = seen


def _looks(look: Callable[[], T], over: Callable[[T], bool]) -> Iterator[T]:
    while True:
        seen = look()
        yield seen
        if over(seen):
            return
        time.sleep(WATCH_SECONDS)
