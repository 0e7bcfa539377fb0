"""The checksum of rows: the same number in every database, another one for other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.actions.copy import hashes, postgres, sqlite
from saga_engine.actions.copy.dialect import Rows, Sum
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Carried
from saga_engine.ledger import connect

VALUES = st.tuples(
    st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.floats(allow_nan=False).filter(lambda number: number != 0)),
    st.one_of(st.none(), st.binary(max_size=8)),
)
NAMES = ("id", "t", "i", "f", "b")
FORMS = ("integer", "text", "integer", "float", "bytes")


def columns(types: Sequence[str]) -> list[Carried]:
    return [
        Carried.model_validate({"name": name, "type": kind, "form": form, "binary": True})
        for name, kind, form in zip(NAMES, types, FORMS, strict=True)
    ]


@pytest.fixture
def both(tmp_path: Path, postgres_url: str) -> Callable[[list[tuple[object, ...]]], tuple[Sum, Sum]]:
    """Ask `both(rows)` for the checksums of the same rows in SQLite and in PostgreSQL."""
    lite = connect.open_target("lite", f"sqlite:///{tmp_path}/sum.db")
    server = connect.open_target("server", postgres_url)
    in_sqlite: Rows = sqlite.rows(
        TableName(schema_name="", name="s"), columns(["INTEGER", "TEXT", "INTEGER", "REAL", "BLOB"]), ["id"]
    )
    in_postgres: Rows = postgres.rows(
        TableName(schema_name="public", name="s"),
        columns(["bigint", "text", "bigint", "double precision", "bytea"]),
        ["id"],
    )
    with lite.begin() as db:
        db.exec_driver_sql("CREATE TABLE s (id INTEGER PRIMARY KEY, t TEXT, i INTEGER, f REAL, b BLOB)")
    with server.begin() as db:
        db.exec_driver_sql("CREATE TABLE s (id bigint PRIMARY KEY, t text, i bigint, f double precision, b bytea)")

    def in_each(rows: list[tuple[object, ...]]) -> tuple[Sum, Sum]:
        numbered = [(number, *row) for number, row in enumerate(rows)]
        return summed(lite, sqlite, in_sqlite, numbered, "?"), summed(server, postgres, in_postgres, numbered, "%s")

    return in_each


def summed(engine: sqlalchemy.Engine, dialect: object, of: Rows, rows: list[tuple[object, ...]], mark: str) -> Sum:
    with engine.begin() as db:
        db.exec_driver_sql("DELETE FROM s")
        if rows:
            db.exec_driver_sql(f"INSERT INTO s VALUES ({', '.join([mark] * 5)})", rows)
        (sqlite if dialect is sqlite else postgres).prepare(db)
        found = of.checksum(db, None, None)
    engine.dispose()
    return found


def test_the_checksum_of_a_known_row(both: Callable[[list[tuple[object, ...]]], tuple[Sum, Sum]]) -> None:
    row = r"0,a\,b\\c,\N,3ff0000000000000,00ff"
    expected = Sum(1, int(sha256(row.encode()).hexdigest()[:15], 16))
    assert both([("a,b\\c", None, 1.0, b"\x00\xff")]) == (expected, expected)
    assert hashes.row_hash(row) == expected.total


def test_both_databases_compute_the_same_for_any_rows(
    both: Callable[[list[tuple[object, ...]]], tuple[Sum, Sum]],
) -> None:
    @given(st.lists(VALUES, max_size=20))
    @settings(max_examples=25)
    def agree(rows: list[tuple[object, ...]]) -> None:
        lite, server = both(rows)
        assert (lite, lite.rows) == (server, len(rows))

    agree()


@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=3, max_size=3), st.data())
def test_different_rows_have_different_texts(row: list[str | None], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=3, max_size=3))
    assert (row_text(row) == row_text(other)) == (row == other)


@given(st.text(",\\Nab", max_size=6), st.text(",\\Nab", max_size=6))
def test_no_text_can_pretend_to_be_two_fields(one: str, two: str) -> None:
    assert row_text([one, two]) != row_text([f"{one},{two}"])
    assert row_text([one]) != row_text([None])


def row_text(row: Sequence[str | None]) -> str:
    """What the SQL in ``hashes`` builds."""
    return ",".join("\\N" if v is None else v.replace("\\", "\\\\").replace(",", "\\,") for v in row)
