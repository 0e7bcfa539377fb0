"""``saga approvals``, ``approve``, ``reject`` and ``send``: what people and programs say to a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
from pydantic import BaseModel
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from saga_engine.cli import acting, options, output, people, trouble
from saga_engine.cli.here import Here, at_terminal
from saga_engine.cli.options import Command, Options
from saga_engine.cli.people import Column, ago, brief
from saga_engine.cli.typed import input_of
from saga_engine.domain.lengths import clock
from saga_engine.runtime.views import ApprovalView
from saga_engine.store import inspect

DIGEST_SHOWN: Final = 12
"""Digits of a digest that people see; scripts get it whole."""
APPROVALS: Final = "saga approvals {run} -o json shows what waits, with its digest"

GATES: Final = (
    Column[ApprovalView]("RUN", lambda gate: gate.run, whole=True),
    Column[ApprovalView]("STATE", lambda gate: gate.state, whole=True),
    Column[ApprovalView]("ASKS", lambda gate: " or ".join(gate.roles)),
    Column[ApprovalView]("HAVE", lambda gate: f"{gate.have} of {gate.need}"),
    Column[ApprovalView]("EXPIRES", lambda gate: ago(gate.expires_at), whole=True),
    Column[ApprovalView]("LEADS TO", lambda gate: gate.leads_to or "-"),
    Column[ApprovalView]("DIGEST", lambda gate: gate.digest, wide=True, whole=True),
    Column[ApprovalView]("SHOWS", lambda gate: brief(gate.shows)),
)


@click.command(cls=Command)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--mine", is_flag=True, help="Only those that you may answer, and have not.")
@click.pass_obj
def approvals(given: Options, run: str | None, *, mine: bool) -> None:
    """List what waits for people.

    The first 200 to expire, and a note where there are more. With `--mine` all that there are are looked at.
    """
    with Here(given) as here:
        gates = here.engine.approvals(None if run is None else here.run(run))
        cut = run is None and len(gates) >= inspect.OPEN_SHOWN
        if mine:
            found = [*gates, *_later(here, gates)] if cut else gates
            gates = sorted(_answerable(here, found), key=lambda gate: gate.expires_at)
        output.items(given, "ApprovalList", ApprovalView, gates, GATES, empty="nothing waits for an approval")
        if cut and not mine:
            here.note(f"more:  these are the first {len(gates)} to expire; saga approvals --mine goes through all")


@click.command(cls=Command)
@options.run_argument
@options.reason_option
@click.option("--shown", metavar="DIGEST", help="What you have seen: the digest in `saga approvals -o json`.")
@options.yes_option
@options.wait_option
@click.pass_obj
def approve(given: Options, run: str, reason: str, shown: str | None, wait: timedelta | None, *, yes: bool) -> int:
    """Approve what a run waits for, having seen it.

    At a terminal this shows what the approval is about and asks for the saga's name. Elsewhere `--shown` says what was
    seen: a verdict on something else, or on something that has changed since, is refused.
    """
    return _decide(given, run, "approve", reason=reason, shown=shown, wait=wait, yes=yes)


@click.command(cls=Command)
@options.run_argument
@options.reason_option
@click.option("--shown", metavar="DIGEST", help="What you have seen: the digest in `saga approvals -o json`.")
@options.yes_option
@options.wait_option
@click.pass_obj
def reject(given: Options, run: str, reason: str, shown: str | None, wait: timedelta | None, *, yes: bool) -> int:
    """Reject what a run waits for.

    One rejection is enough. It asks as `saga approve` does.
    """
    return _decide(given, run, "reject", reason=reason, shown=shown, wait=wait, yes=yes)


@click.command(cls=Command)
@options.run_argument
@click.argument("event", metavar="EVENT")
@click.option("--data", multiple=True, metavar="K=V|JSON|@FILE|-", help="The payload; may be given more than once.")
@click.option(
    "--key", metavar="KEY",
    help="The event key: one that has arrived already is dropped. It counts per source; the command line is `cli`.",
)  # fmt: skip
@options.wait_option
@click.pass_obj
def send(
    given: Options, run: str, event: str, *, data: tuple[str, ...], key: str | None, wait: timedelta | None
) -> int:
    """Send an event to a run.

    Without `--key` nobody can tell a repeated event from a second one: it counts again.
    """
    with Here(given) as here:
        run_id = here.run(run)
        payload = input_of(data, _payload_model(here, run_id, event), "--data")
        reply = here.engine.send(run_id, event, payload, dedup_key=key, source="cli")
        return acting.acted(here, reply, f"{event} sent", wait)


def asks(gate: ApprovalView, now: datetime) -> str:
    """Who is asked, and how long the question stands."""
    return f"asks {gate.need} of {' or '.join(gate.roles)} ({gate.have} given), expires {ago(gate.expires_at, now)}"


def _later(here: Here, first: list[ApprovalView]) -> Iterator[ApprovalView]:
    """The gates behind the *first* that the engine lists, asked for run by run: each is with a run that rests."""
    listed = {gate.run_id for gate in first}
    resting = (run.id for status in ("waiting", "parked") for run in here.live(status) if run.id not in listed)
    for run_id in resting:
        yield from here.engine.approvals(run_id)


def _answerable(here: Here, gates: Iterable[ApprovalView]) -> Iterator[ApprovalView]:
    me = here.engine.actor()
    mine = set(here.engine.roles_of(me))
    for gate in gates:
        barred = (gate.not_starter and gate.starter == me) or me in {vote.actor for vote in gate.votes}
        if not mine.isdisjoint(gate.roles) and not barred:
            yield gate


def _decide(
    given: Options, run: str, verb: str, *, reason: str, shown: str | None, wait: timedelta | None, yes: bool
) -> int:
    if yes and shown is None:
        raise trouble.Refused("--yes does not say what you have seen: --shown DIGEST does", APPROVALS.format(run=run))
    with Here(given) as here:
        run_id = here.run(run)
        gate = next(iter(here.engine.approvals(run_id)), None)
        if gate is not None:
            shown = _asked(given, gate, verb) if shown is None else _whole(gate, shown)
        answer = here.engine.approve if verb == "approve" else here.engine.reject
        # Without an open gate the engine says why: who decided already and when, or what the run does instead.
        reply = answer(run_id, shown=shown or "", reason=reason)
        return acting.acted(here, reply, "approved" if verb == "approve" else "rejected", wait)


def _asked(given: Options, gate: ApprovalView, verb: str) -> str:
    """Show what waits and let a person confirm it; the digest of what was shown."""
    if not at_terminal():
        raise trouble.Refused(
            "there is no terminal to ask at: say what you have seen with --shown DIGEST",
            APPROVALS.format(run=gate.run),
        )
    people.show(given, _picture(gate), sys.stderr)
    typed = click.prompt(f"Type the saga's name to {verb} ({gate.saga})", err=True, prompt_suffix=": ")
    if typed.strip() != gate.saga:
        raise trouble.Refused(f"{typed} is not the saga's name; nothing was decided", f"saga {verb} {gate.run}")
    return gate.digest


def _whole(gate: ApprovalView, shown: str) -> str:
    """The digest that *shown* begins, as people see it; anything else is the engine's to refuse."""
    return gate.digest if len(shown) >= DIGEST_SHOWN and gate.digest.startswith(shown) else shown


