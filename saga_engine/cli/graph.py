"""``saga graph``: a saga, or where a run is in it, drawn."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from saga_engine.cli import people, trouble
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Options
from saga_engine.domain import diagram
from saga_engine.domain.definition.saga import Saga
from saga_engine.errors import NotFound, RunNotFound, SagaNotFound, SchemaNotCurrent, StoreError

WIDTH_MAX: Final = 120
"""Wider lines are hard to read, whatever the terminal offers."""
NO_FILE: Final = "there is no file"
NO_SCHEMA: Final = "nothing"
"""What errors of the store say where there is none."""


@click.command(cls=Command, formats=("text", "mermaid", "dot"))
@click.argument("name", metavar="SAGA|RUN")
@click.pass_obj
def graph(given: Options, name: str) -> None:
    """Draw a saga, or where a run is in it.

    Mermaid text is shown by Git forges and many editors; DOT is for Graphviz: saga graph SAGA -o dot | dot -Tsvg.
    """
    with Here(given) as here:
        saga, state = _found(here, name)
    match given.output:
        case "mermaid":
            sys.stdout.write(diagram.mermaid(saga, state))
        case "dot":
            sys.stdout.write(diagram.dot(saga, state))
        case _:
            width = min(people.console(given, sys.stdout).width, WIDTH_MAX)
            sys.stdout.write(diagram.text(saga, state, ascii_only=not people.unicode(), width=width) + "\n")


def _found(here: Here, name: str) -> tuple[Saga[Any, Any], str | None]:
    """The saga of that name, or that of the run of that name and the state it is in."""
    if any(chart.name == name for chart in here.registry):
        return here.registry.newest(name).saga, None
    try:
        run = here.engine.get(here.run(name))
    except (RunNotFound, StoreError) as error:
        if isinstance(error, StoreError) and not _is_no_store_yet(error):
            raise
        # Where there is no store yet, sagas are all that can be drawn.
        known = sorted({chart.name for chart in here.registry}) + trouble.listed(error.facts.get("runs"))
        raise NotFound(f"No saga and no run is called {name}.", run=name, runs=known) from None
    saga = here.engine.saga_of(run.id)
    if saga is None:
        loaded = ", ".join(f"{chart.name} v{chart.version}" for chart in here.registry) or "none"
        raise SagaNotFound(saga=f"{run.saga} v{run.version}", loaded=loaded)
    return saga, run.state


def _is_no_store_yet(error: StoreError) -> bool:
    """Nobody has made one: no file, or no table of ours in a database. Any other trouble may hide the run."""
    missing = str(error.facts.get("reason", "")).startswith(NO_FILE)
    return missing or (isinstance(error, SchemaNotCurrent) and error.facts.get("found") == NO_SCHEMA)
