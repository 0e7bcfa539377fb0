"""One pass over the rows of a PostgreSQL table before anything is written: the few values that cannot be carried."""
# ruff: noqa: S608  identifiers are quoted by SQLAlchemy, numbers are our own

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.dialect import Finding, Looked
from saga_engine.actions.copy.plan import Lane
from saga_engine.actions.copy.postgres import types
from saga_engine.actions.copy.postgres.sql import qualified, quote, written


def look(db: Connection, table: Table, lanes: Sequence[Lane]) -> Looked:
    """See ``dialect.Dialect``."""
    checks = [(lane, sql, why) for lane in lanes for sql, why in _checks(lane, quote(lane.source.name))]
    counts = "".join(f", count(*) FILTER (WHERE {sql})" for _, sql, _ in checks)
    name = qualified(table.name)
    rows, *bad = db.exec_driver_sql(f"SELECT count(*){counts} FROM {name}").one()
    size = db.exec_driver_sql("SELECT pg_table_size(%s::regclass)", (written(table.name),)).scalar_one()
    findings = [
        Finding(lane.source.name, count, _key_of_one(db, table, sql), why)
        for (lane, sql, why), count in zip(checks, bad, strict=True)
        if count
    ]
    return Looked(rows, size, tuple(findings))


def classes(db: Connection, table: Table) -> dict[str, set[str]]:
    """See ``dialect.Dialect``: here a type says everything."""
    del db, table
    return {}


def _checks(lane: Lane, c: str) -> list[tuple[str, str]]:
    """SQL that is true for a value that the target cannot hold exactly, and why."""
    checks = []
    to_postgres = types.parse(lane.target.type)
    if not lane.nullable:
        checks.append((f"{c} IS NULL", "no value, where one is required"))
    if lane.source.form == "float" and to_postgres.base not in types.FLOATS:
        checks.append((f"{c} = 'NaN'", "NaN, which SQLite stores as NULL"))
    if lane.source.form == "float" and to_postgres.base != "double precision":
        checks.append((f"float8send({c}::float8) = '\\x8000000000000000'", "-0, which SQLite stores as 0"))
    if lane.source.form == "text" and to_postgres.base == "character varying" and to_postgres.arguments:
        checks.append((f"length({c}) > {to_postgres.arguments[0]}", f"a text longer than {lane.target.type}"))
    if lane.source.form == "decimal" and to_postgres.arguments:
        precision, scale = (*to_postgres.arguments, 0)[:2]
        fits = (
            f"{c}::numeric = round({c}::numeric, {scale}) AND abs({c}::numeric) < 10::numeric ^ ({precision - scale})"
        )
        checks.append((f"NOT ({fits})", f"a value that {lane.target.type} cannot hold exactly"))
    return checks


def _key_of_one(db: Connection, table: Table, check: str) -> str:
    key = ", ".join(f"{quote(name)}::text" for name in table.key)
    row = db.exec_driver_sql(f"SELECT {key} FROM {qualified(table.name)} WHERE {check} LIMIT 1").one()
    return f"({', '.join(row)})"
