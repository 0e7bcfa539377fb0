"""What the journal keeps of a driver's error: its kind, code and message, and no value of a row."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from saga_engine.runtime.executor import told


def test_an_error_of_mariadb_is_told_without_the_values_of_rows(mariadb_url: str) -> None:
    engine = sa.create_engine(mariadb_url, poolclass=sa.NullPool)
    with engine.begin() as db:
        db.execute(sa.text("CREATE TEMPORARY TABLE t (name varchar(50) PRIMARY KEY)"))
        with pytest.raises(IntegrityError) as error:
            db.execute(sa.text("INSERT INTO t VALUES ('a canary'), ('a canary')"))
    assert told(error.value) == "IntegrityError 23000: 1062 Duplicate entry … for key 'PRIMARY'"
