"""The validation finds whatever differs, names the keys, and never calls unequal tables equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from saga_engine.actions.copy import validate
from saga_engine.actions.copy.plan import Difference
from saga_engine.errors import ExportGone
from tests.actions.conftest import CROSSED, Moving
from tests.actions.support import Database, Mover

ROWS = 40


@pytest.fixture(params=CROSSED)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each kind of database once as a source and once as a target."""
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def loaded(source: Database, target: Database, moving: Moving) -> Mover:
    """Forty rows in the staging table, which each test then damages; ``staging`` is its name."""
    source.run('CREATE TABLE item (a text, "B" bigint, price numeric(10,2), v text, PRIMARY KEY (a, "B"))')
    source.fill("item", [(f"k{n % 4}", n, n if n % 3 else None, f"value, {n}\\") for n in range(ROWS)])
    mover = moving("item", chunk_rows=7, keys_named=3)
    mover.up_to_load()
    return mover


def found(mover: Mover) -> tuple[int, int, int, list[str]]:
    """How many are missing, extra and changed; and the keys that were named."""
    report = mover.validate()
    named = [f"{one.kind} {','.join(one.key)}" for one in report.differences]
    return report.missing, report.extra, report.changed, named


def damage(mover: Mover, *statements: str) -> None:
    staging = f'"{mover.preflight().staging.name}"'
    mover.target.run(*(statement.replace("STAGING", staging) for statement in statements))


def test_equal_tables(loaded: Mover) -> None:
    report = loaded.validate()
    assert (report.validated.rows, len(report.validated.shape)) == (40, 64)
    assert report.model_dump(exclude={"validated"}) == {
        "source_rows": 40, "target_rows": 40, "chunks": 6, "chunks_equal": 6, "missing": 0, "extra": 0, "changed": 0,
        "differences": (), "notes": loaded.preflight().notes,
    }  # fmt: skip


def test_a_changed_value(loaded: Mover) -> None:
    damage(loaded, """UPDATE STAGING SET v = 'value, 5' WHERE "B" = 5""")
    assert found(loaded) == (0, 0, 1, ["changed k1,5"])


def test_a_value_that_became_null(loaded: Mover) -> None:
    damage(loaded, """UPDATE STAGING SET v = NULL WHERE "B" = 6""")
    assert found(loaded) == (0, 0, 1, ["changed k2,6"])


def test_a_null_that_became_an_empty_text(loaded: Mover, source: Database) -> None:
    source.run('UPDATE item SET v = NULL WHERE "B" = 7')
    damage(loaded, """UPDATE STAGING SET v = '' WHERE "B" = 7""")
    assert found(loaded) == (0, 0, 1, ["changed k3,7"])


def test_a_missing_row(loaded: Mover) -> None:
    damage(loaded, """DELETE FROM STAGING WHERE "B" = 8""")
    assert found(loaded) == (1, 0, 0, ["missing k0,8"])


@pytest.mark.parametrize("key", ["'', -1", "'k1', 1000", "'zzz', 0"])
def test_an_extra_row_before_between_or_behind_the_others(loaded: Mover, key: str) -> None:
    damage(loaded, f"INSERT INTO STAGING VALUES ({key}, 1, 'x')")
    assert found(loaded) == (0, 1, 0, [f"extra {key.replace(chr(39), '').replace(' ', '')}"])


def test_rows_that_were_swapped(loaded: Mover) -> None:
    """Two values in exchange, and two pairs of equal rows, which an XOR would not see."""
    damage(
        loaded,
        """UPDATE STAGING SET v = CASE "B" WHEN 9 THEN 'value, 13\\' ELSE 'value, 9\\' END WHERE "B" IN (9, 13)""",
    )
    assert found(loaded) == (0, 0, 2, ["changed k1,9", "changed k1,13"])


def test_a_pair_of_equal_changes(loaded: Mover, source: Database) -> None:
    source.run("""UPDATE item SET v = 'same', price = 1 WHERE "B" IN (16, 20)""")
    damage(loaded, """UPDATE STAGING SET v = 'other', price = 1 WHERE "B" IN (16, 20)""")
    assert found(loaded) == (0, 0, 2, ["changed k0,16", "changed k0,20"])


def test_a_text_that_moved_over_the_border_between_columns(source: Database, target: Database, moving: Moving) -> None:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY, a text, b text)", "INSERT INTO item VALUES (1, 'x,', 'y')")
    mover = moving("item")
    mover.up_to_load()
    damage(mover, "UPDATE STAGING SET a = 'x', b = ',y'")
    assert found(mover) == (0, 0, 1, ["changed 1"])


def test_a_row_that_came_to_the_source_after_the_export(loaded: Mover, source: Database) -> None:
    source.run("INSERT INTO item VALUES ('zz', 1, 1, 'new')", "INSERT INTO item VALUES ('', 1, 1, 'new')")
    assert found(loaded) == (2, 0, 0, ["missing ,1", "missing zz,1"])


def test_more_keys_than_may_be_named(loaded: Mover) -> None:
    damage(loaded, """UPDATE STAGING SET price = 77 WHERE a = 'k2'""")
    assert found(loaded) == (0, 0, 10, ["changed k2,2", "changed k2,6", "changed k2,10"])


def test_everything_is_gone(loaded: Mover) -> None:
    damage(loaded, "DELETE FROM STAGING")
    missing, extra, changed, named = found(loaded)
    assert (missing, extra, changed, len(named)) == (ROWS, 0, 0, 3)


@pytest.mark.parametrize("kinds", [("sqlite", "sqlite"), ("postgresql", "postgresql")])
def test_everything_at_once_between_databases_of_one_kind(loaded: Mover) -> None:
    damage(
        loaded,
        """UPDATE STAGING SET v = NULL WHERE "B" = 6""",
        """DELETE FROM STAGING WHERE "B" = 8""",
        """INSERT INTO STAGING VALUES ('zzz', 0, 1, 'x')""",
        """UPDATE STAGING SET v = CASE "B" WHEN 9 THEN 'value, 13\\' ELSE 'value, 9\\' END WHERE "B" IN (9, 13)""",
    )
    assert found(loaded) == (1, 1, 3, ["missing k0,8", "changed k1,9", "changed k1,13"])


def test_large_ranges_are_halved(loaded: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "LEAF_ROWS", 1)
    damage(
        loaded,
        """UPDATE STAGING SET v = 'changed' WHERE "B" IN (0, 39)""",
        """DELETE FROM STAGING WHERE "B" IN (1, 5)""",
        """INSERT INTO STAGING VALUES ('k1', -7, 0, 'x'), ('k1', -6, 0, 'x'), ('k1', -5, 0, 'x')""",
    )
    report = loaded.validate()
    assert (report.missing, report.extra, report.changed) == (2, 3, 2)
    assert report.differences == (
        Difference(key=("k0", "0"), kind="changed"),
        Difference(key=("k1", "-7"), kind="extra"),
        Difference(key=("k1", "-6"), kind="extra"),
    )


def test_without_its_manifest_nothing_counts_as_validated(loaded: Mover, exports: Path) -> None:
    (exports / "run.2.1" / "manifest.json").unlink()
    with pytest.raises(ExportGone):
        loaded.validate()


def test_an_empty_table_is_equal_to_an_empty_table(source: Database, moving: Moving) -> None:
    source.run("CREATE TABLE item (id bigint PRIMARY KEY)")
    report = moving("item").whole()
    assert (report.source_rows, report.target_rows, report.chunks, report.chunks_equal) == (0, 0, 1, 1)
