"""The cut-over in SQLite: the new table has everything that hung on the old one; the old one is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from saga_engine.errors import TargetChanged
from tests.actions.support import Database, Mover, move


@pytest.fixture
def source(fresh_url: Callable[[str, str], str]) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, name text, parent integer)")
    database.fill("item", [(n, f"new {n}", n - 1 if n else None) for n in range(5)])
    return database


@pytest.fixture
def target(fresh_url: Callable[[str, str], str]) -> Database:
    """A table with all that SQLite can hang on one, under a name that must be quoted."""
    database = Database(fresh_url("sqlite", "target"))
    database.run(
        """CREATE TABLE [Order] -- a comment
           (id integer PRIMARY KEY AUTOINCREMENT, name text DEFAULT 'none' CHECK (name <> ''), parent integer
            REFERENCES "Order" (id), twice AS (id * 2))""",
        'CREATE TABLE line (id integer PRIMARY KEY, item integer REFERENCES "Order" (id))',
        'CREATE UNIQUE INDEX by_name ON "Order" (name COLLATE NOCASE) WHERE name IS NOT NULL',
        'CREATE INDEX by_parent ON "Order" (parent DESC)',
        'CREATE VIEW names AS SELECT name FROM "Order"',
        "CREATE TABLE heard (name text)",
        """CREATE TRIGGER hear AFTER INSERT ON "Order" BEGIN INSERT INTO heard VALUES (new.name || '?'); END""",
        """CREATE TRIGGER on_line AFTER INSERT ON line
           BEGIN UPDATE "Order" SET name = 'lined' WHERE id = new.item; END""",
        """INSERT INTO "Order" (id, name) VALUES (1000, 'old')""",
        "DELETE FROM heard",
    )
    return database


@pytest.fixture
def mover(source: Database, target: Database, exports: Path) -> Mover:
    return Mover(move("item", exports, chunk_rows=2, target_table="order"), source, target)


def attached(target: Database) -> dict[str, str]:
    """Everything but the table itself, with the statement that made it."""
    rows = target.rows("SELECT name, sql FROM sqlite_master WHERE tbl_name <> 'Order' OR type <> 'table'")
    return {str(name): str(sql) for name, sql in rows}


def test_the_old_table_is_kept_and_all_that_hung_on_it_follows_the_new_one(mover: Mover, target: Database) -> None:
    before = attached(target)
    plan = mover.up_to_load()
    mover.validate()
    done = mover.cut_over()
    after = attached(target)
    assert (done.table, done.kept, done.rows) == ("Order", plan.kept.name, 5)
    assert {name: sql for name, sql in after.items() if name in before} == before
    assert target.rows('SELECT id, name, parent, twice FROM "Order" WHERE id < 2') == [
        (0, "new 0", None, 0),
        (1, "new 1", 0, 2),
    ]
    assert target.rows(f'SELECT id, name FROM "{done.kept}"') == [(1000, "old")]
    assert {name for name in target.tables() if "_" + plan.token in name} == {plan.kept.name}


def test_the_new_table_works_like_the_old_one(mover: Mover, target: Database) -> None:
    mover.whole()
    target.run("""INSERT INTO "Order" (parent) VALUES (0)""", "INSERT INTO line VALUES (1, 4)")
    assert target.rows("SELECT name FROM heard") == [("none?",)]
    assert target.rows("SELECT name FROM names ORDER BY name") == [
        ("lined",), ("new 0",), ("new 1",), ("new 2",), ("new 3",), ("none",),
    ]  # fmt: skip
    assert target.rows('SELECT max(id) FROM "Order"') == [(1001,)]
    assert target.rows("SELECT \"table\" FROM pragma_foreign_key_list('Order')") == [("Order",)]
    assert target.rows("PRAGMA integrity_check") == [("ok",)]
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        target.run("""INSERT INTO "Order" (name) VALUES ('NEW 0')""")


def test_rows_that_do_not_fit_a_unique_index_stop_the_load(mover: Mover, source: Database, target: Database) -> None:
    source.run("INSERT INTO item VALUES (77, 'NEW 0', NULL)")
    before = target.tables()
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        mover.up_to_load()
    mover.roll_back()
    assert target.tables() == before


def test_a_target_that_was_changed_after_the_preflight_is_not_swapped(mover: Mover, target: Database) -> None:
    mover.up_to_load()
    target.run("DROP INDEX by_parent")
    before = target.tables()
    with pytest.raises(TargetChanged, match="its columns, indexes, constraints, triggers or rights differ"):
        mover.cut_over()
    assert target.tables() == before


def test_a_new_table_is_made_by_the_words_of_the_source(source: Database, exports: Path, tmp_path: Path) -> None:
    statement = """CREATE TABLE thing (a text COLLATE NOCASE CHECK (a <> ''), b int NOT NULL DEFAULT 7,
        PRIMARY KEY (b, a)) WITHOUT ROWID, STRICT"""
    source.run(statement, "CREATE INDEX thing_a ON thing (a DESC) WHERE b > 1", "INSERT INTO thing VALUES ('x', 2)")
    target = Database(f"sqlite:///{tmp_path}/other.db")
    target.run("CREATE TABLE thing_a (taken int)")
    mover = Mover(move("thing", exports), source, target)
    mover.whole()
    token = mover.preflight().token
    assert target.rows("SELECT name, sql FROM sqlite_master WHERE tbl_name = 'thing'") == [
        ("thing", statement.replace("CREATE TABLE thing", 'CREATE TABLE "thing"')),
        (f"thing_a_{token}", f'CREATE INDEX "thing_a_{token}" ON "thing" (a DESC) WHERE b > 1'),
    ]


def test_a_second_migration_keeps_the_first_one_s_table(mover: Mover, source: Database, target: Database) -> None:
    mover.whole()
    source.run("UPDATE item SET name = 'newer ' || id")
    again = Mover(mover.preflighting.input, source, target, run="second")
    again.whole()
    kept = [str(mover.preflight().kept), str(again.preflight().kept)]
    assert [target.rows(f'SELECT min(name) FROM "{name}"') for name in ["Order", kept[1], kept[0]]] == [
        [("newer 0",)], [("new 0",)], [("old",)],
    ]  # fmt: skip
