"""``saga reconcile``: after the store, or a target, was restored from a backup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click
from rich.console import Group as Lines
from rich.console import RenderableType

from saga_engine.cli import acting, options, output, people, trouble
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column
from saga_engine.errors import SagaError
from saga_engine.runtime.views_operate import LedgerStepView, ReconciledView

LEFT: Final = 6
STEPS: Final = (
    Column[LedgerStepView]("TARGET", lambda step: step.connection, whole=True),
    Column[LedgerStepView]("VERDICT", lambda step: step.verdict, whole=True),
    Column[LedgerStepView]("FOUND", lambda step: step.text),
    Column[LedgerStepView]("NEXT", lambda step: step.mends or step.next or "-"),
    Column[LedgerStepView]("TASK", lambda step: step.task, wide=True, whole=True),
)


@click.command(cls=Command)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every live run; those where all is in step are not printed.")
@click.option(
    "--settled", metavar="TASK", help="Nothing is in effect any more of this step, which only a ledger knows."
)
@options.yes_option
@options.dry_run_option
@click.pass_obj
def reconcile(
    given: Options, runs: tuple[str, ...], *, every: bool, settled: str | None, yes: bool, dry_run: bool
) -> int:
    """Compare runs with the ledgers of their targets, and mend what is provably right.

    For runs that are parked by W21, and after a store was restored from a backup. Attempts are counted on from what
    the ledger has seen; steps that were done after the backup are kept, and count when the run comes there again:
    nothing is done twice. What only a person can decide is told, with the command, and then the exit code is 6. Look
    with --dry-run first.
    """
    if bool(runs) == every or (settled is not None and (every or len(runs) != 1)):
        raise trouble.Refused("name runs, or say --all; with --settled one run", "saga reconcile --all --dry-run")
    question = f"Record that nothing of {settled} is in effect" if settled else "Go on from what the ledgers know"
    flag = "--yes, or --dry-run to look"
    with Here(given) as opened:
        chosen = acting.chosen(opened, runs)
        if settled is not None and len(chosen.ids) != 1:
            raise trouble.Refused(
                f"--settled is said of one run, and here {_named(len(chosen.ids))}",
                "saga reconcile RUN --settled TASK",
            )
        acting.confirm(
            opened,
            chosen,
            lambda names: f"{question}, in {'all live runs' if every else names}?",
            flag,
            yes=yes or dry_run,
        )
        if settled is not None and not dry_run:
            opened.engine.settle(chosen.ids[0], settled)
        found, code = _each(opened, _ids(opened, chosen, every=every), every=every, dry_run=dry_run)
        if output.for_people(given):
            for one in found:
                people.show(given, _drawn(one, given))
        else:
            output.records(given, "ReconciliationList", ReconciledView, found)
    return code or (0 if all(one.in_step for one in found) else LEFT)


def _each(here_: Here, runs: Iterable[str], *, every: bool, dry_run: bool) -> tuple[list[ReconciledView], int]:
    """One that is refused does not keep the others from being looked at; the first trouble decides the exit code."""
    found: list[ReconciledView] = []
    codes: list[int] = []
    for name in runs:
        try:
            one = here_.engine.reconcile(name, dry_run=dry_run)
        except SagaError as error:
            codes.append(trouble.told(here_.named(error)))
            continue
        if not every or one.steps or one.done:
            found.append(one)
    return found, next(iter(codes), 0)


def _ids(here_: Here, chosen: acting.Chosen, *, every: bool) -> Iterable[str]:
    return (run.id for run in here_.live()) if every else chosen.ids


def _named(count: int) -> str:
    return f"{count} are named" if count else "none is named"


def _drawn(one: ReconciledView, given: Options) -> RenderableType:
    said = one.done or ("store and ledgers are in step" if one.in_step else "waits for a person")
    head = people.cell(f"{one.run} in {one.state}: {said}")
    return Lines(head, people.table(STEPS, one.steps, wide=given.format == "wide")) if one.steps else head
