"""Where `saga test` plays a saga: copies of its databases."""

from __future__ import annotations

import sqlite3
from enum import Enum
from pathlib import Path

from saga_engine import Saga, Step
from saga_engine.runtime.registry import Registry
from saga_engine.settings import Settings
from saga_engine.testing.everywhere.scene import scene
from tests.runtime import plays

Way = Enum("Way", "WORKING DONE")


def working(step: Step[plays.Input]) -> None:
    """Nothing."""


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


def test_what_a_run_has_left_undone_in_the_store_is_not_there_for_the_next_one(tmp_path: Path) -> None:
    registry = Registry([plays.saga()])
    (chart,) = registry
    made = scene(tmp_path, chart, registry, {"name": "play"}, {}, Settings(), {})
    made.make()
    made.keep()
    with made.open() as engine:
        engine.start(chart.name, made.input, key="run 1")
    made.restore()
    with made.open() as engine:
        assert engine.find().items == ()
        assert engine.start(chart.name, made.input, key="run 1").revision == 1


def test_a_saga_that_asks_for_processes_runs_on_threads_and_is_else_the_same(tmp_path: Path) -> None:
    saga = Saga("apart", version=3, states=Way, input=plays.Input, start=Way.WORKING)
    saga.at(Way.WORKING).run(working, isolation="process").then(Way.DONE)
    saga.final(Way.DONE)
    registry = Registry([saga, plays.saga()])
    made = scene(tmp_path, registry.newest("apart"), registry, {}, {}, Settings(), {})
    assert made.on_threads == ("WORKING",)
    assert (made.chart.name, made.chart.version, made.chart.run_of("WORKING").isolation) == ("apart", 3, "thread")
    assert [*made.registry] == [made.chart]
    assert registry.newest("apart").run_of("WORKING").isolation == "process"


def test_of_the_sagas_of_a_file_only_the_one_that_is_tested_is_played(tmp_path: Path) -> None:
    """Another that asks for processes would have each worker start one, for a second each."""
    saga = Saga("apart", version=3, states=Way, input=plays.Input, start=Way.WORKING)
    saga.at(Way.WORKING).run(working, isolation="process").then(Way.DONE)
    saga.final(Way.DONE)
    registry = Registry([saga])
    chart = registry.add(plays.saga(), tmp_path / "plays.py")
    made = scene(tmp_path, chart, registry, {}, {}, Settings(), {})
    assert ([*made.registry], made.registry.file_of(made.chart)) == ([made.chart], tmp_path / "plays.py")
    assert made.chart.digest == chart.digest
