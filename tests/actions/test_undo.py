"""After a rollback the target is as it was, wherever the load was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_engine.actions.copy.export import drop_export
from saga_engine.actions.copy.load import load, target_as_before, unload
from saga_engine.domain.definition.values import InDoubt
from saga_engine.errors import AttemptEnded, Superseded, UndoNotVerified
from tests.actions.conftest import CROSSED, Moving
from tests.actions.support import Database, Mover
from tests.actions.test_resume import ROWS, stop_after

OLD = [(1, "old"), (99, "older")]


@pytest.fixture(params=CROSSED)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each kind of database once as a source and once as a target."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def mover(source: Database, target: Database, moving: Moving) -> Mover:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "CREATE INDEX item_name ON item (name)")
    source.fill("item", ROWS)
    target.run(
        "CREATE TABLE thing (id bigint PRIMARY KEY, name text)", "CREATE UNIQUE INDEX thing_name ON thing (name)"
    )
    target.fill("thing", OLD)
    mover = moving("item", chunk_rows=3, target_table="thing")
    mover.preflight()
    mover.export()
    return mover


def whole(target: Database) -> object:
    """All that a user can see in the target."""
    return target.tables(), target.rows("SELECT * FROM thing ORDER BY id")


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
def test_a_load_that_was_stopped_anywhere_leaves_nothing(mover: Mover, target: Database, chunks: int) -> None:
    before = whole(target)
    stop_after(mover.loading, chunks)
    with pytest.raises(AttemptEnded):
        load(mover.loading)
    assert whole(target) != before
    mover.roll_back()
    assert whole(target) == before


def test_a_finished_load_leaves_nothing(mover: Mover, target: Database) -> None:
    before = whole(target)
    mover.load()
    mover.roll_back()
    mover.roll_back()
    assert whole(target) == before


def test_a_load_that_never_began_is_only_verified(mover: Mover, target: Database) -> None:
    before = whole(target)
    mover.roll_back()
    assert whole(target) == before


def test_a_load_that_wakes_up_after_its_undo_writes_nothing(mover: Mover, target: Database) -> None:
    before = whole(target)
    stop_after(mover.loading, 2)
    with pytest.raises(AttemptEnded):
        load(mover.loading)
    mover.loading.undo(unload, InDoubt(), verify=target_as_before)
    mover.loading.cancelled = False
    with pytest.raises(Superseded):
        load(mover.loading)
    assert whole(target) == before


def test_a_target_that_somebody_changed_meanwhile_is_not_called_as_before(mover: Mover, target: Database) -> None:
    mover.load()
    target.run("ALTER TABLE thing ADD COLUMN note text")
    with pytest.raises(UndoNotVerified):
        mover.loading.undo(unload, InDoubt(), verify=target_as_before)


def test_a_target_that_somebody_made_anew_is_not_called_as_before(mover: Mover, target: Database) -> None:
    """The same words, but not the same table."""
    if target.kind == "sqlite":
        target.run("PRAGMA auto_vacuum = 1", "VACUUM")
        mover.preflight()
    mover.load()
    target.run(
        "CREATE TABLE other (id bigint)", "DROP TABLE thing", "CREATE TABLE thing (id bigint PRIMARY KEY, name text)"
    )
    target.run("CREATE UNIQUE INDEX thing_name ON thing (name)")
    with pytest.raises(UndoNotVerified):
        mover.loading.undo(unload, InDoubt(), verify=target_as_before)


def test_where_no_table_was_none_is_left(source: Database, target: Database, moving: Moving) -> None:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    source.fill("item", ROWS)
    fresh = moving("item", run="other")
    fresh.up_to_load()
    fresh.roll_back()
    assert target.tables() == set()


def test_the_files_of_all_attempts_are_removed(mover: Mover, exports: Path) -> None:
    mover.exporting = mover.exporting.again()
    mover.export()
    names = sorted(folder.name for folder in exports.iterdir())
    (exports / "run.2.1").rename(exports / "run.2.1.undone")  # an undo that was killed in between
    mover.exporting.undo(drop_export, InDoubt())
    assert (names, list(exports.iterdir())) == (["run.2.1", "run.2.2"], [])
