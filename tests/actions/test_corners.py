"""What happens rarely: each of these would be noticed late, and by the wrong person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from saga_engine.actions.copy import dialects, folders, keys, validate
from saga_engine.actions.copy.copytext import BLOCK_BYTES, gathered
from saga_engine.actions.copy.export import export
from saga_engine.actions.copy.load import load
from saga_engine.actions.copy.plan import Exported
from saga_engine.actions.copy.sqlite import swap as sqlite_swap
from saga_engine.errors import BadInput, CannotMove, MoveError, PartsNotContiguous
from tests.actions.compare import unequal
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]


@pytest.fixture
def lite(fresh_url: Fresh) -> Database:
    return Database(fresh_url("sqlite", "source"))


@pytest.fixture
def loaded(lite: Database, fresh_url: Fresh, exports: Path) -> Mover:
    """Ten rows exported in four chunks, not loaded yet."""
    lite.run("CREATE TABLE item (id integer PRIMARY KEY, v text)")
    lite.fill("item", [(number, f"text {number}") for number in range(10)])
    mover = Mover(move("item", exports, chunk_rows=3), lite, Database(fresh_url("sqlite", "target")))
    mover.preflight()
    mover.export()
    return mover


def test_a_chunk_that_does_not_begin_where_the_last_one_ended_is_not_loaded(loaded: Mover) -> None:
    exported = loaded.exporting.of(export)
    folder = Path(exported.folder)
    manifest = folders.read_manifest(folder, exported.manifest_sha256)
    gap = manifest.model_copy(update={"chunks": (manifest.chunks[0], manifest.chunks[2])})
    damaged: Exported = exported.model_copy(update={"manifest_sha256": folders.write_manifest(folder, gap)})
    loaded.loading.given(export).returns(damaged)
    with pytest.raises(PartsNotContiguous, match="Chunk 3 does not begin where the chunk before it ended"):
        load(loaded.loading)
    assert loaded.target.rows(f'SELECT count(*) FROM "{loaded.preflight().staging.name}"') == [(3,)]


def test_more_chunks_than_there_may_be(loaded: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga_engine.actions.copy.export.CHUNKS_MAX", 2)
    loaded.exporting = loaded.exporting.following("run.9")
    with pytest.raises(MoveError, match="more than 2 chunks: give a larger chunk_rows"):
        loaded.export()


def test_a_comparison_that_never_ends_is_ended(loaded: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "LEAF_ROWS", 1)
    monkeypatch.setattr(validate, "HALVINGS_MAX", 0)
    loaded.load()
    loaded.source.run("UPDATE item SET v = 'changed'")
    with pytest.raises(MoveError, match="the rows change faster than they can be compared"):
        loaded.validate()


def test_a_file_system_without_hard_links(loaded: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_new: Path, _old: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    loaded.exporting = loaded.exporting.again()
    assert (loaded.export().reused, loaded.load().rows) == (4, 10)


def test_the_files_are_for_the_worker_s_own_user_only(loaded: Mover) -> None:
    assert Path(loaded.exporting.of(export).folder).stat().st_mode & 0o077 == 0


def test_keys_are_named_as_one_would_type_them() -> None:
    found = keys.readable(("stored", "stored", "stored", "stored", "float", "bytes", "text"), (
        "i5", "tab", "r3ff8000000000000", "b00ff", "bff0000000000000", "00ff", "x",
    ))  # fmt: skip
    assert found == ("5", "ab", "1.5", "\\x00ff", "-1.0", "\\x00ff", "x")


def test_small_pieces_are_gathered_to_blocks() -> None:
    pieces = [b"x" * 1000] * 600
    blocks = list(gathered(pieces))
    assert [len(block) >= BLOCK_BYTES for block in blocks] == [True, True, False]
    assert b"".join(blocks) == b"".join(pieces)


def test_a_database_that_stores_text_as_utf_16(lite: Database, exports: Path, fresh_url: Fresh) -> None:
    lite.run("PRAGMA encoding = 'UTF-16le'", "CREATE TABLE item (id integer PRIMARY KEY)")
    with pytest.raises(CannotMove, match="source: the database stores text as UTF-16le, not as UTF-8"):
        Mover(move("item", exports), lite, Database(fresh_url("sqlite", "target"))).preflight()


def test_a_key_that_sorts_by_a_collation_of_somebody_s_own(lite: Database, exports: Path, fresh_url: Fresh) -> None:
    lite.run("CREATE TABLE item (id text COLLATE nocase PRIMARY KEY)")
    lite.run("PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = replace(sql, 'nocase', 'strange')")
    with pytest.raises(CannotMove, match="key columns sort by collations of somebody's own: id by strange"):
        Mover(move("item", exports), lite, Database(fresh_url("sqlite", "target"))).preflight()


def test_a_schema_of_sqlite_that_is_none(lite: Database, exports: Path, fresh_url: Fresh) -> None:
    with pytest.raises(CannotMove, match="SQLite has no schema 'sales'; write item"):
        Mover(move("sales.item", exports), lite, Database(fresh_url("sqlite", "target"))).preflight()


def test_foreign_keys_that_would_follow_the_old_table(loaded: Mover) -> None:
    """Only where somebody has switched them on for the connection: then the references would be renamed along."""
    loaded.load()
    plan = loaded.preflight()
    engine = sqlalchemy.create_engine(loaded.target.url)
    with engine.connect() as db:
        db.exec_driver_sql("PRAGMA foreign_keys = ON")
        with pytest.raises(MoveError, match="PRAGMA foreign_keys is on for this connection"):
            sqlite_swap(db, plan)
    engine.dispose()


def test_another_kind_of_database() -> None:
    class Db:
        class dialect:  # noqa: N801  as SQLAlchemy has it
            name = "mysql"

    with pytest.raises(BadInput, match="tables cannot be moved from or to mysql; known: sqlite, postgresql"):
        dialects.name_of(Db())  # type: ignore[arg-type]


def test_a_column_that_only_the_target_computes(lite: Database, exports: Path, fresh_url: Fresh) -> None:
    target = Database(fresh_url("sqlite", "target"))
    lite.run("CREATE TABLE item (id integer PRIMARY KEY, twice integer)")
    target.run("CREATE TABLE item (id integer PRIMARY KEY, twice integer AS (id * 2))")
    with pytest.raises(CannotMove, match="column twice is computed in item and cannot be written"):
        Mover(move("item", exports), lite, target).preflight()


def test_a_column_that_both_sides_compute(lite: Database, exports: Path, fresh_url: Fresh) -> None:
    target = Database(fresh_url("sqlite", "target"))
    for database in (lite, target):
        database.run("CREATE TABLE item (id integer PRIMARY KEY, twice integer AS (id * 2))")
    lite.run("INSERT INTO item (id) VALUES (4)")
    report = Mover(move("item", exports), lite, target).whole()
    assert (report.notes, target.rows("SELECT * FROM item")) == (
        ("twice is computed by the target too, and not copied",), [(4, 8)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "lost"),
    [
        ("id integer PRIMARY KEY", ["the numbering of id"]),
        ("id INTEGER, PRIMARY KEY (id)", ["the numbering of id"]),
        ("id integer PRIMARY KEY AUTOINCREMENT", ["the numbering of id", "AUTOINCREMENT"]),
        ("id integer PRIMARY KEY DESC", []),
        ("id int PRIMARY KEY", []),
    ],
)
def test_a_new_table_of_another_kind_gives_no_numbers(
    lite: Database, postgres_url: str, exports: Path, key: str, lost: list[str]
) -> None:
    """What SQLite does for a rowid, nobody does there; a key of two columns, or one with an index, is no rowid."""
    lite.run(f"CREATE TABLE item ({key})")
    notes = Mover(move("item", exports), lite, Database(postgres_url)).preflight().notes
    assert notes == tuple(f"{what} is not carried over: make the target table first to keep it" for what in lost)


def test_wider_columns_hold_every_value(postgres_url: str, fresh_url: Fresh, exports: Path) -> None:
    source, target = Database(postgres_url), Database(fresh_url("postgresql", "wide"))
    source.run(
        "CREATE TABLE item (id int PRIMARY KEY, a smallint, b int, c numeric(6,2), d real, e varchar(9), f text)",
        "INSERT INTO item VALUES (-1, 32767, 5, 1.50, 0.1, 'x', 'yy'), (2, NULL, -5, -0.25, 'NaN', '', NULL)",
    )
    target.run(
        "CREATE TABLE item (f varchar(2), e text, d float8, c numeric(20,9), b numeric, a bigint,"
        " id bigint PRIMARY KEY)"
    )
    report = Mover(move("item", exports, chunk_rows=1), source, target).whole()
    assert (report.chunks, report.chunks_equal) == (2, 2)
    assert target.rows("SELECT id, a, b::text, c::text, d::real::text, e, f FROM item ORDER BY id") == [
        (-1, 32767, "5", "1.500000000", "0.1", "x", "yy"), (2, None, "-5", "-0.250000000", "NaN", "", None),
    ]  # fmt: skip


def test_hundreds_of_columns(lite: Database, postgres_url: str, exports: Path, fresh_url: Fresh) -> None:
    """More than a function of PostgreSQL has arguments, and deeper than SQLite lets an expression be."""
    names = [f"c{number}" for number in range(600)]
    lite.run(f"CREATE TABLE item (id integer PRIMARY KEY, {', '.join(f'{name} text' for name in names)})")
    lite.fill("item", [(row, *[f"{row} {name}" for name in names]) for row in range(3)])
    server = Database(postgres_url)
    there = Mover(move("item", exports), lite, server, run="there").whole()
    back = Mover(move("item", exports), server, Database(fresh_url("sqlite", "back")), run="back").whole()
    assert (there.chunks_equal, back.chunks_equal) == (1, 1)
    assert unequal(lite, "item", Database(fresh_url("sqlite", "back"))) == []
