"""``saga status``, ``list`` and ``workers``: many runs at a glance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from saga_engine.cli import options, output, people, waiting
from saga_engine.cli.decide import asks
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.params import Moment
from saga_engine.cli.people import Column, ago
from saga_engine.domain.definition.values import Frozen
from saga_engine.errors import NotFound, StateNotFound
from saga_engine.runtime.views import ApprovalView, RunLine, RunPage, StatusLine, WorkerView
from saga_engine.store import inspect

STATUSES: Final = ("running", "waiting", "parked", "completed", "rolled_back", "cancelled", "failed")
PAGE: Final = 50
"""Runs of a list that people see at once."""
PARKED_SHOWN: Final = 50
"""How many parked runs ``saga status`` names."""

RUNS: Final = (
    Column[RunLine]("RUN", lambda run: run.name, whole=True),
    Column[RunLine]("STATE", lambda run: run.state, whole=True),
    Column[RunLine]("STATUS", lambda run: f"{run.status}, paused" if run.paused else run.status, whole=True),
    Column[RunLine]("KEY", lambda run: run.key or "-", wide=True),
    Column[RunLine]("VERSION", lambda run: f"v{run.version}", wide=True),
    Column[RunLine]("REVISION", lambda run: str(run.revision), wide=True),
    Column[RunLine]("STARTED", lambda run: ago(run.created_at), whole=True),
    Column[RunLine]("MOVED", lambda run: ago(run.updated_at), wide=True),
    Column[RunLine]("ID", lambda run: run.id, wide=True, whole=True),
    Column[RunLine]("WAITS FOR", lambda run: run.waiting_on or "-"),
)
COUNTS: Final = (
    Column[StatusLine]("SAGA", lambda line: line.saga, whole=True),
    Column[StatusLine]("STATE", lambda line: line.state, whole=True),
    Column[StatusLine]("STATUS", lambda line: line.status),
    Column[StatusLine]("RUNS", lambda line: f"{line.runs:,}"),
)
WORKERS: Final = (
    Column[WorkerView]("HOST", lambda worker: worker.host, whole=True),
    Column[WorkerView]("PID", lambda worker: str(worker.pid)),
    Column[WorkerView]("ALIVE", lambda worker: "yes" if worker.alive else "no"),
    Column[WorkerView]("BUSY", lambda worker: f"{worker.busy} of {worker.slots}"),
    Column[WorkerView]("QUEUES", lambda worker: ",".join(worker.queues)),
    Column[WorkerView]("STARTED", lambda worker: ago(worker.started_at), whole=True),
    Column[WorkerView]("HEARD", lambda worker: ago(worker.renewed_at), whole=True),
    Column[WorkerView]("SAGAS", lambda worker: ", ".join(worker.loaded) or "-"),
    Column[WorkerView]("CANNOT LOAD", lambda worker: "; ".join(worker.broken) or "-", wide=True),
    Column[WorkerView]("ID", lambda worker: worker.id, wide=True, whole=True),
)


class Status(Frozen):
    """What ``saga status`` prints: live runs by state, what needs a person, the workers."""

    runs: tuple[StatusLine, ...]
    parked: tuple[RunLine, ...]
    approvals: tuple[ApprovalView, ...]
    workers: tuple[WorkerView, ...]


@click.command(cls=Command)
@options.watch_option
@click.pass_obj
def status(given: Options, *, watch: bool) -> None:
    """Count live runs, and say what needs a person now."""
    with Here(given) as here:

        def look() -> Status:
            return Status(
                runs=tuple(here.engine.status()),
                parked=here.engine.find(status="parked", limit=PARKED_SHOWN).items,
                approvals=tuple(here.engine.approvals()),
                workers=tuple(here.engine.workers()),
            )

        def write(seen: Status) -> None:
            output.item(given, "Status", seen, lambda: _overview(seen))
            if not output.for_people(given):
                for what, command in _unnamed(seen):
                    here.note(f"more:  {what}; {command}")

        if watch:
            waiting.watch(given, look, _overview, write)
        else:
            write(look())


@click.command("list", cls=Command)
@click.option("--saga", metavar="SAGA", help="Runs of this saga.")
@click.option("--state", metavar="STATE", help="Runs in this state.")
@click.option("--status", type=click.Choice(STATUSES), help="Runs with this status.")
@click.option("--live/--ended", default=None, help="Runs that have not ended, or those that have.")
@click.option("--since", type=Moment(), metavar="WHEN", help="Runs started since: 2026-11-23, 2026-11-23T07:00, or 2h.")
@click.option("--limit", type=click.IntRange(1, 1_000), help="At most so many: 50, and all as jsonl or csv.")
@click.option("--page", metavar="NEXT", help="The page behind the one that named this as next.")
@options.watch_option
@click.pass_obj
def list_runs(
    given: Options,
    *,
    saga: str | None,
    state: str | None,
    status: str | None,
    live: bool | None,
    since: datetime | None,
    limit: int | None,
    page: str | None,
    watch: bool,
) -> None:
    """List runs, the newest first."""
    with Here(given) as here:

        def look(page: str | None = page) -> RunPage:
            return here.engine.find(
                saga=saga, state=state, status=status, live=live, since=since, limit=limit or PAGE, page=page
            )

        def write(found: RunPage) -> None:
            if limit is None and not watch and output.streams(given):
                output.stream(given, RunLine, _pages(found, look))
                return
            output.items(given, "RunList", RunLine, found.items, RUNS, next_page=found.next, empty="no runs")
            if found.next and given.format != "json":
                here.note(f"more:  saga list --page {found.next} …")

        found = look()
        if not found.items:
            _refuse_unknown(here, saga, state)
        if watch:
            waiting.watch(given, look, lambda seen: people.table(RUNS, seen.items, wide=given.format == "wide"), write)
        else:
            write(found)


@click.command(cls=Command)
@click.pass_obj
def workers(given: Options) -> None:
    """List the workers that have not ended."""
    with Here(given) as here:
        found = here.engine.workers()
        output.items(given, "WorkerList", WorkerView, found, WORKERS, empty="no worker; saga worker starts one")


def _pages(found: RunPage, look: Callable[[str | None], RunPage]) -> Iterator[Sequence[RunLine]]:
    """All that there are, from the first page on."""
    yield found.items
    while found.next:
        found = look(found.next)
        yield found.items


def _refuse_unknown(here: Here, saga: str | None, state: str | None) -> None:
    """Nothing was found: perhaps because a name is mistyped, which is an error and not an empty list."""
    charts = list(here.registry)
    if saga is not None and not here.engine.find(saga=saga, limit=1).items:
        here.registry.newest(saga)
    states = sorted({name for chart in charts if saga in (None, chart.name) for name in chart.rows})
    if state is not None and charts and state not in states and not here.engine.find(state=state, limit=1).items:
        if saga is not None:
            raise StateNotFound(saga=saga, state=state, states=", ".join(states))
        raise NotFound(f"No saga that is loaded here has a state {state}.", state=state, states=states)


def _overview(seen: Status) -> RenderableType:
    """Counts, then what needs a person, then who works."""
    now = datetime.now(UTC)
    parts: list[RenderableType] = [people.table(COUNTS, seen.runs) if seen.runs else Text("no live runs")]
    if seen.parked or seen.approvals:
        parts.append(Text("\nneeds a person now", style="bold"))
    parts += [
        people.cell(f"  {run.name}  parked in {run.state}: {run.waiting_on or '-'}    saga why {run.name}")
        for run in seen.parked
    ]
    parts += [people.cell(f"  {gate.run}  {asks(gate, now)}    saga approve {gate.run}") for gate in seen.approvals]
    parts += [people.cell(f"  and {what}    {command}") for what, command in _unnamed(seen)]
    alive = [worker for worker in seen.workers if worker.alive]
    busy, slots = sum(worker.busy for worker in alive), sum(worker.slots for worker in alive)
    told = f"{len(alive)} alive, {busy} of {slots} slots busy" if alive else "none alive; saga worker starts one"
    return Lines(*parts, people.cell(f"\nworkers: {told}"))


def _unnamed(seen: Status) -> Iterator[tuple[str, str]]:
    """What needs a person and is not named, with the command that names it."""
    parked = sum(line.runs for line in seen.runs if line.status == "parked") - len(seen.parked)
    if len(seen.parked) >= PARKED_SHOWN and parked > 0:
        yield f"{parked:,} more that are parked", "saga list --status parked"
    if len(seen.approvals) >= inspect.OPEN_SHOWN:
        yield "more approvals", "saga approvals --mine"
