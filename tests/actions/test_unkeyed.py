"""SQLite holds any value in any column, at any time: what came after the look of PREFLIGHT is found all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from saga_engine.actions.copy.postgres.rows import PostgresRows
from saga_engine.actions.copy.sqlite.rows import SqliteRows
from saga_engine.errors import AttemptEnded, MoveError
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
Made = Callable[..., Mover]

KINDS: list[tuple[str, object, object]] = [
    ("BIGINT", 7, "'x'"),
    ("BIGINT", 12, "CAST('12' AS BLOB)"),
    ("BOOLEAN", 1, "x'31'"),
    ("DOUBLE", 1.5, "'text'"),
    ("", 2.0**53, str(2**53 + 1)),
    ("TEXT", "a", "x'61'"),
    ("BLOB", b"a", "'a'"),
    ("DECIMAL(10,2)", 1.5, "'1,5'"),
    ("DATE", "2026-01-01", "'soon'"),
    ("TIME", "07:00:00", "'25:00'"),
    ("DATETIME", "2026-01-01 00:00:00", "'never'"),
    ("TIMESTAMPTZ", "2026-01-01 00:00:00+00", "'2026-01-01 00:00:00'"),
    ("UUID", "6f1c2b3a-0000-4000-8000-0000000000aa", "'6f1c'"),
]


@pytest.fixture
def made(fresh_url: Fresh, exports: Path) -> Made:
    """Ask `made(target kind, statement, rows)` for a run that has passed its preflight."""

    def made(kind: str, create: str, rows: list[tuple[object, ...]]) -> Mover:
        source = Database(fresh_url("sqlite", "source"))
        source.run(create)
        source.fill("item", rows)
        mover = Mover(move("item", exports, chunk_rows=3), source, Database(fresh_url(kind, "target")))
        mover.preflight()
        return mover

    return made


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("create", "row"),
    [
        ("CREATE TABLE item (id bigint PRIMARY KEY, n bigint)", "(NULL, 5)"),
        ("CREATE TABLE item (id bigint, n bigint, PRIMARY KEY (id, n))", "(5, NULL)"),
    ],
)
def test_a_key_without_a_value_that_came_after_the_preflight_is_told(
    made: Made, target: str, create: str, row: str
) -> None:
    mover = made(target, create, [(n, n) for n in range(10)])
    mover.export()
    mover.load()
    mover.source.run(f"INSERT INTO item VALUES {row}")
    with pytest.raises(MoveError, match="1 row of the source has no value in the key"):
        mover.validate()


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_it_is_told_too_if_it_came_before_the_export(made: Made, target: str) -> None:
    mover = made(target, "CREATE TABLE item (id text PRIMARY KEY, n bigint)", [(f"k{n}", n) for n in range(10)])
    mover.source.run("INSERT INTO item VALUES (NULL, 5)")
    mover.export()
    mover.load()
    with pytest.raises(
        MoveError, match="1 row of the source has no value in the key, so that nothing could be compared"
    ):
        mover.validate()


@pytest.mark.parametrize(
    ("create", "may_lack"),
    [
        ("CREATE TABLE item (id integer PRIMARY KEY, n bigint)", []),
        ("CREATE TABLE item (id bigint NOT NULL, n bigint NOT NULL, PRIMARY KEY (id, n))", []),
        ("CREATE TABLE item (id bigint PRIMARY KEY, n bigint) WITHOUT ROWID", []),
        ("CREATE TABLE item (id integer PRIMARY KEY DESC, n bigint)", ["id"]),
        ("CREATE TABLE item (id bigint NOT NULL, n bigint, PRIMARY KEY (id, n))", ["n"]),
    ],
)
def test_a_table_is_read_for_them_only_where_there_could_be_any(
    made: Made, monkeypatch: pytest.MonkeyPatch, create: str, may_lack: list[str]
) -> None:
    mover = made("postgresql", create, [(n, n) for n in range(10)])
    mover.export()
    mover.load()
    asked: list[list[str]] = []
    nullable_keys = SqliteRows._nullable_keys

    def spied(rows: SqliteRows, db: Connection) -> list[str]:
        asked.append(nullable_keys(rows, db))
        return asked[-1]

    monkeypatch.setattr(SqliteRows, "_nullable_keys", spied)
    assert mover.validate().changed == 0
    assert asked == [may_lack]


def test_who_does_not_want_the_result_any_more_need_not_wait_for_that_look(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover = made("postgresql", "CREATE TABLE item (id bigint PRIMARY KEY, n bigint)", [(1, 1)])
    mover.export()
    mover.load()
    asked: list[str] = []

    def count(rows: object, db: Connection) -> int:
        del db
        asked.append(type(rows).__name__)
        mover.validating.cancelled = True
        return 0

    monkeypatch.setattr(SqliteRows, "unkeyed", count)
    monkeypatch.setattr(PostgresRows, "unkeyed", count)
    with pytest.raises(AttemptEnded):
        mover.validate()
    assert asked == ["SqliteRows"]


def test_a_chunk_cannot_end_at_a_key_without_a_value(made: Made) -> None:
    mover = made("sqlite", "CREATE TABLE item (id text PRIMARY KEY, n bigint)", [(f"k{n}", n) for n in range(10)])
    mover.source.run("INSERT INTO item VALUES (NULL, 1), (NULL, 2), (NULL, 3)")
    with pytest.raises(MoveError, match="a row of item has no value in id, a column of its key"):
        mover.export()


def test_a_key_that_is_not_of_its_kind_is_a_row_like_any_other(made: Made) -> None:
    days = [(f"2026-01-0{n}", n) for n in range(1, 10)]
    mover = made("postgresql", "CREATE TABLE item (id DATE PRIMARY KEY, n bigint)", days)
    mover.export()
    mover.load()
    mover.source.run("INSERT INTO item VALUES ('soon', 5)")
    report = mover.validate()
    assert (report.source_rows, report.target_rows, report.missing) == (10, 9, 1)
    assert [found.key for found in report.differences] == [("?text 736F6F6E",)]


@pytest.mark.parametrize(("kind", "good", "bad"), KINDS)
def test_a_value_that_is_not_of_its_kind_is_never_equal(made: Made, kind: str, good: object, bad: str) -> None:
    """Neither to NULL nor to the value that it looks like."""
    mover = made("postgresql", f"CREATE TABLE item (id integer PRIMARY KEY, v {kind})", [(1, good), (2, None)])
    mover.export()
    mover.load()
    assert mover.validate().changed == 0
    mover.source.run(f"UPDATE item SET v = {bad}")
    report = mover.validate()
    assert (report.missing, report.extra, report.changed) == (0, 0, 2)


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_key_that_is_there_twice_by_now_is_no_equal_table(made: Made, target: str) -> None:
    mover = made(target, "CREATE TABLE item (id bigint PRIMARY KEY, n bigint)", [(n, n) for n in range(10)])
    mover.export()
    mover.load()
    mover.source.run(
        "CREATE TABLE other (id bigint, n bigint)",
        "INSERT INTO other SELECT * FROM item UNION ALL SELECT 4, 4",
        "DROP TABLE item",
        "ALTER TABLE other RENAME TO item",
    )
    with pytest.raises(MoveError, match="no key does: a key is there twice"):
        mover.validate()
