"""``saga rollback``: undo a run, with a plan of it first."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.console import Group as Lines
from rich.console import RenderableType

from saga_engine.cli import acting, options, output, people
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column
from saga_engine.runtime.views import Reply
from saga_engine.runtime.views_operate import PlannedUndo, RollbackPlan

STEPS = (
    Column[PlannedUndo]("STEP", lambda step: step.state, whole=True),
    Column[PlannedUndo]("VISIT", lambda step: str(step.visit), wide=True),
    Column[PlannedUndo]("OUTCOME", lambda step: step.outcome, whole=True),
    Column[PlannedUndo]("UNDONE BY", lambda step: step.undo),
)


@click.command(cls=Command)
@options.runs_argument
@click.option("--to", metavar="STATE", help="Undo only back to this state, and go forward again from there.")
@click.option("--plan", is_flag=True, help="Say what would be undone, in order; change nothing.")
@click.option("--dry-run", "plan", is_flag=True, help="The same as --plan.")
@options.reason_option
@options.yes_option
@options.wait_option
@click.pass_obj
def rollback(
    given: Options,
    runs: tuple[str, ...],
    *,
    to: str | None,
    plan: bool,
    reason: str,
    yes: bool,
    wait: timedelta | None,
) -> int:
    """Undo a run, or back to a state and forward again.

    Steps are undone in the reverse order of their start, the one that runs or failed included. Past the point of no
    return it is refused. The status at the end is rolled_back; `--wait` then ends with 5.
    """
    if plan:
        return _plan(given, runs, to)
    back = f"back to {to}" if to else "all of it"
    flag = "--yes, or --plan to see what would be undone"
    with Here(given) as opened:
        found = acting.confirmed(opened, runs, lambda names: f"Roll back {names}, {back}?", flag, yes=yes)

        def act(run_id: str) -> Reply:
            return opened.engine.rollback(run_id, to=to, reason=reason)

        return acting.each(opened, found, act, "rolled back", wait)


def _plan(given: Options, runs: tuple[str, ...], to: str | None) -> int:
    with Here(given) as opened:
        plans = [opened.engine.plan(run_id, to=to) for run_id in acting.chosen(opened, runs).ids]
        if len(plans) == 1:
            output.item(given, "RollbackPlan", plans[0], lambda: _drawn(plans[0], given))
        elif output.for_people(given):
            for plan in plans:
                people.show(given, _drawn(plan, given))
        else:
            output.records(given, "RollbackPlanList", RollbackPlan, plans)
    return 0


def _drawn(plan: RollbackPlan, given: Options) -> RenderableType:
    way = " → ".join(dict.fromkeys((plan.state, plan.via, plan.ends_in)))
    if plan.note:
        head, undo = f"{plan.run}: {plan.note}. It goes {way}", "undoes"
    else:
        head, undo = f"{plan.run} would go {way}", "undo"
    if not plan.steps:
        return people.cell(f"{head}; nothing has to be undone")
    return Lines(
        people.cell(f"{head}, and {undo}, in this order:"), people.table(STEPS, plan.steps, wide=given.format == "wide")
    )
