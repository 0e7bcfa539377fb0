"""``saga demo``: the main job, on SQLite, in a minute, with a real kill -9."""

from pathlib import Path

import click

from saga_engine.cli.demo import place
from saga_engine.cli.demo.screen import Screen
from saga_engine.cli.demo.story import Story
from saga_engine.cli.options import Command, Options
from saga_engine.cli.trouble import Refused
from saga_engine.settings import system_user


@click.command(cls=Command, formats=("text",))
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("saga-demo"),
    show_default=True,
    help="Where it makes its databases, settings and store: an empty folder, or that of an earlier demo.",
)
@click.option("--yes", is_flag=True, help="Answer the approval without asking.")
@click.pass_obj
def demo(given: Options, folder: Path, *, yes: bool) -> int:
    """Move a table while a worker is killed, then damage one value and see the rollback.

    Its settings are those of its own folder: SAGA_* variables do not count.
    """
    if given.store or given.workflows or given.profile:
        raise Refused("the demo has a store and a saga of its own", "saga demo --dir FOLDER says where they are made")
    with place.alone() as elsewhere:
        return Story(folder, Screen(given.color), yes=yes, elsewhere=elsewhere).tell(system_user())
