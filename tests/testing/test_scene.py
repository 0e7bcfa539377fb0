"""Where `saga test` plays a saga: copies of its databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from saga_engine.runtime.registry import Registry
from saga_engine.settings import Settings
from saga_engine.testing.everywhere.scene import scene
from tests.runtime import plays


def test_one_database_under_two_names_is_copied_once(tmp_path: Path) -> None:
    for name in ("dw.db", "other.db"):
        sqlite3.connect(tmp_path / name).close()
    (tmp_path / "link.db").symlink_to(tmp_path / "dw.db")
    (tmp_path / "scene").mkdir()
    registry = Registry([plays.saga()])
    (chart,) = registry
    names = {"dw": "dw.db", "same": "link.db", "other": "other.db"}
    settings = Settings(connections={name: f"sqlite:///{tmp_path / file}" for name, file in names.items()})
    made = scene(tmp_path / "scene", chart, registry, {}, {}, settings, {})
    assert made.databases["same"] == made.databases["dw"] != made.databases["other"]
    assert made.settings.connections["same"] == made.settings.connections["dw"]
