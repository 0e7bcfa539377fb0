"""An error of MariaDB is told without the values of rows, which its messages hold."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from saga_engine.ledger.mariadb_errors import without_values

CANARY = "o'brien the canary"
STATEMENTS = {
    "INSERT INTO t VALUES (:value, 1)": "1062 Duplicate entry … for key 'PRIMARY'",
    "INSERT INTO t VALUES ('x', :value)": "1366 Incorrect integer value: … for column",
    "UPDATE t SET n = 2 WHERE n = :value": "1292 Truncated incorrect DECIMAL value: …",
    "INSERT INTO t VALUES ('x', STR_TO_DATE(:value, '%d') + 0)": "1411 Incorrect",
    "INSERT INTO p VALUES (4711)": "1526 Table has no partition for value …",
    "SELEKT :value": "1064 You have an error in your SQL syntax",
    "SELECT cage FROM t": "1054 Unknown column 'cage' in 'SELECT'",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'one\ntwo canaries'": "1644 one",
}


def test_an_error_is_told_without_the_values_of_rows(mariadb: Engine) -> None:
    with mariadb.connect() as db:
        db.exec_driver_sql("CREATE TEMPORARY TABLE t (name varchar(50) PRIMARY KEY, n int)")
        db.exec_driver_sql("CREATE TABLE p (n int) PARTITION BY LIST (n) (PARTITION one VALUES IN (1))")
        db.execute(text("INSERT INTO t VALUES (:value, 7)"), {"value": CANARY})
        for statement, says in STATEMENTS.items():
            with pytest.raises(DBAPIError) as error:
                db.execute(text(statement), {"value": CANARY} if ":value" in statement else {})
            assert error.value.orig is not None
            told = str(without_values(error.value.orig))
            assert told.startswith(says)
            assert not [word for word in ("canary", "brien", "4711", "canaries") if word in told]


@pytest.mark.parametrize("error", [ValueError("it's mine", 1), KeyError()])
def test_an_error_of_somebody_else_is_not_told_so(error: Exception) -> None:
    assert without_values(error) is None
