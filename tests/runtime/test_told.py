"""What the journal keeps of a driver's error: its kind, code and message, and no value of a row."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from saga_engine.runtime.telling import told


def test_an_error_of_mariadb_is_told_without_the_values_of_rows(mariadb_url: str) -> None:
    engine = sa.create_engine(mariadb_url, poolclass=sa.NullPool)
    with engine.begin() as db:
        db.execute(sa.text("CREATE TEMPORARY TABLE t (name varchar(50) PRIMARY KEY)"))
        with pytest.raises(IntegrityError) as error:
            db.execute(sa.text("INSERT INTO t VALUES ('a canary'), ('a canary')"))
    assert told(error.value) == "IntegrityError 23000: 1062 Duplicate entry … for key 'PRIMARY'"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT CAST(:value AS integer)", "InvalidTextRepresentation 22P02: invalid input syntax for type integer: …"),
        ("SELECT CAST(:value AS date)", "InvalidDatetimeFormat 22007: invalid input syntax for type date: …"),
        ("SELECT 1 / length('')", "DivisionByZero 22012: division by zero"),
        ("SELECT cage FROM pg_class", 'UndefinedColumn 42703: column "cage" does not exist'),
    ],
)
def test_an_error_of_postgresql_is_told_without_the_value_that_it_quotes(
    postgres_url: str, statement: str, says: str
) -> None:
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.connect() as db, pytest.raises(DBAPIError) as error:
        db.execute(sa.text(statement), {"value": 'a "quoted" canary'})
    assert told(error.value) == says


class Mute(Exception):
    """One that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Mute(), "Mute: it has no text"),
        (ValueError("a\0b \ud800"), "ValueError: a\\0b \\ud800"),
        (
            ValueError("postgresql://me:hunter2@h/db refused\nDETAIL: (1, 2)"),
            "ValueError: postgresql://me:***@h/db refused",
        ),
        (SystemExit("go"), "SystemExit: go"),
    ],
)
def test_whatever_was_raised_is_one_line_that_a_store_can_hold(error: BaseException, text: str) -> None:
    assert told(error) == text


@pytest.mark.parametrize(
    "says", ["Typ integer: »4711 geheim«", "type integer : « 4711 »", 'value "4711" is out of range']
)
def test_a_value_is_left_out_in_whatever_language_the_server_speaks(says: str) -> None:
    error = Foreign(says)
    assert "4711" not in told(error)
    assert told(error).startswith("Foreign 22P02: ")


class Foreign(Exception):
    """As psycopg's errors are."""

    sqlstate = "22P02"

    def __init__(self, says: str) -> None:
        super().__init__(says)
        self.diag = SimpleNamespace(message_primary=says)
