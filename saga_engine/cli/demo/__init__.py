"""``saga demo``: the main job, on SQLite, in a minute, with a real kill -9."""

from pathlib import Path

import click

from saga_engine.cli.demo.screen import Screen
from saga_engine.cli.demo.story import Story
from saga_engine.settings import Settings, actor


@click.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("saga-demo"), show_default=True
)
@click.option("--yes", is_flag=True, help="Answer the approval without asking.")
def demo(folder: Path, yes: bool) -> int:  # noqa: FBT001  click's way
    """Move a table while a worker is killed, then damage one value and see the rollback."""
    return Story(folder, Screen(), yes=yes).tell(actor(Settings()))
