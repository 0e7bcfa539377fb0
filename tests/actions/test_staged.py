"""What is swapped is what was validated: a staging table that was changed since is found out, nothing is renamed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import psycopg
import pytest

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Plan
from saga_engine.errors import StagingChanged
from tests.actions.compare import unequal
from tests.actions.conftest import CROSSED
from tests.actions.support import Database, Mover

Moving = Callable[..., Mover]


@pytest.fixture(params=CROSSED)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each kind of database once as a target."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def mover(moving: Moving, source: Database, target: Database) -> Mover:
    """A table that has been loaded and validated, beside an older one."""
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    source.fill("item", [(n, f"new {n}") for n in range(1, 21)])
    target.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "CREATE INDEX item_name ON item (name)")
    target.fill("item", [(1, "old")])
    found = moving("item", chunk_rows=6)
    found.up_to_load()
    found.validate()
    return found


def quoted(table: TableName) -> str:
    return f'"{table.name}"'


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("UPDATE {staging} SET name = 'slipped in' WHERE id = 7", "rows of it were changed"),
        ("UPDATE {staging} SET id = 100 WHERE id = 20", "rows of it were changed"),
        (
            "UPDATE {staging} SET name = CASE id WHEN 1 THEN 'new 2' WHEN 2 THEN 'new 1' ELSE name END",
            "rows of it were",
        ),
        ("DELETE FROM {staging} WHERE id = 7", "it had 20 rows and has 19"),
        ("INSERT INTO {staging} VALUES (0, NULL)", "it had 20 rows and has 21"),
        ("ALTER TABLE {staging} ADD COLUMN more text", "its columns, indexes, constraints, triggers or rights differ"),
        ("DROP TABLE {staging}", "it is gone"),
    ],
)
def test_a_staging_table_that_was_changed_after_the_validation_is_not_swapped(
    mover: Mover, target: Database, change: str, difference: str
) -> None:
    plan = mover.preflight()
    target.run(change.format(staging=quoted(plan.staging)))
    before = target.tables()
    with pytest.raises(StagingChanged, match=difference) as refused:
        mover.cut_over()
    assert str(plan.staging) in str(refused.value)
    assert (target.tables(), target.rows("SELECT * FROM item")) == (before, [(1, "old")])
    mover.roll_back()
    assert plan.staging.name not in target.tables()


def test_a_staging_table_that_was_changed_back_is_swapped(mover: Mover, source: Database, target: Database) -> None:
    staging = quoted(mover.preflight().staging)
    target.run(f"UPDATE {staging} SET name = 'x' WHERE id = 7", f"UPDATE {staging} SET name = 'new 7' WHERE id = 7")
    assert mover.cut_over().rows == 20
    assert unequal(source, "item", target) == []


def test_nobody_changes_the_staging_table_between_the_look_and_the_swap(
    mover: Mover, source: Database, target: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = dialects.named(target.kind)
    swap, late = dialect.swap, list[str]()

    def swap_beside_a_writer(db: object, plan: Plan) -> list[str]:
        wait = ["SET lock_timeout = 100"] if target.kind == "postgresql" else []
        with pytest.raises((sqlite3.OperationalError, psycopg.errors.LockNotAvailable), match="lock") as refused:
            target.run(*wait, f"UPDATE {quoted(plan.staging)} SET name = 'late' WHERE id = 7")
        late.append(str(refused.value))
        return swap(db, plan)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(dialect, "swap", swap_beside_a_writer)
    mover.cut_over()
    assert len(late) == 1
    assert unequal(source, "item", target) == []
