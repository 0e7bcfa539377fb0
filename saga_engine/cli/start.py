"""``saga run``: start a run, and see it through if asked to."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import click

from saga_engine.cli import acting, options, output, people, trouble, waiting
from saga_engine.cli.following import follow_run
from saga_engine.cli.helping import working
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.cli.params import FOREVER
from saga_engine.cli.typed import input_of
from saga_engine.domain.chart import Chart
from saga_engine.errors import BadInput, SagaError, StoreError
from saga_engine.runtime.views import RunView


@click.command(cls=Command)
@click.argument("saga", metavar="SAGA")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="K=V|@FILE|-",
    help="The input: name=value, a file with a JSON object, or one on standard input; what comes later wins.",
)
@click.option("--key", metavar="KEY", help="The run key: with a key that is known, that run is given back.")
@click.option("--work", is_flag=True, help="Be a worker too, until the run has ended, or waits for a person or event.")
@options.wait_option
@click.option("--watch", is_flag=True, help="Show the run until it has stopped; the exit code is that of --wait.")
@click.pass_obj
def run(
    given: Options,
    saga: str,
    inputs: tuple[str, ...],
    key: str | None,
    wait: timedelta | None,
    *,
    work: bool,
    watch: bool,
) -> int:
    """Start a run of a saga.

    Prints the run's name. A worker takes it from here: `saga worker`, or this process with `--work`.
    """
    with Here(given, create=True) as here:
        chart = here.registry.newest(saga)
        started = _started(here, chart, inputs, key)
        limit = wait if wait is not None else FOREVER if work or watch else None
        if limit is None:
            _say(here, started)
            return 0
        try:
            return _seen_through(here, chart, started.id, limit, work=work, watch=watch)
        except KeyboardInterrupt:
            trouble.leave_ctrl_c()
            goes_on = "goes on when a worker takes it: saga worker" if work else "goes on"
            here.note(f"note:  {started.name} {goes_on}; saga show {started.name} --watch")
            raise click.Abort from None
        except SagaError:
            here.note(f"note:  {started.name} is started; saga show {started.name} --watch")
            raise


def _seen_through(here: Here, chart: Chart, run_id: str, limit: timedelta, *, work: bool, watch: bool) -> int:
    with working(here, chart.saga.queue, wanted=work) as check:
        if not work:
            _warn_of_no_worker(here)
        over = waiting.idle if work else waiting.stopped
        return (follow_run if watch else acting.waited)(here, run_id, limit, over, check)


def _started(here: Here, chart: Chart, inputs: tuple[str, ...], key: str | None) -> RunView:
    model = chart.saga.input
    try:
        run = here.engine.start(chart.name, input_of(inputs, model), key=key)
    except BadInput as error:
        fields = sorted(model.model_fields.items(), key=lambda field: not field[1].is_required())
        takes = [f"--input {name}=…" if field.is_required() else f"[--input {name}=…]" for name, field in fields]
        raise trouble.Refused(str(error), " ".join(["saga run", chart.name, *takes])) from None
    here.started(run.id)
    return run


def _say(here: Here, started: RunView) -> None:
    """The name alone, so that a script can keep it; what to do next beside it."""
    output.item(here.options, "Run", started, lambda: people.cell(started.name))
    here.note(f"note:  {waiting.where(started)}; saga show {started.name} --watch")
    _warn_of_no_worker(here)


def _warn_of_no_worker(here: Here) -> None:
    """Best effort: the run is started, and a store that is away now says nothing about that."""
    with suppress(StoreError):
        if any(worker.alive for worker in here.engine.workers()):
            return
        here.note("note:  no worker is alive: start one with saga worker, or say saga run --work")