def _picture(gate: ApprovalView) -> RenderableType:
    now = datetime.now(UTC)
    head = (
        f"{gate.run} waits in {gate.state} since {clock(gate.opened_at, now)} for {gate.need} of {'/'.join(gate.roles)}"
    )
    given = "; ".join(f"{'yes' if vote.approved else 'no'} by {vote.actor}" for vote in gate.votes)
    return Lines(
        people.cell(f"{head}, {gate.have} given" + (f" ({given})" if given else "")),
        people.facts((f"  {name}", brief(value, most=None)) for name, value in _shown(gate.shows)),
        people.cell(f"  approved it goes to {gate.leads_to or 'its next state'}"),
        Text(f"  digest {gate.digest[:DIGEST_SHOWN]}, expires {clock(gate.expires_at, now)}", style="dim"),
    )


def _shown(value: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401  any JSON
    """All of what is decided on: nothing of it is left out, for the digest is of the whole."""
    return value.items() if isinstance(value, dict) else [("shown", value)]


def _payload_model(here: Here, run_id: str, event: str) -> type[BaseModel]:
    """What the event's values are read with; of an unknown event the engine says so."""
    saga = here.engine.saga_of(run_id)
    found = here.registry.chart_of(saga).events.get(event) if saga else None
    return found.payload if found else BaseModel
