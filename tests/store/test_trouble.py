"""Which of our errors a driver's code becomes, and which answers to COMMIT leave no doubt."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from saga_engine.errors import (
    StoreBusy,
    StoreChanged,
    StoreDamaged,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreUnreachable,
)
from saga_engine.store import trouble


def of_postgres(state: str | None) -> DBAPIError:
    error = psycopg.errors.lookup(state)("secret row") if state else psycopg.OperationalError("server closed it\nmore")
    return OperationalError("INSERT …", {}, error)


def of_sqlite(code: int) -> DBAPIError:
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_CODE"
    return OperationalError("INSERT …", {}, error)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", StoreBusy),
        ("40P01", StoreBusy),
        ("55P03", StoreBusy),
        (None, StoreUnreachable),
        ("08000", StoreUnreachable),
        ("08003", StoreUnreachable),
        ("08006", StoreUnreachable),
        ("25P03", StoreUnreachable),
        ("28P01", StoreUnreachable),
        ("3D000", StoreUnreachable),
        ("53300", StoreUnreachable),
        ("57P01", StoreUnreachable),
        ("57P02", StoreUnreachable),
        ("57P03", StoreUnreachable),
        ("53100", StoreFull),
        ("25006", StoreForbidden),
        ("42501", StoreForbidden),
        ("XX001", StoreDamaged),
        ("XX002", StoreDamaged),
        ("23505", None),
        ("42P01", StoreChanged),
        ("42703", StoreChanged),
        ("42601", None),
        ("57014", StoreBusy),
        ("25P04", StoreUnreachable),
        ("57P05", StoreUnreachable),
        ("53200", StoreBusy),
        ("58030", StoreUnreachable),
    ],
)
def test_each_sqlstate_has_its_error_and_statements_speak_for_themselves(
    state: str | None, kind: type[StoreError] | None
) -> None:
    explained = trouble.explain(of_postgres(state), "store")
    assert (type(explained) if explained else None) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy),
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_READONLY, StoreForbidden),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreForbidden),
        (sqlite3.SQLITE_CORRUPT, StoreDamaged),
        (sqlite3.SQLITE_NOTADB, StoreDamaged),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreUnreachable),
        (sqlite3.SQLITE_CANTOPEN, StoreUnreachable),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, None),
        (sqlite3.SQLITE_ERROR, None),
    ],
)
def test_each_code_of_sqlite_has_its_error(code: int, kind: type[StoreError] | None) -> None:
    explained = trouble.explain(of_sqlite(code), "store")
    assert (type(explained) if explained else None) is kind


@pytest.mark.parametrize("statement", ["SELECT 1 FROM gone", "SELECT gone FROM t", "INSERT INTO t (gone) VALUES (1)"])
def test_a_table_or_column_that_is_gone_is_another_schema(statement: str) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a)")
        with pytest.raises(sqlite3.OperationalError) as raised:
            db.execute(statement)
    explained = trouble.explain(OperationalError(statement, {}, raised.value), "store")
    assert isinstance(explained, StoreChanged)


def test_an_error_says_one_line_and_the_code() -> None:
    assert trouble.reason(of_postgres(None)) == "server closed it"
    assert trouble.reason(of_sqlite(sqlite3.SQLITE_FULL)) == "as SQLite says (SQLITE_CODE)"


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (of_sqlite(sqlite3.SQLITE_BUSY), True),
        (of_sqlite(sqlite3.SQLITE_FULL), True),
        (of_sqlite(sqlite3.SQLITE_IOERR_FSYNC), False),
        (of_postgres(None), False),
        (of_postgres("57P01"), False),
    ],
)
def test_only_an_answer_that_leaves_no_doubt_refuses_a_commit(error: DBAPIError, *, refused: bool) -> None:
    assert trouble.refused_commit(error) is refused
