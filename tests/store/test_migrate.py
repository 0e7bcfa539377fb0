"""The schema of a store: made where there is none, checked where there is one, upgraded only when asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Literal

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from saga_engine.errors import SchemaNotCurrent, SchemaTooNew, StoreChanged, StoreError, StoreInUse
from saga_engine.store import definitions, incarnations, migrate
from saga_engine.store.connect import Store, open_store
from saga_engine.store.incarnations import Birth
from saga_engine.store.prepare import prepare
from saga_engine.store.upgrade import sql, upgrade
from tests.store.test_walks import Walk

if find_spec("saga_engine.store.schema") is not None:
    from saga_engine.store.schema import metadata

FIRST = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0001", None
def upgrade():
    op.create_table("shelf", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.create_table("book", sa.Column("id", sa.Integer, primary_key=True))
"""
BROKEN = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.create_table("book", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("SELECT no_such_column FROM book")
"""
KILLED = f"""{SECOND}
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""
PREPARE = """
import sys
from pathlib import Path
from saga_engine.store import definitions, migrate
from saga_engine.store.connect import open_store
from saga_engine.store.prepare import prepare
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
prepare(store, Path(sys.argv[2]))
print(migrate.current(store))
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A folder for migrations, with a name that is hard on settings files."""
    folder = tmp_path / "100% of: all, versions"
    folder.mkdir()
    return folder


def tables(store: Store) -> list[str]:
    with store.read() as db:
        return sorted(inspect(db).get_table_names())


def test_an_empty_store_gets_the_newest_schema_unasked(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    (versions / "0002_book.py").write_text(SECOND)
    assert migrate.current(store) is None
    prepare(store, versions)
    assert (migrate.current(store), migrate.head(versions)) == ("0002", "0002")
    assert tables(store) == ["book", "saga_alembic_version", "shelf"]
    migrate.check(store, versions)


def test_an_older_schema_is_refused_and_upgraded_only_when_asked(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    prepare(store, versions)
    (versions / "0002_book.py").write_text(SECOND)
    with pytest.raises(SchemaNotCurrent) as refused:
        prepare(store, versions)
    assert str(refused.value) == "The store's schema is at 0001, this program needs 0002."
    assert (refused.value.next_command, refused.value.exit_code) == ("saga db upgrade", 9)
    assert tables(store) == ["saga_alembic_version", "shelf"]
    upgrade(store, versions)
    prepare(store, versions)
    assert tables(store) == ["book", "saga_alembic_version", "shelf"]


def test_checking_an_empty_store_makes_nothing(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    with pytest.raises(SchemaNotCurrent, match="at nothing, this program needs 0001"):
        migrate.check(store, versions)
    assert tables(store) == []


def test_a_newer_schema_asks_for_a_newer_program_and_is_left_alone(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    (versions / "0002_book.py").write_text(SECOND)
    prepare(store, versions)
    (versions / "0002_book.py").unlink()
    for use in (prepare, migrate.check, upgrade):
        with pytest.raises(SchemaTooNew, match=r"at 0002, this program knows up to 0001\. Install the newer"):
            use(store, versions)
    assert migrate.current(store) == "0002"


def test_an_upgrade_twice_changes_nothing(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    upgrade(store, versions)
    upgrade(store, versions)
    assert (migrate.current(store), tables(store)) == ("0001", ["saga_alembic_version", "shelf"])


def test_an_upgrade_that_fails_leaves_the_schema_as_it_was(store: Store, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    upgrade(store, versions)
    (versions / "0002_book.py").write_text(BROKEN)
    with pytest.raises(Exception, match="no_such_column"):
        upgrade(store, versions)
    assert (migrate.current(store), tables(store)) == ("0001", ["saga_alembic_version", "shelf"])


def test_a_killed_upgrade_leaves_a_store_that_the_next_can_prepare(
    store: Store, store_url: str, versions: Path
) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    (versions / "0002_book.py").write_text(KILLED)
    killed = subprocess.Popen(
        [sys.executable, "-c", PREPARE, store_url, str(versions)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    killed.communicate(b"go\n")
    assert killed.returncode == -9
    assert migrate.current(store) is None
    (versions / "0002_book.py").write_text(SECOND)
    prepare(store, versions)
    assert tables(store) == ["book", "saga_alembic_version", "shelf"]


def test_processes_that_make_the_schema_at_once_all_find_it_made(store: Store, store_url: str, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    (versions / "0002_book.py").write_text(SECOND)
    command = [sys.executable, "-c", PREPARE, store_url, str(versions)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate() for process in processes]
    assert said == [("0002\n", "")] * 3
    assert tables(store) == ["book", "saga_alembic_version", "shelf"]


def test_tables_of_others_in_a_shared_database_are_no_obstacle_on_postgresql(postgres_url: str, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    store = open_store(postgres_url)
    with store.write() as db:
        db.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
    prepare(store, versions)
    assert tables(store) == ["alembic_version", "saga_alembic_version", "shelf"]
    store.close()


def test_a_sqlite_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    store = open_store(f"sqlite:///{tmp_path}/shop.db")
    with store.write() as db:
        db.execute(text("CREATE TABLE orders (id INTEGER)"))
    with pytest.raises(StoreError, match=r"shop.db is no store: it holds other tables \(orders, …\)\. Name"):
        prepare(store, versions)
    assert tables(store) == ["orders"]
    store.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_printed_ddl_makes_the_same_schema(
    fresh_url: Callable[[str, str], str], dialect: Literal["sqlite", "postgresql"], versions: Path
) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    (versions / "0002_book.py").write_text(SECOND)
    printed = sql(dialect, versions=versions)
    assert printed.startswith("BEGIN;\n")
    assert printed.endswith("COMMIT;\n\n")
    store = open_store(fresh_url(dialect, "by_hand"))
    by_hand(store, printed)
    migrate.check(store, versions)
    assert tables(store) == ["book", "saga_alembic_version", "shelf"]
    store.close()


def by_hand(store: Store, printed: str) -> None:
    """Run what was printed, as a DBA would."""
    with store.write() as db:
        for statement in printed.split(";"):
            if statement.strip() not in {"BEGIN", "COMMIT", ""}:
                db.exec_driver_sql(statement)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("since", migrate.known())
def test_the_printed_upgrade_makes_the_same_schema(
    fresh_url: Callable[[str, str], str], dialect: Literal["sqlite", "postgresql"], since: str, tmp_path: Path
) -> None:
    for script in migrate.VERSIONS.glob("[0-9]*.py"):
        if script.name[:4] <= since:
            shutil.copy(script, tmp_path / script.name)
    store = open_store(fresh_url(dialect, "by_hand"))
    upgrade(store, tmp_path)
    made = store_uuid(store) if since > "0001" else None
    by_hand(store, sql(dialect, since))
    migrate.check(store)
    assert differences(store) == []
    assert made in {None, store_uuid(store)}
    store.close()


def differences(store: Store) -> object:
    """Between what a store has and what the program says."""
    with store.write() as db:
        context = MigrationContext.configure(db, opts={"version_table": migrate.VERSION_TABLE, "compare_type": True})
        return compare_metadata(context, metadata)


def test_looking_at_a_schema_does_not_load_alembic(tmp_path: Path, versions: Path) -> None:
    (versions / "0001_shelf.py").write_text(FIRST)
    store = open_store(f"sqlite:///{tmp_path}/saga.db")
    upgrade(store, versions)
    store.close()
    look = f"{PREPARE}print('alembic' in sys.modules)"
    command = [sys.executable, "-c", look, f"sqlite:///{tmp_path}/saga.db", str(versions)]
    done = subprocess.run(command, input="go\n", capture_output=True, text=True, check=True)
    assert done.stdout == "ready\n0001\nFalse\n"


def test_the_packaged_migrations_are_one_chain_whose_names_say_their_order() -> None:
    packaged = ScriptDirectory(str(migrate.VERSIONS.parent))
    chain = list(packaged.walk_revisions())[::-1]
    assert [Path(script.path).name[:4] for script in chain] == [script.revision for script in chain]
    assert [script.revision for script in chain] == [f"{number:04}" for number in range(1, len(chain) + 1)]
    assert packaged.get_current_head() == migrate.head()


@pytest.mark.skipif(find_spec("saga_engine.store.schema") is None, reason="saga_engine/store/schema.py is missing")
def test_the_migrations_make_what_the_schema_says(store: Store) -> None:
    prepare(store)
    assert differences(store) == []
    assert len(tables(store)) == len(metadata.tables) + 1


def test_a_store_has_its_uuid_from_the_beginning_and_an_upgrade_keeps_it(store: Store, tmp_path: Path) -> None:
    """A backup from before the first look at it would else come back under another name, unknown to every ledger."""
    for script in sorted(migrate.VERSIONS.glob("0001_*.py")):
        shutil.copy(script, tmp_path / script.name)
    upgrade(store, tmp_path)
    upgrade(store)
    made = store_uuid(store)
    assert re.fullmatch("[0-9a-f]{32}", made)
    with store.write() as db:
        assert definitions.identity(db, store.clock(db)) == made
        db.execute(text("DELETE FROM saga_pruned"))
        db.execute(text("DROP TABLE saga_pruned"))
        db.execute(text("DROP INDEX ix_saga_tasks_failing"))
        db.execute(text("ALTER TABLE saga_undo RENAME COLUMN suffix TO task"))
        db.execute(text("ALTER TABLE saga_runs DROP COLUMN rollback_floor"))
        db.execute(text("UPDATE saga_alembic_version SET version_num = '0001'"))
    upgrade(store)
    assert store_uuid(store) == made


def before_0004(store: Store) -> None:
    """Take back what 0004 does."""
    with store.write() as db:
        db.execute(text("ALTER TABLE saga_undo RENAME COLUMN suffix TO task"))
        db.execute(text("ALTER TABLE saga_runs DROP COLUMN rollback_floor"))
        db.execute(text("UPDATE saga_alembic_version SET version_num = '0003'"))


def test_a_store_is_not_upgraded_under_a_worker_that_lives(store: Store) -> None:
    """It would take the step that has just succeeded for one that cannot be recorded, and fail it for good."""
    upgrade(store)
    before_0004(store)
    birth = Birth("me", "db-1", 7, "/run/x", 1, 2, "boot", ("default",), {}, {}, 8)
    with store.write() as db:
        incarnations.begin(db, birth, store.clock(db), timedelta(seconds=60))
    with pytest.raises(StoreInUse, match=r"under one worker: db-1 pid 7\. Stop them"):
        upgrade(store)
    assert migrate.current(store) == "0003"
    with store.write() as db:
        db.execute(text("UPDATE saga_incarnations SET lease_until = started_at"))
    upgrade(store)
    assert migrate.current(store) == "0004"
    with store.write() as db:
        incarnations.begin(db, replace(birth, id="next"), store.clock(db), timedelta(seconds=60))
    upgrade(store)


def test_a_rollback_on_its_way_to_a_state_knows_after_the_upgrade_where_it_stops(store: Store) -> None:
    upgrade(store)
    walk = Walk(store, Random(5))
    while len(walk.world.run.undo) < 3 or len({entry.state for entry in walk.world.run.undo}) < 2:
        walk.step()
    run, entry = walk.world.run, walk.world.run.undo[1]
    with store.write() as db:
        row = {"state": entry.state, "run": run.run_id}
        db.execute(text("UPDATE saga_runs SET rollback_to = :state WHERE id = :run"), row)
    before_0004(store)
    upgrade(store)
    newest = max(other.position for other in run.undo if other.state == entry.state)
    with store.read() as db:
        assert db.execute(text("SELECT rollback_floor FROM saga_runs")).scalar_one() == newest
    before_0004(store)
    with store.write() as db:
        db.execute(text("UPDATE saga_undo SET status = 'undone' WHERE position > :at"), {"at": entry.position})
        done = db.execute(text("SELECT max(position) FROM saga_undo WHERE status IN ('started', 'done')")).scalar_one()
        row = {"state": run.undo[done - 1].state}
        db.execute(text("UPDATE saga_runs SET rollback_to = :state"), row)
    upgrade(store)
    with store.read() as db:
        floor = db.execute(text("SELECT rollback_floor FROM saga_runs")).scalar_one()
    assert floor == done, "what an earlier rollback has undone is no place to stop at"


def test_an_engine_of_before_0004_finds_nothing_that_it_would_misunderstand(store: Store) -> None:
    """It may run on while the store is upgraded, and would take a step without a row for one that never began."""
    upgrade(store)
    with pytest.raises(StoreChanged, match="task"), store.read() as db:
        db.execute(text("SELECT saga_undo.position, saga_undo.task FROM saga_undo"))


def store_uuid(store: Store) -> str:
    with store.read() as db:
        row = db.execute(select(metadata.tables["saga_store"])).one()
    assert (row.id, abs(row.created_at - datetime.now(UTC)) < timedelta(minutes=5)) == (1, True)
    return str(row.uuid)
