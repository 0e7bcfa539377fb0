"""Every table of a real sample database, between every two kinds of databases."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.actions.compare import unequal
from tests.actions.support import Database, Mover, move

DATA = Path(__file__).parents[3] / "shared" / "data"
TABLES = [
    "Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine", "MediaType", "Playlist",
    "PlaylistTrack", "Track",
]  # fmt: skip
IN_POSTGRES = {"InvoiceLine": "invoice_line", "MediaType": "media_type", "PlaylistTrack": "playlist_track"}
ROWS = {
    "Album": 347, "Artist": 275, "Customer": 59, "Employee": 8, "Genre": 25, "Invoice": 412, "InvoiceLine": 2240,
    "MediaType": 5, "Playlist": 18, "PlaylistTrack": 8715, "Track": 3503,
}  # fmt: skip

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the sample database Chinook is not beside this checkout")


@pytest.fixture
def chinook_sqlite(tmp_path: Path) -> Database:
    copy = tmp_path / "chinook.db"
    shutil.copyfile(DATA / "Chinook_Sqlite.sqlite", copy)
    return Database(f"sqlite:///{copy}")


@pytest.fixture
def chinook_postgres(fresh_url: Callable[[str, str], str]) -> Database:
    database = Database(fresh_url("postgresql", "chinook"))
    script = (DATA / "Chinook_PostgreSql.sql").read_text(encoding="utf-8")
    body = script[script.index("CREATE TABLE") :]  # before it: the database itself, and psql's \\c
    with psycopg.connect(database.libpq) as server:
        server.execute(body.encode())
    return database


def moved(source: Database, target: Database, tables: list[str], exports: Path) -> dict[str, tuple[int, list[str]]]:
    """Move each table; return how many rows were found equal by the steps, and what the comparison here says."""
    found = {}
    for table in tables:
        report = Mover(move(table, exports, chunk_rows=500), source, target, run=table).whole()
        assert (report.missing, report.extra, report.changed) == (0, 0, 0)
        found[table] = (report.target_rows, unequal(source, table, target))
    return found


def test_sqlite_to_postgresql(chinook_sqlite: Database, postgres_url: str, tmp_path: Path) -> None:
    found = moved(chinook_sqlite, Database(postgres_url), TABLES, tmp_path / "exports")
    assert found == {table: (rows, []) for table, rows in ROWS.items()}


def test_postgresql_to_sqlite(chinook_postgres: Database, tmp_path: Path) -> None:
    names = {table: IN_POSTGRES.get(table, table.lower()) for table in TABLES}
    found = moved(chinook_postgres, Database(f"sqlite:///{tmp_path}/t.db"), list(names.values()), tmp_path / "exports")
    assert found == {names[table]: (rows, []) for table, rows in ROWS.items()}


def test_sqlite_to_sqlite(chinook_sqlite: Database, tmp_path: Path) -> None:
    target = Database(f"sqlite:///{tmp_path}/t.db")
    found = moved(chinook_sqlite, target, TABLES, tmp_path / "exports")
    assert found == {table: (rows, []) for table, rows in ROWS.items()}
    assert target.tables() == chinook_sqlite.tables()
