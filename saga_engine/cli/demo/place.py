"""The demo's folder: a small project of its own, as ``saga init`` makes one, with two databases."""

import shutil
from pathlib import Path
from typing import Final

from saga_engine import errors
from saga_engine.cli.demo import shop
from saga_engine.settings import shipped_workflows

MARK: Final = ".made-by-saga-demo"
SETTINGS: Final = """\
# Made by `saga demo`. Delete the folder when you are done.
store = "sqlite:///.saga/saga.db"
workflows = "workflows"

[connections]
shop = "sqlite:///shop.db"
warehouse = "sqlite:///warehouse.db"

[roles]
dba = ["{actor}"]
"""


def make(folder: Path, actor: str) -> None:
    """Make the folder anew. One that something else has made is left alone: ``BadInput``."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise errors.BadInput(f"{folder} holds other files; name an empty folder: saga demo --dir FOLDER")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    (folder / "saga.toml").write_text(SETTINGS.format(actor=actor), encoding="utf-8")
    (folder / "workflows").mkdir()
    shutil.copy(shipped_workflows() / "migrate_table.py", folder / "workflows")
    shop.build_source(folder / "shop.db")
    shop.build_target(folder / "warehouse.db")
