"""Bad input through the engine: refused at the start, or in PREFLIGHT by name, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from saga_engine import errors
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.databases import whole
from tests.migration.project import SAGA, Project


@pytest.fixture
def source(fresh_url: FreshUrl) -> Database:
    source = Database(fresh_url("sqlite", "source"))
    source.run(
        "CREATE TABLE item (id bigint PRIMARY KEY, name text)",
        "CREATE TABLE loose (id bigint, name text)",
        "CREATE VIEW seen AS SELECT * FROM item",
        "INSERT INTO item VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO loose VALUES (1, 'one'), (1, 'one')",
    )
    return source


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, fresh_url: FreshUrl) -> Database:
    target = Database(fresh_url(request.param, "target"))
    target.run("CREATE TABLE kept (id bigint PRIMARY KEY)", "INSERT INTO kept VALUES (7)")
    return target


@pytest.fixture
def project(source: Database, target: Database, project_of: Projects) -> Project:
    return project_of(shop=source, dw=target, nowhere="postgresql+psycopg://nobody@127.0.0.1:1/nothing")


# --- in PREFLIGHT


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("missing", "missing cannot be moved as it is, and nothing was written: there is no such table in the source"),
        ("loose", "loose cannot be moved as it is, and nothing was written: loose has no primary key"),
        ("seen", "seen cannot be moved as it is, and nothing was written: seen is a view, not an ordinary table"),
        ('a"b', "'a\"b' is not the name of a table"),
    ],
)
def test_a_table_that_cannot_be_moved_is_refused_by_name_and_nothing_is_written(
    project: Project, source: Database, target: Database, table: str, said: str
) -> None:
    before = whole(target), whole(source)
    run = project.start("shop", "dw", table)
    project.worker()
    assert (project.ended(run).status, project.states(run)) == (
        "rolled_back",
        ["PREFLIGHT", "ROLLING_BACK", "ROLLED_BACK"],
    )
    [error] = project.errors(run)
    assert error.partition(": ")[2].startswith(said)
    assert ((whole(target), whole(source)), project.left_over()) == (before, [])


def test_a_connection_that_the_settings_do_not_name_is_refused_by_name(project: Project, target: Database) -> None:
    run, before = project.start("shop", "elsewhere", "item"), whole(target)
    project.worker()
    assert project.ended(run).status == "rolled_back"
    [error] = project.errors(run)
    assert error.startswith("SettingsError: No connection is called elsewhere. Known: dw, nowhere, shop. Add it under")
    assert (whole(target), project.left_over()) == (before, [])


def test_a_server_that_does_not_answer_is_tried_again_and_can_be_cancelled(project: Project) -> None:
    run = project.start("shop", "nowhere", "item")
    project.worker()
    project.until(run, lambda found: any(task.failures for task in found.tasks))
    assert "127.0.0.1" in project.errors(run)[0]
    assert [reason.code for reason in project.engine.why(run).reasons] == ["W04"]
    project.engine.cancel(run, reason="there is no such server")
    assert project.ended(run).status == "cancelled"
    assert project.left_over() == []


# --- at the start


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "shop", "target": "dw"}, "table: Field required"),
        ({"source": "shop", "target": "dw", "table": 7}, "table: Input should be a valid string"),
        ({"source": "shop", "target": "dw", "table": "item", "chunk_rows": 0}, "chunk_rows: Input should be greater"),
        (
            {"source": "shop", "target": "dw", "table": "item", "chunk_rows": "many"},
            "chunk_rows: Input should be a valid",
        ),
        ({"source": "shop", "target": "dw", "table": "item", "tabel": "x"}, "tabel: Extra inputs are not permitted"),
    ],
)
def test_an_input_of_the_wrong_type_starts_nothing(project: Project, given: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.BadInput) as refused:
        project.engine.start(SAGA, given)
    assert str(refused.value).startswith("migrate_table cannot start with this input: ")
    assert said in str(refused.value)
    assert project.live() == {}


def test_a_run_key_is_one_run_and_another_input_under_it_is_refused(project: Project, target: Database) -> None:
    run = project.start("shop", "dw", "item", key="items of today")
    assert project.start("shop", "dw", "item", key="items of today") == run
    with pytest.raises(errors.KeyTaken) as refused:
        project.start("shop", "dw", "item", key="items of today", target_table="other")
    assert "belongs to " + project.get(run).name + ", which was started with another input" in str(refused.value)
    project.worker()
    project.waiting(run)
    project.approve(run)
    assert project.ended(run).status == "completed"
    assert project.start("shop", "dw", "item", key="items of today") == run
    assert target.rows("SELECT * FROM item ORDER BY id") == [(1, "one"), (2, "two")]
    assert [line.id for line in project.engine.find(limit=10).items] == [run]


# --- the store's own file


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("by", ["its name", "a link", "a URI"])
def test_the_engines_own_store_is_no_source_and_no_target(
    source: Database, project_of: Projects, tmp_path: Path, end: str, by: str
) -> None:
    store = tmp_path / "project" / ".saga" / "saga.db"
    link = tmp_path / "link.db"
    own = {
        "its name": f"sqlite:///{store}",
        "a link": f"sqlite:///{link}",
        "a URI": f"sqlite:///file:{store}?mode=rw&uri=true",
    }[by]
    project = project_of(shop=source, own=own)
    os.link(store, link)
    run = project.start("own", "shop", "saga_runs") if end == "source" else project.start("shop", "own", "item")
    project.worker()
    assert project.ended(run).status == "rolled_back"
    [error] = project.errors(run)
    assert error.startswith("SettingsError: connection own: ")
    assert error.endswith("is the engine's own store; tables are moved from and to other databases")
    assert [name for name in Database(f"sqlite:///{store}").tables() if "staging" in name or name == "item"] == []
    assert (project.broken_at(run), project.left_over()) == (None, [])
