"""``saga verify``: whether the history of every run is what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from rich.console import Group as Lines
from rich.console import RenderableType

from saga_engine.cli import output, people
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column
from saga_engine.domain.whys.reason import counted
from saga_engine.runtime.views_operate import FaultView, VerifiedView

FOUND: Final = 6
COLUMNS: Final = (
    Column[FaultView]("RUN", lambda fault: fault.run or "-", whole=True),
    Column[FaultView]("LINE", lambda fault: str(fault.revision or "-"), whole=True),
    Column[FaultView]("WHAT", lambda fault: fault.what, whole=True),
    Column[FaultView]("FOUND", lambda fault: fault.text),
)


@click.command(cls=Command)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Compare with this anchor too; may be given several times.",
)
@click.option(
    "--write-anchor",
    "write",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where nothing is wrong, write an anchor into FILE. One that is there is compared first, then replaced.",
)
@click.pass_obj
def verify(given: Options, runs: tuple[str, ...], anchors: tuple[Path, ...], write: Path | None) -> int:
    """Find journal lines that were changed, removed, put in or moved.

    Without a run the whole store is checked: each run's chain of hashes, its row, tasks, results, undo stack and
    approvals against what its journal says, and the record of what was pruned. A history that was cut off or written
    anew as a whole, and a run that was removed, show only against an anchor that is kept where those who write to
    the store cannot write. Exits with 6 where something is found. Changes nothing in the store; may run beside workers.
    """
    with Here(given) as here:
        names = [here.run(name) for name in runs]
        found = here.engine.verify(names, anchors=anchors, write_anchor=write)
        output.item(given, "Verification", found, lambda: _told(found, given))
        if found.anchor is not None:
            here.note(f"note:  the anchor is in {found.anchor}; keep it where the store's writers cannot write")
        elif write is not None:
            here.note(f"note:  {write} was not written: an anchor of this store would bless what was found")
    return FOUND if found.found else 0


def _told(found: VerifiedView, given: Options) -> RenderableType:
    looked = f"{counted(found.runs, 'run')} and {counted(found.lines, 'line')}"
    if found.pruned:
        looked += f", {counted(found.pruned, 'pruned run')}"
    if found.anchored:
        looked += f", {counted(found.anchored, 'run')} known by anchors"
    if not found.found:
        return people.cell(f"{looked}: nothing is wrong")
    more = [people.cell(f"and {found.more:,} more")] if found.more else []
    total = len(found.found) + found.more
    table = people.table(COLUMNS, found.found, wide=given.format == "wide")
    wrong = f"{counted(total, 'thing')} {'is' if total == 1 else 'are'} wrong"
    return Lines(table, *more, people.cell(f"{looked}: {wrong}"))
