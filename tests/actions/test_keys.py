"""Keys of every kind: chunks are cut alike in both databases, though these sort differently by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.actions.compare import unequal
from tests.actions.conftest import Moving
from tests.actions.support import Database, Mover, move

TEXTS = [
    "",
    "A",
    "B",
    "a",
    "b",
    "Z",
    "z",
    "ä",
    "Ä",
    "a b",
    "a-b",
    "ab",
    "_",
    "é",
    "e\u0301",
    "\U0001f600",
    "\uffee",
    "10",
    "9",
    "ß",
    "ss",
]


def moved_whole(mover: Mover) -> list[str]:
    report = mover.whole()
    assert report.chunks_equal == report.chunks > 3
    return unequal(mover.source, "item", mover.target)


def test_text(source: Database, moving: Moving) -> None:
    source.run("CREATE TABLE item (id text PRIMARY KEY, n bigint)")
    source.fill("item", [(text, n) for n, text in enumerate(TEXTS)])
    assert moved_whole(moving("item", chunk_rows=4)) == []


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
def test_text_in_a_database_that_sorts_as_people_do(
    postgres_url: str, fresh_url: Callable[[str, str], str], target_kind: str, exports: Path
) -> None:
    source, target = Database(postgres_url), Database(fresh_url(target_kind, "target"))
    source.run('CREATE TABLE item (id text COLLATE "und-x-icu" PRIMARY KEY, n bigint)')
    source.fill("item", [(text, n) for n, text in enumerate(TEXTS)])
    mover = Mover(move("item", exports, chunk_rows=4), source, target)
    assert moved_whole(mover) == []
    assert mover.preflight().notes[0].startswith("no index of the source serves the order of the key")


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
def test_text_in_postgresql_that_does_not_tell_upper_from_lower_case(
    postgres_url: str, fresh_url: Callable[[str, str], str], target_kind: str, exports: Path
) -> None:
    source, target = Database(postgres_url), Database(fresh_url(target_kind, "target"))
    source.run(
        "CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE item (id text COLLATE anycase PRIMARY KEY, name text COLLATE anycase, n bigint)",
    )
    source.fill("item", [(f"{text},\\", text, n) for n, text in enumerate(("b", "É", "a", "Z", "z_"))])
    assert moved_whole(Mover(move("item", exports, chunk_rows=1), source, target)) == []


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
def test_text_in_sqlite_that_does_not_tell_upper_from_lower_case(
    fresh_url: Callable[[str, str], str], target_kind: str, exports: Path
) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url(target_kind, "target"))
    source.run("CREATE TABLE item (id text COLLATE NOCASE PRIMARY KEY, n bigint)")
    source.fill("item", [(text, 1) for text in ("b", "A", "C", "a1", "_", "Z", "y", "X")])
    assert moved_whole(Mover(move("item", exports, chunk_rows=2), source, target)) == []


POSTGRES_KEYS: list[tuple[str, Sequence[object]]] = [
    ("bigint", [-(2**63), -1, 0, 1, 2, 10, 9, 2**53, 2**53 + 1, 2**63 - 1]),
    ("bytea", [b"", b"\x00", b"\x00\x00", b"\xff", b"a", b"b", b"\x7f", b"\x80"]),
    ("uuid", [f"{n:08x}-0000-4000-8000-000000000000" for n in (0, 9, 10, 15, 16, 255, 0x80000000, 0xFFFFFFFF)]),
    ("numeric", ["-1", "0", "1", "1.5", "2", "9", "10", "100", "1e30"]),
    ("date", ["2026-01-01", "0044-03-15 BC", "infinity", "0001-01-01", "9999-12-31", "-infinity", "1999-01-01"]),
    ("timestamp", [f"2026-01-01 00:00:0{n}" for n in range(8)]),
    ("timestamptz", [f"2026-01-01 0{n}:00:00+00" for n in range(8)]),
    ("double precision", [-1.5, 0.0, 0.1, 2.0, 10.0, 9.0, float("inf"), 1e-300]),
    ("boolean", [False, True]),
    ("char(3)", ["a", "b", "ab", "abc", "", "z", "Z", "aa"]),
    ("interval", ["1 day", "2 hours", "1 mon", "-1 day", "0", "1 year", "3 days", "4 days"]),
    ("inet", ["10.0.0.1", "10.0.0.2", "9.0.0.1", "::1", "10.0.0.0/8", "1.1.1.1", "2.2.2.2", "3.3.3.3"]),
]


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
def test_every_type_of_postgresql(fresh_url: Callable[[str, str], str], target_kind: str, exports: Path) -> None:
    source, target = Database(fresh_url("postgresql", "source")), Database(fresh_url(target_kind, "target"))
    for kind, keys in POSTGRES_KEYS:
        source.run(
            "DROP TABLE IF EXISTS item, returned", f"CREATE TABLE item (part int, id {kind}, PRIMARY KEY (part, id))"
        )
        source.fill("item", [(part, key) for part in (1, 2) for key in keys])
        target.run("DROP TABLE IF EXISTS item")
        mover = Mover(move("item", exports, chunk_rows=1 + len(keys) // 4), source, target, run=kind)
        assert moved_whole(mover) == []
        back = mover.preflighting.input.model_copy(update={"target_table": "returned"})
        report = Mover(back, target, source, run=f"{kind} back").whole()
        assert (report.chunks_equal, unequal(target, "item", source, "returned")) == (report.chunks, [])


@pytest.mark.parametrize("target_kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("UUID", [f"{n}-0000-4000-8000-0000000000AA" for n in ("6F1C2B3A", "6f1c2b3b", "00000000", "F0000000")]),
        ("DATETIME", ["2026-01-01T00:00:00", "2026-01-01 00:00:00.5", "2026-01-02", "2025-12-31 23:59"]),
        ("DECIMAL(10,2)", [1, 1.5, 10, 9, -0.25]),
    ],
)  # fmt: skip
def test_spellings_of_sqlite(
    fresh_url: Callable[[str, str], str], target_kind: str, kind: str, keys: list[object],
    exports: Path,
) -> None:  # fmt: skip
    """The same moment or uuid may be written in several ways; the order is that of what it means."""
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url(target_kind, "target"))
    source.run(f"CREATE TABLE item (id {kind} PRIMARY KEY, n integer)")
    source.fill("item", [(key, n) for n, key in enumerate(keys)])
    assert moved_whole(Mover(move("item", exports, chunk_rows=1), source, target)) == []


@pytest.mark.parametrize("target_kind", ["sqlite"])
def test_any_values_of_sqlite_side_by_side(
    fresh_url: Callable[[str, str], str], target_kind: str, exports: Path
) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url(target_kind, "target"))
    source.run("CREATE TABLE item (id PRIMARY KEY, v) WITHOUT ROWID")
    source.fill("item", [(key, key) for key in (1, 1.5, "1", b"1", "a\x00b", "", b"", 2**63 - 1, -1.0e300, "\\N")])
    assert moved_whole(Mover(move("item", exports, chunk_rows=2), source, target)) == []
