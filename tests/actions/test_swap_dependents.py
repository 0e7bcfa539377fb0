"""What comes to depend on the target while the approval waits is found at the cut-over; nothing is renamed then."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.plan import Plan
from saga_engine.errors import CannotReplace, TargetChanged
from tests.actions.compare import unequal
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
WAITED_FOR = """
SELECT count(*) FROM pg_locks
 WHERE relation = 'item'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"""


@pytest.fixture
def source(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, name text, parent integer)")
    database.fill("item", [(n, f"new {n}", 1) for n in range(1, 6)])
    return database


@pytest.fixture
def target(postgres_url: str) -> Database:
    database = Database(postgres_url)
    database.run(
        "CREATE TABLE item (id bigint PRIMARY KEY, name text, parent bigint REFERENCES item)",
        "INSERT INTO item VALUES (1, 'old', 1)",
    )
    return database


@pytest.fixture
def mover(source: Database, target: Database, exports: Path) -> Mover:
    """A table that refers to itself, loaded."""
    mover = Mover(move("item", exports), source, target)
    mover.up_to_load()
    return mover


@pytest.mark.parametrize(
    ("made", "undone", "why"),
    [
        ("CREATE VIEW v AS SELECT name FROM item", "DROP VIEW v", "rule _RETURN on view public.v depends on it"),
        (
            "CREATE TABLE o (id bigint REFERENCES item)",
            "DROP TABLE o",
            "constraint o_id_fkey on table public.o depends on it",
        ),
        ("CREATE TABLE child () INHERITS (item)", "DROP TABLE child", "table public.child depends on it"),
        ("CREATE RULE r AS ON DELETE TO item DO INSTEAD NOTHING", "DROP RULE r ON item", "it has rules"),
        ("CREATE POLICY p ON item USING (true)", "DROP POLICY p ON item", "it has policies"),
        ("CREATE PUBLICATION p FOR TABLE item", "DROP PUBLICATION p", "the publication p publishes it"),
    ],
)
def test_it_is_refused_before_the_long_look_and_swapped_when_it_is_gone(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, made: str, undone: str, why: str
) -> None:
    mover.validate()
    mover.target.run(made)
    before = mover.target.tables()
    monkeypatch.delattr(import_module("saga_engine.actions.copy.swap"), "refuse_changed")
    with pytest.raises(CannotReplace) as refused:
        mover.cut_over()
    assert f"public.item cannot be replaced: {why}. " in str(refused.value)
    assert (mover.target.tables(), mover.target.rows("SELECT name FROM item")) == (before, [("old",)])
    monkeypatch.undo()
    mover.target.run(undone)
    mover.cutting_over = mover.cutting_over.again()
    mover.cut_over()
    assert unequal(mover.source, "item", mover.target) == []


def test_a_view_that_is_committed_while_the_swap_waits_for_the_target(mover: Mover, target: Database) -> None:
    mover.validate()
    with psycopg.connect(target.libpq) as user, ThreadPoolExecutor() as pool:
        user.execute("CREATE VIEW v AS SELECT name FROM item")
        swap = pool.submit(mover.cut_over)
        until_waited_for(target)
        user.commit()
        with pytest.raises(CannotReplace, match=r"rule _RETURN on view public\.v depends on it"):
            swap.result(timeout=30)
    assert target.rows("SELECT name FROM v") == [("old",)]


def test_a_target_that_is_changed_while_the_rows_are_loaded(
    source: Database, target: Database, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a staging table takes over is read twice, with hours between: it must be of one table."""
    dialect = dialects.named("postgresql")
    finish = dialect.finish_staging

    def finish_late(db: object, plan: Plan) -> None:
        target.run("GRANT SELECT ON item TO PUBLIC")
        finish(db, plan)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(dialect, "finish_staging", finish_late)
    with pytest.raises(TargetChanged, match="its columns, indexes, constraints, triggers or rights differ"):
        Mover(move("item", exports), source, target).up_to_load()


def test_a_publication_that_would_publish_the_staging_table_stops_the_load(
    source: Database, target: Database, exports: Path
) -> None:
    target.run("DROP TABLE item")
    mover = Mover(move("item", exports), source, target)
    mover.preflight()
    mover.export()
    target.run("CREATE PUBLICATION everything FOR ALL TABLES")
    with pytest.raises(CannotReplace, match=r"public\.item cannot be made: the publication everything would publish"):
        mover.load()
    mover.roll_back()
    assert target.tables() == set()


def until_waited_for(target: Database) -> None:
    """Wait until the swap waits for the target."""
    for _ in range(1000):
        if target.rows(WAITED_FOR) != [(0,)]:
            return
        time.sleep(0.005)
    raise AssertionError("nobody waits for the target")
