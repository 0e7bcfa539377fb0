"""Names that a run derives are never equal, however alike those are from which it derives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from saga_engine.actions.copy.names import NAME_BYTES_MAX, derived
from tests.actions.support import Database, Mover, move

Fresh = Callable[[str, str], str]
LONG = "an_index_with_so_long_a_name_that_nobody_reads_it_to_the_end_"[:60]


def test_a_name_that_fits_is_kept_whole() -> None:
    assert derived("orders", "_before_1") == "orders_before_1"
    assert derived("x" * 54, "_before_1") == "x" * 54 + "_before_1"


def test_a_name_that_is_cut_is_told_from_others_that_begin_alike() -> None:
    names = [derived(LONG + end, "_before_12345678") for end in ("a", "b")] + [derived("ü" * 31 + "x", "_before_1")]
    assert len(set(names)) == 3
    assert [name.startswith(LONG[:38]) for name in names] == [True, True, False]
    assert [len(name.encode()) <= NAME_BYTES_MAX for name in names] == [True] * 3
    assert all("_before_1" in name for name in names)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_indexes_that_only_their_ends_tell_apart(fresh_url: Fresh, exports: Path, kind: str) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(fresh_url(kind, "target"))
    source.run("CREATE TABLE item (id integer PRIMARY KEY, a integer, b integer)")
    source.fill("item", [(n, n, n) for n in range(5)])
    indexes = [f"CREATE UNIQUE INDEX {LONG}{column} ON item ({column})" for column in ("a", "b")]
    target.run("CREATE TABLE item (id bigint PRIMARY KEY, a bigint, b bigint)", *indexes)
    mover = Mover(move("item", exports), source, target)
    mover.whole()
    assert {f"{LONG}a", f"{LONG}b"} <= target.tables()
    Mover(move("item", exports), source, target, run="second").whole()


def test_new_indexes_that_are_equal_as_far_as_postgresql_reads_them(
    fresh_url: Fresh, postgres_url: str, exports: Path
) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(postgres_url)
    source.run(
        "CREATE TABLE item (id integer PRIMARY KEY, a integer, b integer)",
        *(f"CREATE INDEX {LONG}_more_{column} ON item ({column})" for column in ("a", "b")),
    )
    source.fill("item", [(1, 1, 1)])
    Mover(move("item", exports), source, target).whole()
    assert len([name for name in target.tables() if name.startswith(LONG[:40])]) == 2


def test_rights_that_default_privileges_would_have_taken_from_the_owner(
    fresh_url: Fresh, postgres_url: str, exports: Path
) -> None:
    source, target = Database(fresh_url("sqlite", "source")), Database(postgres_url)
    source.run("CREATE TABLE item (id integer PRIMARY KEY)")
    target.run(
        "CREATE TABLE item (id bigint PRIMARY KEY)",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
    )
    rights = (
        "SELECT grantee = c.relowner, privilege_type FROM pg_class c,"
        " aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE oid = 'item'::regclass ORDER BY 2"
    )
    before = target.rows(rights)
    Mover(move("item", exports), source, target).whole()
    assert target.rows(rights) == before
