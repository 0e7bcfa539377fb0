"""Collations of PostgreSQL: keys of any type that sorts by one, and what a new table elsewhere would lose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.actions.compare import unequal
from tests.actions.support import Database, Mover, move
from tests.actions.test_keys import TEXTS

Fresh = Callable[[str, str], str]
PEOPLE = 'COLLATE "und-x-icu"'
KEYS: dict[str, tuple[list[str], str]] = {
    "varchar(9)": ([], "{}"),
    "a_name": (["CREATE DOMAIN a_name AS text CHECK (VALUE IS NOT NULL)"], "{}"),
    "citext": (["CREATE EXTENSION citext"], "{}"),
    "text[]": ([], '{{"{}"}}'),
}
"""What has to be made for the type, and how a text is written as a value of it."""
LOST = "is not carried over: make the target table first to keep it"


@pytest.fixture
def source(postgres_url: str) -> Database:
    return Database(postgres_url)


@pytest.mark.parametrize("there", ["sqlite", "postgresql", "an existing table in postgresql"])
@pytest.mark.parametrize("key", KEYS)
def test_keys_of_types_that_sort_by_a_collation(
    source: Database, fresh_url: Fresh, exports: Path, there: str, key: str
) -> None:
    made, value, kind = *KEYS[key], there.rpartition(" ")[2]
    target = Database(fresh_url(kind, "target"))
    source.run(*made, f"CREATE TABLE item (id {key} {PEOPLE} PRIMARY KEY, n bigint)")
    texts = dict.fromkeys(text.lower() for text in TEXTS) if key == "citext" else TEXTS
    source.fill("item", [(value.format(text), n) for n, text in enumerate(texts)])
    if kind == "postgresql":
        target.run(*made)
    if there != kind:
        target.run(f"CREATE TABLE item (id {key} PRIMARY KEY, n bigint)")
    mover = Mover(move("item", exports, chunk_rows=3), source, target)
    report = mover.whole()
    assert (report.chunks_equal, report.missing, report.extra) == (report.chunks, 0, 0)
    assert unequal(source, "item", target) == []


def test_a_new_table_with_keys_of_every_sort_in_a_database_that_sorts_as_people_do(
    source: Database, fresh_url: Fresh, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what sorts by a collation is sorted by another one: a number has none."""
    monkeypatch.setattr("saga_engine.actions.copy.postgres.new_text_is_binary", lambda _: False)
    lite, target = Database(fresh_url("sqlite", "lite")), Database(fresh_url("postgresql", "target"))
    lite.run("CREATE TABLE item (a integer, b text, c uuid, d date, PRIMARY KEY (a, b, c, d))")
    one = "6f1c2b3a-0000-4000-8000-0000000000aa"
    lite.fill("item", [(n % 3, f"{n}", one, f"2026-01-0{n}") for n in range(1, 9)])
    source.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TABLE other (a int, b text, c uuid, d interval, e mood, PRIMARY KEY (a, b, c, d, e))",
    )
    source.fill("other", [(n % 3, f"{n}", one, f"{n} days", "ok") for n in range(1, 9)])
    target.run("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    for table, here in (("item", lite), ("other", source)):
        mover = Mover(move(table, exports, chunk_rows=3), here, target, run=table)
        assert mover.whole().chunks_equal == 3
        assert [
            (lane.target.name, lane.target.binary) for lane in mover.preflight().lanes if not lane.target.binary
        ] == [("b", False)]


def test_what_a_new_table_would_lose_is_told(source: Database, fresh_url: Fresh, exports: Path) -> None:
    source.run(
        "CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        f"CREATE TABLE item (id bigint PRIMARY KEY, a text COLLATE anycase, b text {PEOPLE}, c text)",
        "CREATE POLICY mine ON item USING (true)",
        "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
        "CREATE UNIQUE INDEX once ON item (c)",
        "CREATE UNIQUE INDEX once_a ON item (a)",
        f"CREATE INDEX sorted ON item (c {PEOPLE})",
    )
    mover = Mover(move("item", exports), source, Database(fresh_url("postgresql", "target")))
    plan = mover.preflight()
    assert [index.name for index in plan.indexes] == ["once"]
    assert plan.notes == (
        "the index once_a is not carried over: it has more than plain columns",
        "the index sorted is not carried over: it has more than plain columns",
        f"the collation public.anycase of a {LOST}",
        f'the collation pg_catalog."und-x-icu" of b {LOST}',
        f"its row-level security {LOST}",
        f"the policy mine {LOST}",
    )
