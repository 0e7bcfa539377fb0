"""The demo's folder: a small project of its own, as ``saga init`` makes one, with two databases."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from saga_engine.cli.demo import shop
from saga_engine.cli.trouble import Refused
from saga_engine.settings import shipped_workflows

MARK: Final = ".made-by-saga-demo"
ELSEWHERE: Final = "saga demo --dir FOLDER makes it in an empty one"
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


@contextmanager
def alone() -> Iterator[tuple[str, ...]]:
    """For the block, the settings of a folder are those of its files alone; gives the names of what is kept away.

    A SAGA_STORE that its user has exported would win over the demo's saga.toml, and the runs would be made in a real
    store. Workers that are started in the block inherit the environment without these variables.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper().startswith("SAGA_")}
    for name in kept:
        del os.environ[name]
    try:
        yield tuple(sorted(kept))
    finally:
        os.environ.update(kept)


def make(folder: Path, actor: str) -> None:
    """Fill the folder anew. One that something else has filled is left alone: ``Refused``."""
    try:
        _clear(folder)
        (folder / MARK).touch()
        (folder / "saga.toml").write_text(SETTINGS.format(actor=actor), encoding="utf-8")
        (folder / "workflows").mkdir()
        shutil.copy(shipped_workflows() / "migrate_table.py", folder / "workflows")
        shop.build_source(folder / "shop.db")
        shop.build_target(folder / "warehouse.db")
    except (OSError, sqlite3.OperationalError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise Refused(f"{folder} cannot be filled: {why}", ELSEWHERE) from None


def _clear(folder: Path) -> None:
    """Make the folder if it is missing, and empty it if an earlier demo has filled it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(folder.iterdir())
    if found and folder / MARK not in found:
        raise Refused(f"{folder} holds other files, and the demo leaves them alone", ELSEWHERE)
    # The mark goes last: a demo that is stopped here can still be run again.
    for path in sorted(found, key=lambda path: path.name == MARK):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
