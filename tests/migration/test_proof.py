"""A replaced table with a foreign key to another one: the swap and the proof of it are two transactions of one step."""

from __future__ import annotations

import pytest

from saga_engine.errors import Conflict
from tests.actions.compare import unequal
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.project import Project

PROVED = "SELECT convalidated FROM pg_constraint WHERE conrelid = 'item'::regclass AND contype = 'f'"


@pytest.fixture
def source(fresh_url: FreshUrl) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id bigint PRIMARY KEY, parent bigint)")
    database.fill("item", [(n, n) for n in range(1, 6)])
    return database


@pytest.fixture
def target(fresh_url: FreshUrl) -> Database:
    database = Database(fresh_url("postgresql", "target"))
    database.run(
        "CREATE TABLE parent (id bigint PRIMARY KEY)",
        "INSERT INTO parent SELECT generate_series(1, 9)",
        "CREATE TABLE item (id bigint PRIMARY KEY, parent bigint REFERENCES parent)",
    )
    return database


@pytest.fixture
def project(source: Database, target: Database, project_of: Projects) -> Project:
    return project_of(shop=source, dw=target)


def swapped(project: Project) -> str:
    """A run whose worker was killed when the swap had been committed, and nothing else."""
    run = project.start("shop", "dw", "item")
    worker = project.worker(points={"CUTTING_OVER": ("ledger.part.after_commit", 1)})
    project.waiting(run)
    project.approve(run)
    project.until(run, lambda _: not worker.alive)
    assert worker.state() == "killed", (worker.state(), project.log())
    return run


def test_a_worker_that_is_killed_between_the_two_is_followed_by_one_that_proves(
    project: Project, source: Database, target: Database
) -> None:
    run = swapped(project)
    assert (target.rows(PROVED), unequal(source, "item", target)) == ([(False,)], [])
    project.worker()
    assert project.ended(run).status == "completed"
    assert (target.rows(PROVED), unequal(source, "item", target)) == ([(True,)], [])
    done = project.get(run).results["CUTTING_OVER"]
    assert sorted(done) == ["kept", "rows", "statements", "table"]
    assert done["statements"][-1].endswith(' VALIDATE CONSTRAINT "item_parent_fkey"')


def test_a_foreign_key_that_does_not_hold_after_the_swap_waits_for_a_person(project: Project, target: Database) -> None:
    run = swapped(project)
    target.run("SET session_replication_role = replica", "DELETE FROM parent WHERE id = 2")
    project.worker()
    project.parked(run, "W22")
    [error] = project.errors(run)
    assert error.startswith("MoveError: the foreign key item_parent_fkey does not hold: public.item has rows, ")
    with pytest.raises(Conflict, match="the point of no return and may have taken effect"):
        project.engine.rollback(run, reason="too late")
    target.run("INSERT INTO parent VALUES (2)")
    project.engine.retry(run)
    assert project.ended(run).status == "completed"
    assert target.rows(PROVED) == [(True,)]
