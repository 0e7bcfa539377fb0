"""``saga show``: one run."""

from __future__ import annotations

import click

from saga_engine.cli import options, output
from saga_engine.cli.following import follow_run
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.params import FOREVER
from saga_engine.cli.picture import drawn_of


@click.command(cls=Command)
@options.run_argument
@options.watch_option
@click.pass_obj
def show(given: Options, run: str, *, watch: bool) -> None:
    """Show one run: where it is, how it got there, what can be undone.

    With `-o wide` its input, results and open tasks too.
    """
    with Here(given) as here:
        run_id = here.run(run)
        if watch:
            follow_run(here, run_id, FOREVER, lambda seen: 0 if seen.ended else None)
        else:
            output.item(given, "Run", here.engine.get(run_id), lambda: drawn_of(here, run_id))
