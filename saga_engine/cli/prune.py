"""``saga prune``: remove runs that ended long ago."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.text import Text

from saga_engine.cli import here, options, output, people
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.params import Length
from saga_engine.runtime.views_operate import PrunedView


@click.command(cls=Command)
@click.option("--older-than", type=Length(), required=True, metavar="LENGTH", help="Ended longer ago, such as 90d.")
@click.option("--saga", metavar="NAME", help="Only runs of this saga.")
@click.option("--keep-failed", is_flag=True, help="Only runs that completed: keep failed, rolled back, cancelled ones.")
@click.option(
    "--ledgers",
    is_flag=True,
    help="Remove their rows in the ledgers of targets first. A worker that was stopped since before a run's end "
    "could then write for it again: make sure that there is none.",
)
@options.yes_option
@options.dry_run_option
@click.pass_obj
def prune(
    given: Options,
    *,
    older_than: timedelta,
    saga: str | None,
    keep_failed: bool,
    ledgers: bool,
    yes: bool,
    dry_run: bool,
) -> None:
    """Remove runs that ended long ago, with their history.

    Goes in transactions of at most some milliseconds, beside workers that notice nothing; killed, it leaves nothing
    half done, and goes on when it is called again. Of each run one row stays: that it was pruned, its run key, which
    is never started again, and length and hash of its history, for `saga verify`. A run whose last notice is still
    to be given is kept.
    """
    here.ask("Remove these runs with their history, for ever?", "--yes, or --dry-run to count them", yes=yes or dry_run)
    with Here(given) as opened:
        found = opened.engine.prune(older_than, saga=saga, keep_failed=keep_failed, ledgers=ledgers, dry_run=dry_run)
        output.item(given, "Pruning", found, lambda: _told(found))
        if found.kept:
            opened.note(f"note:  {found.kept} kept: a notice of theirs is due, or failed for good (saga doctor)")


def _told(found: PrunedView) -> Text:
    would = "would be pruned" if found.dry_run else "pruned"
    ended = f"ended before {found.before:%Y-%m-%d %H:%M} UTC"
    return people.cell(f"{found.runs:,} runs {would}, {found.lines:,} lines of history; {ended}")
