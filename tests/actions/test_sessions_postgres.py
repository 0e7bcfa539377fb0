"""How a server prints values is its own affair: a plan made in one session holds in any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from saga_engine.actions.copy.load import target_as_before, unload
from saga_engine.domain.definition.values import InDoubt
from tests.actions.support import Database, Mover, move

SETTINGS = ("TimeZone = 'America/New_York'", "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'")


@pytest.fixture
def mover(postgres_url: str, fresh_url: Callable[[str, str], str], exports: Path) -> Mover:
    """A target with moments in its definitions, in a database whose sessions begin with other settings than ours."""
    source, target = Database(fresh_url("sqlite", "source")), Database(postgres_url)
    source.run("CREATE TABLE item (id integer PRIMARY KEY, seen TIMESTAMPTZ)")
    source.fill("item", [(n, f"2026-01-0{n} 00:00:00+00") for n in range(1, 5)])
    for setting in SETTINGS:
        target.run(
            f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting.replace(chr(39), chr(39) * 2)}',"
            " current_database()); END $$"
        )
    target.run(
        """CREATE TABLE item (id bigint PRIMARY KEY,
            seen timestamptz DEFAULT '2020-01-01 00:00:00+00' CHECK (seen > '2020-01-01 00:00:00+00'::timestamptz),
            again timestamptz DEFAULT '2021-02-03 00:00:00+00', since interval DEFAULT '1 day 02:00:00')""",
        "CREATE INDEX late ON item (seen) WHERE seen > '2025-12-31 12:00:00+00'::timestamptz",
    )
    return Mover(move("item", exports, chunk_rows=3), source, target)


def test_a_target_whose_sessions_are_not_in_utc_is_not_called_changed(mover: Mover) -> None:
    before = mover.target.rows("SELECT pg_get_indexdef('late'::regclass)")
    report = mover.whole()
    assert (report.target_rows, report.missing, report.changed) == (4, 0, 0)
    assert mover.target.rows("SELECT pg_get_indexdef('late'::regclass)") == before


def test_its_rollback_finds_it_as_before(mover: Mover) -> None:
    before = mover.target.tables()
    mover.up_to_load()
    mover.loading.undo(unload, InDoubt(), verify=target_as_before)
    assert mover.target.tables() == before
