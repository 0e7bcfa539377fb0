"""One pass over the rows of a SQLite table before anything is written: SQLite holds any value in any column."""
# ruff: noqa: S608  identifiers are quoted by SQLAlchemy, numbers are our own

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy.canonical import EXACT_FLOAT
from saga_engine.actions.copy.catalog import Table
from saga_engine.actions.copy.dialect import Finding, Looked
from saga_engine.actions.copy.names import TableName
from saga_engine.actions.copy.plan import Lane
from saga_engine.actions.copy.postgres import types
from saga_engine.actions.copy.sqlite.declared import meaning
from saga_engine.actions.copy.sqlite.sql import joined, qualified, quote

CLASSES: Final = ("integer", "real", "text", "blob")
CHECKS_AT_ONCE: Final = 500
"""SQLite returns at most 2,000 columns."""
STRICT_CLASSES: Final = {
    "INT": "'integer'", "INTEGER": "'integer'", "REAL": "'real', 'integer'", "TEXT": "'text'", "BLOB": "'blob'",
}  # fmt: skip


def look(db: Connection, table: Table, lanes: Sequence[Lane]) -> Looked:
    """See ``dialect.Dialect``."""
    name = qualified(table.name)
    size = joined([f"coalesce(length(CAST({quote(lane.source.name)} AS BLOB)), 1) + 1" for lane in lanes], " + ")
    rows, size_bytes = db.exec_driver_sql(f"SELECT count(*), coalesce(sum({size}), 0) FROM {name}").one()
    checks = [(lane, sql) for lane in lanes for sql in _checks(lane, is_key=lane.source.name in table.key)]
    findings: list[Finding] = []
    for first in range(0, len(checks), CHECKS_AT_ONCE):
        some = checks[first : first + CHECKS_AT_ONCE]
        sums = ", ".join(f"coalesce(sum({sql}), 0)" for _, sql in some)
        counts = db.exec_driver_sql(f"SELECT {sums} FROM {name}").one()
        findings += [
            Finding(lane.source.name, count, key_of_one(db, table.name, table.key, sql), _why(lane, sql))
            for (lane, sql), count in zip(some, counts, strict=True)
            if count
        ]
    return Looked(rows, size_bytes, tuple(findings))


def classes(db: Connection, table: Table) -> dict[str, set[str]]:
    """See ``dialect.Dialect``: the storage classes, without NULL."""
    found = {}
    for name in (column.name for column in table.columns if meaning(column.type) is None):
        tests = ", ".join(f"max(typeof({quote(name)}) = '{kind}')" for kind in CLASSES)
        row = db.exec_driver_sql(f"SELECT {tests} FROM {qualified(table.name)}").one()
        found[name] = {kind for kind, there in zip(CLASSES, row, strict=True) if there}
    return found


def _checks(lane: Lane, *, is_key: bool) -> list[str]:
    """SQL that is true for a value that the target cannot hold exactly; never NULL."""
    c = quote(lane.source.name)
    checks = [f"({c} IS NOT NULL AND coalesce({bad}, 1))" for bad in _unfit(lane, c)]
    if is_key or not lane.nullable:
        checks.append(f"({c} IS NULL)")
    if lane.source.form not in ("integer", "float", "bytes", "boolean"):
        checks.append(f"(typeof({c}) = 'text' AND NOT saga_is_utf8(CAST({c} AS BLOB)))")
    if lane.source.form == "text":
        checks.append(f"(typeof({c}) = 'text' AND instr({c}, char(0)) > 0)")
    return checks


def _unfit(lane: Lane, c: str) -> list[str]:
    arguments = types.parse(lane.target.type).arguments
    match lane.source.form:
        case "stored":
            allowed = STRICT_CLASSES.get(lane.target.type.upper()) if lane.strict else None
            return [f"typeof({c}) NOT IN ({allowed})"] if allowed else []
        case "integer":
            bits = types.INTEGERS[types.parse(lane.target.type).base]
            return [f"typeof({c}) <> 'integer' OR {c} NOT BETWEEN {_least(bits)} AND {2**bits - 1}"]
        case "boolean":
            return [f"typeof({c}) <> 'integer' OR {c} NOT IN (0, 1)"]
        case "decimal":
            precision, scale = (*arguments, 0)[:2] if arguments else ("NULL", "NULL")
            return [f"NOT saga_decimal_fits({c}, {precision}, {scale})"]
        case "float":
            inexact = f"{c} NOT BETWEEN -{EXACT_FLOAT} AND {EXACT_FLOAT}"
            return [f"CASE typeof({c}) WHEN 'real' THEN 0 WHEN 'integer' THEN {inexact} ELSE 1 END"]
        case "bytes":
            return [f"typeof({c}) <> 'blob'"]
        case "uuid":
            return [f"saga_uuid({c}) IS NULL"]
        case "text":
            return _unfit_text(lane, c, arguments)
        case form:
            digits = f" OR NOT saga_fraction_fits(saga_{form}({c}), {arguments[0]})" if arguments else ""
            return [f"saga_{form}({c}) IS NULL{digits}"]


def _unfit_text(lane: Lane, c: str, arguments: tuple[int, ...]) -> list[str]:
    checks = [f"typeof({c}) <> 'text'"]
    if arguments:
        checks.append(f"length({c}) > {arguments[0]}")
    if types.parse(lane.target.type).base == "json":
        checks.append(f"NOT json_valid({c})")
    return checks


def _least(bits: int) -> str:
    """The smallest integer; SQLite reads the digits of -2^63 as a float, before it sees the sign."""
    return f"(-{2**bits - 1} - 1)"


def _why(lane: Lane, check: str) -> str:
    if check.endswith("IS NULL)") and "saga_" not in check:
        return "no value, where one is required"
    if "saga_is_utf8" in check:
        return "text that is not UTF-8"
    if "char(0)" in check:
        return "text with a NUL character, which PostgreSQL does not know"
    return f"a value that {lane.target.type} cannot hold exactly"


def key_of_one(db: Connection, table: TableName, key: Sequence[str], check: str) -> str:
    """The key of a row for which *check* is true, readable even where its text is not; empty without such a row."""
    items = ", ".join(f"typeof({quote(name)}), CAST({quote(name)} AS BLOB)" for name in key)
    row = db.exec_driver_sql(f"SELECT {items} FROM {qualified(table)} WHERE {check} LIMIT 1").one_or_none()
    if row is None:
        return ""
    texts = [
        f"\\x{value.hex()}" if kind == "blob" else "NULL" if value is None else value.decode(errors="replace")
        for kind, value in zip(row[::2], row[1::2], strict=True)
    ]
    return f"({', '.join(texts)})"
