"""Values that other tools damage: each arrives exactly, whichever databases it goes between."""

from __future__ import annotations

from collections.abc import Sequence

from tests.actions.compare import unequal
from tests.actions.conftest import Moving
from tests.actions.support import Database, Mover

TEXTS = [
    "", " ", "plain", "tab\there", "line\nbreak\r\n", "back\\slash", "\\N", "\\.", "quote'\"`", "comma,comma",
    "%s %% :x ?",
    "Zürich – 東京 😀", "\x01\x08\x0b\x0c\x7f", "{}()[];--", "NULL", "'); DROP TABLE x; --",
]  # fmt: skip
INTEGERS = [0, -1, 2**31, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), None]
FLOATS = [0.1, 1e300, 5e-324, -2.5, 1 / 3, float("inf"), float("-inf"), 123456789.123456789, None]
BYTES = [b"", b"\x00\xff\\", bytes(range(256)), None]
DOCUMENT = '{"a": [1, 2.50, null], "b": "\\u00e9\\n"}'
MOMENTS = [
    "2026-03-29 02:30:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "infinity",
    "0044-03-15 12:00:00 BC", None,
]  # fmt: skip
DATES = ["2024-02-29", "0001-01-01", "infinity", "-infinity", "0044-03-15 BC", None]
ZONED = ["2026-03-29 01:30:00+00", "1900-01-01 00:00:00.5+00", "infinity", None]
DECIMALS = ["0.1", "12345678901234567890.123456789", "-0.000000001", "1.50", "100", None]


def sqlite_table(table: str) -> tuple[str, Sequence[tuple[object, ...]]]:
    """A statement and rows for SQLite; NUMERIC columns hold integers and floats, as SQLite makes them."""
    create = f"""CREATE TABLE "{table}" ("Group" INTEGER PRIMARY KEY, "from" VARCHAR(40) NOT NULL, big BIGINT,
        price DECIMAL(20,4), exact DECIMAL_TEXT, ratio DOUBLE, raw BLOB, day DATE, "at" DATETIME, zoned TIMESTAMPTZ,
        clock TIME, flag BOOLEAN, ident UUID, doc JSON, "per %% cent %s" TEXT, "colon :x" TEXT, "qu""ote" TEXT)"""
    rows = [
        (
            number, text, pick(INTEGERS, number), pick([0.99, 12, 1234.5678, -0.5, None], number),
            pick(DECIMALS, number), pick(FLOATS, number), pick(BYTES, number), pick(DATES, number),
            pick(MOMENTS, number), pick(ZONED, number), pick(["00:00:00", "23:59:59.999999", "24:00:00", None], number),
            pick([0, 1, None], number), pick(["6f1c2b3a-0000-4000-8000-00000000000a", None], number),
            pick([DOCUMENT, "[]", '"123"', None], number), text, text, pick([text, None], number),
        )
        for number, text in enumerate(TEXTS, -3)
    ]  # fmt: skip
    return create, rows


def postgres_table(table: str) -> tuple[str, Sequence[tuple[object, ...]]]:
    """The same for PostgreSQL, and types that only it has."""
    create = f"""CREATE TABLE "{table}" ("Group" bigint PRIMARY KEY, "from" varchar(40) NOT NULL, big bigint,
        small smallint, price numeric(30,10), exact numeric, ratio double precision, near real, raw bytea, day date,
        "at" timestamp, zoned timestamptz, clock time, flag boolean, ident uuid, doc json, docb jsonb, padded char(5),
        span interval, net inet, tags text[], "per %% cent %s" text, "colon :x" text, "qu""ote" text)"""
    rows = [
        (
            number, text, pick(INTEGERS, number), pick([-32768, 32767, None], number), pick(DECIMALS, number),
            pick([*DECIMALS, "NaN"], number), pick(FLOATS, number), pick([0.1, 1e30, -2.5, None], number),
            pick(BYTES, number), pick(DATES, number), pick(MOMENTS, number), pick(ZONED, number),
            pick(["00:00:00", "23:59:59.999999", "24:00:00", None], number), pick([False, True, None], number),
            pick(["6F1C2B3A-0000-4000-8000-00000000000A", None], number), pick([DOCUMENT, "[]", None], number),
            pick(['{"b":1,"a":"x"}', "123", None], number), pick(["a", "ab cd", "", None], number),
            pick(["1 mon 2 days 03:04:05.6", "-1 day", None], number), pick(["10.0.0.1", "10.0.0.0/8", None], number),
            pick([["a", 'b"c', "d,e", None], [], None], number), text, text, pick([text, None], number),
        )
        for number, text in enumerate(TEXTS, -3)
    ]  # fmt: skip
    return create, rows


def pick(values: Sequence[object], number: int) -> object:
    return values[number % len(values)]


def test_awkward_values_arrive_exactly(source: Database, target: Database, moving: Moving) -> None:
    create, rows = sqlite_table("Select") if source.kind == "sqlite" else postgres_table("Select")
    source.run(create)
    source.fill('"Select"', rows)
    report = moving("Select", chunk_rows=5).whole()
    assert (report.source_rows, report.target_rows, report.chunks, report.chunks_equal) == (16, 16, 4, 4)
    assert unequal(source, "Select", target) == []


def test_what_has_arrived_can_be_moved_on(source: Database, target: Database, moving: Moving) -> None:
    create, rows = sqlite_table("Select") if source.kind == "sqlite" else postgres_table("Select")
    source.run(create)
    source.fill('"Select"', rows)
    there = moving("Select")
    there.whole()
    back = Mover(there.preflighting.input.model_copy(update={"target_table": "Returned"}), target, source, run="back")
    report = back.whole()
    assert (report.chunks_equal, report.chunks) == (1, 1)
    assert unequal(target, "Select", source, "Returned") == []
