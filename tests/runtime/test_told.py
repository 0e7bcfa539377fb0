"""What the journal keeps of a driver's error: its number and message, and no value of a row."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from saga_engine.runtime.executor import told

CANARY = "o'brien the canary"
STATEMENTS = {
    "INSERT INTO t VALUES (:value, 1)": "IntegrityError 23000: 1062 Duplicate entry … for key 'PRIMARY'",
    "INSERT INTO t VALUES ('x', :value)": "DataError 22007: 1366 Incorrect integer value: … for column",
    "UPDATE t SET n = 2 WHERE n = :value": "OperationalError 22007: 1292 Truncated incorrect DECIMAL value: …",
    "INSERT INTO t VALUES ('x', STR_TO_DATE(:value, '%d') + 0)": "OperationalError HY000: 1411 Incorrect",
    "SELEKT :value": "ProgrammingError 42000: 1064 You have an error in your SQL syntax",
    "SELECT canary FROM t": "OperationalError 42S22: 1054 Unknown column 'canary' in 'SELECT'",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'one\ntwo canaries'": "OperationalError 45000: 1644 one",
}


def test_an_error_of_mariadb_is_told_without_the_values_of_rows(mariadb_url: str) -> None:
    engine = sa.create_engine(mariadb_url, poolclass=sa.NullPool)
    with engine.begin() as db:
        db.execute(sa.text("SET SESSION sql_mode = 'TRADITIONAL'"))
        db.execute(sa.text("CREATE TABLE t (name varchar(50) PRIMARY KEY, n int)"))
        db.execute(sa.text("INSERT INTO t VALUES (:value, 7)"), {"value": CANARY})
        for statement, says in STATEMENTS.items():
            with pytest.raises(DBAPIError) as error:
                db.execute(sa.text(statement), {"value": CANARY} if ":value" in statement else {})
            assert told(error.value).startswith(says)
            assert ("canary" in told(error.value)) == ("canary" in says)
    assert told(ValueError("'canary'")) == "ValueError: 'canary'"
