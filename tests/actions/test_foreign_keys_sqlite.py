"""Foreign keys of a SQLite table: rows that refer to nothing stop the move, and approvers read what stays as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from saga_engine.errors import MoveError, StagingChanged
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
ITEM = """CREATE TABLE item (id integer PRIMARY KEY, parent text REFERENCES Parent ON DELETE CASCADE, a int, b text,
    previous int REFERENCES ITEM (id), FOREIGN KEY (a, b) REFERENCES pair (a, b))"""
HOLDS_UP = "where foreign keys are enforced, deletes there may be refused, or take rows of it along"


@pytest.fixture
def target(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "target"))
    database.run(
        "CREATE TABLE parent (code text COLLATE NOCASE PRIMARY KEY, name text)",
        "CREATE TABLE pair (b text, a int, PRIMARY KEY (b, a))",
        ITEM,
        "INSERT INTO parent VALUES ('01', 'x'), ('2', 'x'), ('three', 'x'), ('nine', 'x')",
        "INSERT INTO pair VALUES ('x', 1), ('y', 2)",
        "INSERT INTO item VALUES (1000, 'nine', NULL, NULL, NULL)",
    )
    return database


@pytest.fixture
def source(fresh_url: Fresh) -> Database:
    database = Database(fresh_url("sqlite", "source"))
    database.run("CREATE TABLE item (id integer PRIMARY KEY, parent text, a int, b text, previous int)")
    database.fill(
        "item",
        [(1, "01", 1, "x", 1), (2, "2", 2, "y", 1), (3, "THREE", 9, None, 2), (4, None, None, "z", None)],
    )
    return database


@pytest.fixture
def mover(source: Database, target: Database, exports: Path) -> Mover:
    return Mover(move("item", exports, chunk_rows=2), source, target)


def enforcing(target: Database, *statements: str) -> None:
    """Run statements as an application does that has switched foreign keys on."""
    with closing(sqlite3.connect(target.path)) as db, db:
        db.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            db.execute(statement)


def test_rows_that_refer_to_what_is_there_are_moved(mover: Mover, target: Database) -> None:
    mover.whole()
    assert target.rows("SELECT id FROM item") == [(1,), (2,), (3,), (4,)]
    assert target.rows("SELECT * FROM pragma_foreign_key_check('item')") == []


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("77, '1', NULL, NULL, NULL", ("Parent", "Parent")),
        ("77, NULL, 1, 'y', NULL", ("pair", "pair")),
        ("77, NULL, NULL, NULL, 1000", ("ITEM", "item__staging_")),
    ],
)
def test_a_row_without_its_parent_stops_the_load(
    mover: Mover, source: Database, target: Database, row: str, named: tuple[str, str]
) -> None:
    source.run(f"INSERT INTO item VALUES ({row})")
    before = target.tables()
    parent, place = named
    with pytest.raises(
        MoveError,
        match=rf"the foreign key to {parent} does not hold: item__staging_.* such as key \(77\), .* not in {place}",
    ):
        mover.up_to_load()
    mover.roll_back()
    assert target.tables() == before


def test_a_parent_that_went_while_the_approval_waited_stops_the_swap(mover: Mover, target: Database) -> None:
    mover.up_to_load()
    mover.validate()
    target.run("DELETE FROM parent WHERE code = '2'")
    before = target.tables()
    with pytest.raises(MoveError, match=r"the foreign key to Parent does not hold: .* such as key \(2\)"):
        mover.cut_over()
    assert target.tables() == before
    target.run("INSERT INTO parent VALUES ('2', 'again')")
    mover.cutting_over = mover.cutting_over.again()
    assert mover.cut_over().rows == 4


def test_a_row_of_a_table_without_rowids_is_named_too(source: Database, target: Database, exports: Path) -> None:
    source.run("CREATE TABLE child (a text, b blob, parent text, PRIMARY KEY (a, b))")
    source.run("INSERT INTO child VALUES ('k', X'00FF', 'none')")
    target.run("CREATE TABLE child (a, b, parent text REFERENCES parent, PRIMARY KEY (a, b)) WITHOUT ROWID")
    with pytest.raises(MoveError, match=r"such as key \(k, \\x00ff\)"):
        Mover(move("child", exports), source, target).up_to_load()


def test_approvers_read_what_is_held_up_by_which_table(mover: Mover) -> None:
    mover.up_to_load()
    assert mover.validate().notes == tuple(
        f"the staging table refers to {name}, and after the swap the kept one does: {HOLDS_UP}"
        for name in ("ITEM", "Parent", "pair")
    )


def test_what_the_notes_say_is_so(mover: Mover, target: Database) -> None:
    """The statement stays the user's, so deletes reach the staging table before the swap, the kept one after it."""
    mover.up_to_load()
    mover.validate()
    with pytest.raises(sqlite3.IntegrityError):
        enforcing(target, "DELETE FROM pair WHERE a = 2")
    enforcing(target, "DELETE FROM parent WHERE code = 'three'")
    with pytest.raises(StagingChanged):
        mover.cut_over()


def test_a_new_table_brings_its_foreign_keys_along_and_its_rows_as_they_are(
    source: Database, target: Database, exports: Path
) -> None:
    """Of tables that refer to each other one comes first."""
    source.run(
        "CREATE TABLE line (id integer PRIMARY KEY, parent text REFERENCES parent, thing int REFERENCES thing,"
        " previous int REFERENCES line)",
        "INSERT INTO line VALUES (1, NULL, 77, NULL), (2, 'none', NULL, 1), (3, '01', NULL, 99)",
    )
    report = Mover(move("line", exports), source, target).whole()
    assert report.notes == (
        "the foreign key to line is not proved",
        "the foreign key to parent is not proved",
        "the foreign key to thing is not proved: the target has no such table",
    )
    assert target.rows("SELECT id, parent FROM line") == [(1, None), (2, "none"), (3, "01")]
