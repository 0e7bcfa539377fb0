"""What somebody else does to source, target, files or ledger while a migration is under way, and how the run ends.

A worker is killed just before a state's step, so nothing runs; then the change; then another worker goes on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.actions.compare import unequal
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.databases import whole
from tests.migration.points import killed
from tests.migration.project import Project

ROWS = [(i, f"name {i}") for i in range(1, 31)]
OLD = [(1, "old"), (99, "older")]


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite"])
def pair(request: pytest.FixtureRequest, fresh_url: FreshUrl) -> tuple[Database, Database]:
    """A source with the table `item`, a target with an older table `item` that has an index."""
    here, _, there = str(request.param).split()
    source, target = Database(fresh_url(here, "source")), Database(fresh_url(there, "target"))
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "CREATE INDEX item_name ON item (name)")
    source.fill("item", ROWS)
    target.run("CREATE TABLE item (id bigint PRIMARY KEY, name text)", "CREATE INDEX item_name ON item (name)")
    target.fill("item", OLD)
    return source, target


@pytest.fixture
def source(pair: tuple[Database, Database]) -> Database:
    return pair[0]


@pytest.fixture
def target(pair: tuple[Database, Database]) -> Database:
    return pair[1]


@pytest.fixture
def project(source: Database, target: Database, project_of: Projects) -> Project:
    return project_of(shop=source, dw=target)


def started(project: Project, **more: Any) -> str:
    return project.start("shop", "dw", "item", **{"chunk_rows": 10, **more})


def finished(project: Project, run: str) -> None:
    """Let a worker take the run to its approval, approve, and see it completed."""
    project.worker()
    project.waiting(run)
    project.approve(run)
    assert project.ended(run).status == "completed"


def report_of(project: Project, run: str) -> dict[str, Any]:
    """What the validation found, from the journal: the result itself is undone with the rollback."""
    results = [c for line in project.engine.history(run) for c in line.commands if c["kind"] == "AddResult"]
    found: dict[str, Any] = json.loads(next(c["value"] for c in results if c["state"] == "VALIDATING"))
    return found


# --- the source


def test_rows_that_changed_in_the_source_after_the_export_are_named_and_the_run_rolls_back(
    project: Project, source: Database, target: Database
) -> None:
    run, before = started(project), whole(target)
    project.dies_in("VALIDATING")
    source.run("UPDATE item SET name = 'newer' WHERE id = 7", "DELETE FROM item WHERE id = 8")
    source.fill("item", [(31, "new")])
    project.worker()
    assert project.ended(run).status == "rolled_back"
    report = report_of(project, run)
    assert (report["missing"], report["extra"], report["changed"]) == (1, 1, 1)
    assert sorted((found["key"], found["kind"]) for found in report["differences"]) == [
        (["31"], "missing"), (["7"], "changed"), (["8"], "extra"),
    ]  # fmt: skip
    assert (whole(target), project.left_over()) == (before, [])


def test_so_many_rows_may_be_newer_in_the_source_as_the_input_allows(
    project: Project, source: Database, target: Database
) -> None:
    run = started(project, may_miss=1)
    project.dies_in("VALIDATING")
    source.fill("item", [(31, "new")])
    finished(project, run)
    assert target.rows("SELECT * FROM item ORDER BY id") == ROWS


# --- the target


def test_rows_written_to_the_old_table_meanwhile_are_in_the_kept_one(
    project: Project, source: Database, target: Database
) -> None:
    run = started(project)
    project.dies_in("AWAITING_CUTOVER")
    target.fill("item", [(100, "written meanwhile")])
    finished(project, run)
    kept = project.get(run).results["CUTTING_OVER"]["kept"].removeprefix("public.")
    assert target.rows(f'SELECT * FROM "{kept}" ORDER BY id') == [*OLD, (100, "written meanwhile")]
    assert unequal(source, "item", target) == []


def test_a_target_whose_schema_changed_is_not_replaced_until_it_is_as_planned(
    project: Project, source: Database, target: Database
) -> None:
    run = started(project)
    project.dies_in("AWAITING_CUTOVER")
    target.run("ALTER TABLE item ADD COLUMN added text")
    project.worker()
    project.waiting(run)
    project.approve(run)
    project.parked(run, "W22")
    assert project.errors(run) == [changed(target, "its columns, indexes, constraints, triggers or rights differ")]
    assert target.rows("SELECT id, name FROM item ORDER BY id") == OLD
    target.run("ALTER TABLE item DROP COLUMN added")
    project.engine.retry(run)
    assert project.ended(run).status == "completed"
    assert unequal(source, "item", target) == []


def test_a_target_whose_schema_changed_can_be_left_as_it_is_now(project: Project, target: Database) -> None:
    """The rollback cannot prove that the target is as before, for somebody has changed it: a person says so."""
    run, before = started(project), target.tables()
    project.dies_in("AWAITING_CUTOVER")
    target.run("ALTER TABLE item ADD COLUMN added text")
    project.worker()
    project.waiting(run)
    project.approve(run)
    project.parked(run, "W22")
    project.engine.rollback(run, reason="the plan does not fit any more")
    project.parked(run, "W17")
    assert "is not as it was before" in project.errors(run)[-1]
    project.engine.skip(run, reason="the column is ours, and the staging table is gone")
    assert project.ended(run).status == "rolled_back"
    assert target.rows("SELECT * FROM item ORDER BY id") == [(1, "old", None), (99, "older", None)]
    assert (target.tables(), project.left_over()) == (before, [])


def test_a_staging_table_that_was_changed_while_the_approval_waited_is_not_swapped(
    project: Project, target: Database
) -> None:
    run, before = started(project), whole(target)
    project.worker()
    project.waiting(run)
    staging = project.get(run).results["PREFLIGHT"]["staging"]["name"]
    target.run(f"UPDATE \"{staging}\" SET name = 'slipped in' WHERE id = 7")
    project.approve(run)
    project.parked(run, "W22")
    [error] = project.errors(run)
    assert error.startswith("StagingChanged: ")
    assert f"{staging} is not what was validated: rows of it were changed. Nothing was swapped" in error
    project.engine.rollback(run, reason="the copy was changed")
    assert project.ended(run).status == "rolled_back"
    assert (whole(target), project.left_over()) == (before, [])


def test_a_second_migration_of_a_table_does_not_replace_what_the_first_has_just_put_there(
    project: Project, source: Database, target: Database
) -> None:
    first, second = started(project), started(project, chunk_rows=7)
    project.worker()
    project.waiting(first)
    project.waiting(second)
    project.approve(first)
    project.ended(first)
    before = whole(target)
    project.approve(second)
    project.parked(second, "W22")
    assert project.errors(second) == [changed(target, "another table has taken its name")]
    assert whole(target) == before
    assert unequal(source, "item", target) == []


def test_a_table_that_appeared_under_the_new_name_is_not_replaced(project: Project, target: Database) -> None:
    run = started(project, target_table="fresh")
    project.dies_in("LOADING")
    target.run("CREATE TABLE fresh (id bigint)")
    before = whole(target)
    project.worker()
    project.parked(run, "W17")
    assert [error.partition(":")[0] for error in project.errors(run)] == ["TargetChanged", "UndoNotVerified"]
    assert "it is there now and was not" in project.errors(run)[0]
    target.run("DROP TABLE fresh")
    project.engine.retry(run)
    assert project.ended(run).status == "rolled_back"
    assert {name: rows for name, rows in before.items() if "item" in name} == {
        name: rows for name, rows in whole(target).items() if "item" in name
    }


def test_two_runs_of_one_table_into_two_new_ones_share_no_name(
    project: Project, source: Database, target: Database
) -> None:
    one, two = started(project, target_table="one"), started(project, target_table="two")
    target.run("DROP INDEX item_name")
    project.dies_in("LOADING")
    [(first, _)] = killed(project.folder)
    project.engine.pause(first)
    project.dies_in("LOADING")
    assert {project.get(run).state for run in (one, two)} == {"LOADING"}
    project.engine.resume(first)
    project.worker()
    for run in (one, two):
        project.waiting(run)
        project.approve(run)
    assert [project.ended(run).status for run in (one, two)] == ["completed", "completed"]
    assert [unequal(source, "item", target, table) for table in ("one", "two")] == [[], []]
    assert len([name for name in target.tables() if name.startswith("item_name")]) == 2


# --- the files


def chunk_file(project: Project, name: str) -> Path:
    [found] = (project.folder / ".saga" / "exports").glob(f"*/*/{name}")
    return found


def test_a_damaged_chunk_of_a_finished_export_is_named_and_the_run_rolls_back(
    project: Project, target: Database
) -> None:
    run, before = started(project), whole(target)
    project.dies_in("LOADING", "ledger.part.before_commit", 3)  # staging and chunk 1 are in, chunk 2 is not
    damaged = chunk_file(project, "000002.copy")
    damaged.write_bytes(damaged.read_bytes().replace(b"name 15", b"name 51"))
    project.worker()
    assert project.ended(run).status == "rolled_back"
    [error] = project.errors(run)
    assert error.startswith(f"ExportDamaged: {damaged} is not what was exported: its SHA-256 differs from the manifest")
    assert (whole(target), project.left_over()) == (before, [])


def test_a_damaged_chunk_of_an_unfinished_export_is_read_again(
    project: Project, source: Database, target: Database
) -> None:
    run = started(project)
    project.dies_in("EXPORTING", "copy.chunk.written", 2)  # chunks 1 and 2 are on disk, 3 is not
    damaged = chunk_file(project, "000001.copy")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    finished(project, run)
    exported = project.get(run).results["EXPORTING"]
    assert (exported["chunks"], exported["reused"]) == (3, 1)
    assert unequal(source, "item", target) == []


def test_an_export_that_somebody_removed_is_named_and_the_run_rolls_back(project: Project, target: Database) -> None:
    run, before = started(project), whole(target)
    project.dies_in("LOADING")
    chunk_file(project, "manifest.json").unlink()
    project.worker()
    assert project.ended(run).status == "rolled_back"
    assert [error.partition(":")[0] for error in project.errors(run)] == ["ExportGone"]
    assert (whole(target), project.left_over()) == (before, [])


# --- the ledger


def hidden(target: Database, *, back: bool = False) -> list[str]:
    """Statements that take the ledger away under another name, or bring it back."""
    if target.kind == "postgresql":
        names = ("hidden", "saga_ledger") if back else ("saga_ledger", "hidden")
        return ["ALTER SCHEMA {} RENAME TO {}".format(*names)]
    tables = ("saga_ledger", "saga_ledger_heads", "saga_ledger_parts")
    pairs = [(f"hidden_{table}", table) if back else (table, f"hidden_{table}") for table in tables]
    return [f"ALTER TABLE {here} RENAME TO {there}" for here, there in pairs]


def test_a_run_whose_ledger_is_gone_waits_for_a_person_and_goes_on_when_it_is_back(
    project: Project, source: Database, target: Database
) -> None:
    run = started(project)
    project.dies_in("LOADING", "ledger.part.after_commit", 2)
    target.run(*hidden(target))
    project.worker()
    project.parked(run, "W21")
    assert [error.partition(":")[0] for error in project.errors(run)] == ["LedgerMissing"]
    assert [reason.code for reason in project.engine.why(run).reasons] == ["W21"]
    assert target.rows("SELECT * FROM item ORDER BY id") == OLD
    target.run(*hidden(target, back=True))
    project.engine.retry(run)
    finished(project, run)
    assert unequal(source, "item", target) == []


def test_a_run_whose_ledger_was_dropped_and_made_again_does_not_trust_it(project: Project, target: Database) -> None:
    run, other = started(project), started(project, target_table="other")
    project.dies_in("LOADING", "ledger.part.after_commit", 2)
    target.run(*dropped(target))
    project.start("shop", "dw", "item", target_table="third")  # its preflight makes a new ledger
    project.worker()
    loading = [found for found in (run, other) if project.get(found).state == "LOADING"]
    for found in loading:
        project.parked(found, "W21")
        assert [error.partition(":")[0] for error in project.errors(found)] in (["LedgerMissing"], ["LedgerChanged"])
    assert target.rows("SELECT * FROM item ORDER BY id") == OLD


def dropped(target: Database) -> list[str]:
    if target.kind == "postgresql":
        return ["DROP SCHEMA saga_ledger CASCADE"]
    return [f"DROP TABLE {table}" for table in ("saga_ledger_parts", "saga_ledger_heads", "saga_ledger")]


def changed(target: Database, difference: str) -> str:
    """What the run says of a target that is not the planned one any more."""
    table = "public.item" if target.kind == "postgresql" else "item"
    return (
        f"TargetChanged: {table} has changed since the preflight: {difference}. "
        "Roll the run back and start it again, so that the plan fits the table."
    )
