"""``saga worker``: a process that runs what is due."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType

import click

from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.trouble import CTRL_C
from saga_engine.errors import WorkerGaveUp
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.runtime.worker import GAVE_UP_EXIT, Worker


@click.command(cls=Command, formats=("table",))
@click.option("--concurrency", type=click.IntRange(1, 1_000), default=8, show_default=True, help="So many at a time.")
@click.option("--queues", default="default", show_default=True, metavar="A,B", help="The queues that it serves.")
@click.option("--until-idle", is_flag=True, help="End when nothing is due, runs or backs off.")
@click.pass_obj
def worker(given: Options, concurrency: int, queues: str, *, until_idle: bool) -> int:
    """Run what is due, until told to stop.

    SIGTERM or Ctrl-C: nothing new starts, what runs gets the grace to end, the rest is handed back. Ctrl-C once more
    ends it at once; then the next worker takes over. It exits with 75 when half of its slots hang: start it again.
    """
    names = tuple(dict.fromkeys(name.strip() for name in queues.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("name at least one queue", param_hint="--queues")
    prefork()  # while there is no thread and no connection
    with Here(given, create=True, log_level=0) as here:
        here.need_sagas()
        found = here.engine.worker(concurrency=concurrency, queues=names)
        asked = _drains_when_asked(found)
        gc.freeze()  # what is loaded by now stays: each look of the collector through it would hold up runs for 50 ms
        code = found.run(until_idle=until_idle)
    if code == GAVE_UP_EXIT:
        raise WorkerGaveUp
    return CTRL_C if signal.SIGINT in asked else code


def _drains_when_asked(found: Worker) -> list[int]:
    """Let signals ask the worker to drain; a second Ctrl-C ends the process. The signals that came, in order."""
    came: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal.SIGINT in came:
            os._exit(CTRL_C)
        came.append(number)
        found.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return came
