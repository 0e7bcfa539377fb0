"""``saga help TOPIC``: what is the same for all commands."""

from __future__ import annotations

from typing import Final

import click

from saga_engine.cli.options import Command

TOPICS: Final = {
    "exit-codes": """\
  0  ok; with --wait: the run completed
  1  failed
  2  usage, or a confirmation is needed
  3  not found: run, saga, state, event
  4  not allowed
  5  with --wait: the run ended rolled back, cancelled or failed
  6  check or doctor found more than warnings; verify, reconcile or test found something
  7  conflict: already decided, the state has moved
  8  with --wait: the run waits for a person, is parked or paused; with --work also: it waits for an event
  9  the store cannot be reached, its schema is not current, or the library is too old
 75  a worker gave up, half of its slots hang: start it again
124  --wait ran out
130  Ctrl-C""",
    "runs": """\
A run is named by any of these:
  orders-7f3k2   its short name; more or fewer digits will do while only one run fits
  7f3k2          the digits alone
  018f3a         the beginning of its id
  2026-11-22     its run key
  @orders        the latest run of a saga
  @last          the run that you touched last in this store
  -              names on standard input, one on a line, or lines of JSON with an id:
                 saga list --status parked -o jsonl | saga retry -
A run key goes before what is shorter than a whole id. One that also fits another run in another way is refused, and
the error says how to name either.""",
    "outputs": """\
Standard output is data; everything else goes to standard error.
  -o table   for people; -o wide has more columns
  -o json    {"schema": "saga/v1", "kind": "Run", "item": {…}}, or "items": […] and "next" for lists
  -o jsonl   one object on a line; with --watch and --follow as they come
  -o csv     the fields of the JSON as columns
Times are UTC. Without a terminal there are no colours and no questions: what would be asked is an error that names
the missing flag. NO_COLOR and --color never turn colours off on a terminal, --color always turns them on in a pipe.""",
    "settings": """\
A flag wins over SAGA_* variables, these over .env, that over saga.toml (or pyproject.toml with [tool.saga]), and that
over the defaults. saga config show --origin tells who said what. Secrets are references: env:NAME or file:PATH.""",
    "completion": """\
  bash   eval "$(_SAGA_COMPLETE=bash_source saga)"
  zsh    eval "$(_SAGA_COMPLETE=zsh_source saga)"
  fish   _SAGA_COMPLETE=fish_source saga | source""",
}


@click.command("help", cls=Command, formats=("text",))
@click.argument("name", metavar="[TOPIC]", required=False, type=click.Choice(list(TOPICS)))
@click.pass_context
def topic(ctx: click.Context, name: str | None) -> None:
    """Explain exit codes, names of runs, outputs, settings.

    Topics: exit-codes, runs, outputs, settings, completion.
    """
    if name is not None:
        click.echo(TOPICS[name])
        return
    outer = ctx.find_root()
    click.echo(outer.get_help())
    click.echo(f"\nTopics of saga help: {', '.join(TOPICS)}")
