"""``saga db``: the schema of the store, and the ledgers of connections."""

from __future__ import annotations

import sys
from typing import Literal

import click
from rich.console import RenderableType

from saga_engine.cli import output, people
from saga_engine.cli.here import Here
from saga_engine.cli.options import Command, Group, Options
from saga_engine.errors import SchemaNotCurrent, SchemaTooNew
from saga_engine.runtime import schema
from saga_engine.runtime.views import LedgerView, SchemaView


@click.group(cls=Group)
def db() -> None:
    """Make, upgrade and print the schema; make ledgers."""


@db.command(cls=Command)
@click.pass_obj
def upgrade(given: Options) -> None:
    """Bring the store to this program's schema.

    From nothing or from an older one, in one transaction. Safe to run in two processes at once.
    """
    with Here(given) as here:
        output.item(given, "Schema", found := schema.upgrade(here.settings), lambda: _upgraded(found))


@db.command(cls=Command)
@click.pass_obj
def current(given: Options) -> None:
    """Show which schema the store has; exit 9 where it is not this program's."""
    with Here(given) as here:
        found = schema.current(here.settings)
        output.item(given, "Schema", found, lambda: people.cell(f"{found.store} is at {found.now or 'nothing'}"))
        if (found.now or "") > (found.wanted or ""):
            raise SchemaTooNew(found=found.now, wanted=found.wanted)
        if found.now != found.wanted:
            raise SchemaNotCurrent(found=found.now or "nothing", wanted=found.wanted)


@db.command(cls=Command, formats=("text",))
@click.option("--dialect", type=click.Choice(["sqlite", "postgresql"]), help="Default: that of the store's URL.")
@click.option("--from", "since", metavar="SCHEMA", help="Print the upgrade from this one, as db current names it.")
@click.pass_obj
def sql(given: Options, dialect: Literal["sqlite", "postgresql"] | None, since: str | None) -> None:
    """Print the DDL of the whole schema, for a DBA to read and run.

    Run an upgrade only while no worker and no other program has the store open: here nobody looks.
    """
    if since is not None and since not in (known := schema.known()):
        raise click.BadParameter(f"there is no schema {since}; there are {', '.join(known)}", param_hint="--from")
    with Here(given) as here:
        if dialect is None:
            url = here.settings.store_url().get_secret_value()
            dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
        sys.stdout.write(schema.sql(dialect, since))


@db.command(cls=Command)
@click.argument("connection", metavar="CONNECTION")
@click.pass_obj
def ledger(given: Options, connection: str) -> None:
    """Make the ledger of a connection where it has none.

    The ledger is the three tables that make an effect take place once. Runs never make it themselves, but for the
    PREFLIGHT of migrate_table.
    """
    with Here(given) as here:
        output.item(given, "Ledger", found := schema.make_ledger(here.settings, connection), lambda: _made(found))


def _upgraded(found: SchemaView) -> RenderableType:
    if found.before == found.now:
        return people.cell(f"{found.store} is at {found.now} already")
    return people.cell(f"{found.store}: {found.before or 'nothing'} → {found.now}")


def _made(found: LedgerView) -> RenderableType:
    return people.cell(f"{found.connection}: ledger {found.uuid}" + ("" if found.made else " was there already"))
