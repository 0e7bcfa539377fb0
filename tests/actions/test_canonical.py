"""Canonical texts are PostgreSQL's own: both are asked for the same values, and must say the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.actions.copy import canonical
from tests.actions.support import Database


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (canonical.decimal_text, "1.50", "1.5"), (canonical.decimal_text, "-0.00", "0"),
        (canonical.decimal_text, "1e3", "1000"), (canonical.decimal_text, 1e-7, "0.0000001"),
        (canonical.decimal_text, 0.1, "0.1"), (canonical.decimal_text, 2**63, "9223372036854775808"),
        (canonical.decimal_text, "NaN", "NaN"), (canonical.decimal_text, float("nan"), None),
        (canonical.decimal_text, float("inf"), None), (canonical.decimal_text, "1e9999", None),
        (canonical.decimal_text, "", None), (canonical.decimal_text, "٣", None), (canonical.decimal_text, b"1", None),
        (canonical.float_bits, 1, "3ff0000000000000"), (canonical.float_bits, -0.0, "8000000000000000"),
        (canonical.float_bits, "1", None),
        (canonical.date_text, "2024-02-29", "2024-02-29"), (canonical.date_text, "2023-02-29", None),
        (canonical.date_text, "0001-02-29 BC", "0001-02-29 BC"), (canonical.date_text, "0000-01-01", None),
        (canonical.date_text, "12024-02-29", "12024-02-29"), (canonical.date_text, "02024-02-29", None),
        (canonical.date_text, "infinity", "infinity"), (canonical.date_text, 20240229, None),
        (canonical.date_text, "2024-02-29\n", None),
        (canonical.time_text, "07:05", "07:05:00"), (canonical.time_text, "07:05:00.250", "07:05:00.25"),
        (canonical.time_text, "24:00:00", "24:00:00"), (canonical.time_text, "24:00:01", None),
        (canonical.time_text, "23:59:60", None),
        (canonical.timestamp_text, "2026-01-01", "2026-01-01 00:00:00"),
        (canonical.timestamp_text, "2026-01-01T07:05:00.100", "2026-01-01 07:05:00.1"),
        (canonical.timestamp_text, "2026-01-01 07:05:00+00", None),
        (canonical.timestamp_text, "2026-01-01 24:00:00", None),
        (canonical.timestamptz_text, "2026-01-01 00:30:00+02", "2025-12-31 22:30:00+00"),
        (canonical.timestamptz_text, "2026-01-01T00:30:00Z", "2026-01-01 00:30:00+00"),
        (canonical.timestamptz_text, "2026-01-01 00:30:00.5-0530", "2026-01-01 06:00:00.5+00"),
        (canonical.timestamptz_text, "0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"),
        (canonical.timestamptz_text, "0044-03-15 00:00:00+01 BC", None),
        (canonical.timestamptz_text, "0001-01-01 00:00:00+01", None),
        (canonical.timestamptz_text, "2026-01-01 00:30:00", None),
        (canonical.uuid_text, "6F1C2B3A-0000-4000-8000-00000000000A", "6f1c2b3a-0000-4000-8000-00000000000a"),
        (canonical.uuid_text, "6f1c2b3a00004000800000000000000a", None),
    ],
)  # fmt: skip
def test_the_text_of_a_value(function: Callable[[object], str | None], value: object, text: str | None) -> None:
    assert function(value) == text


@pytest.mark.parametrize(
    ("value", "precision", "scale", "fits"),
    [
        ("1.25", None, None, True), ("1.25", 3, 2, True), ("1.25", 3, 1, False), ("12.5", 2, 1, False),
        ("0.05", 2, 2, True), ("1.00", 1, 0, True), ("NaN", 3, 2, True), ("Infinity", None, None, True),
        ("Infinity", 3, 2, False), (-99, 2, 0, True), (100, 2, 0, False), ("x", None, None, False),
    ],
)  # fmt: skip
def test_a_decimal_fits_or_not(value: object, precision: int | None, scale: int | None, *, fits: bool) -> None:
    assert canonical.decimal_fits(value, precision, scale) is fits


def test_a_fraction_of_a_second_fits_or_not() -> None:
    found = [canonical.fraction_fits(text, 3) for text in ("07:05:00", "07:05:00.123", "07:05:00.1234", None)]
    assert found == [True, True, False, False]


OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=9).map(str)
SPELLINGS = st.from_regex(r"[+-]?[0-9]{1,20}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
KINDS: list[tuple[str, Callable[[object], str | None], st.SearchStrategy[str]]] = [
    ("trim_scale(v::numeric)", canonical.decimal_text, NUMBERS),
    ("trim_scale(v::numeric)", canonical.decimal_text, SPELLINGS),
    ("v::date", canonical.date_text, st.dates().map(str)),
    ("v::time", canonical.time_text, st.times().map(str)),
    ("v::timestamp", canonical.timestamp_text, st.datetimes().map(str)),
    ("v::timestamp", canonical.timestamp_text, st.datetimes().map(lambda moment: moment.isoformat("T"))),
    (
        "v::timestamptz", canonical.timestamptz_text,
        st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS).map(str),  # noqa: DTZ001
    ),
    ("v::uuid", canonical.uuid_text, st.uuids().map(lambda uuid: str(uuid).upper())),
    (
        "encode(float8send(v::float8), 'hex')", lambda text: canonical.float_bits(float(str(text))),
        st.floats(allow_nan=False).map(repr),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "function", "values"), KINDS, ids=[f"{n} {kind[0]}" for n, kind in enumerate(KINDS)]
)
def test_postgresql_prints_the_same(
    postgres_url: str, expression: str, function: Callable[[object], str | None], values: st.SearchStrategy[str]
) -> None:
    server = psycopg.connect(Database(postgres_url).libpq, options="-c TimeZone=UTC")

    @given(st.lists(values, min_size=1, max_size=50))
    @settings(max_examples=15)
    def agree(texts: list[str]) -> None:
        query = f"SELECT ({expression})::text FROM unnest(%s::text[]) WITH ORDINALITY AS t(v, n) ORDER BY n"
        assert [function(text) for text in texts] == [found for (found,) in server.execute(query.encode(), (texts,))]

    agree()
    server.close()


def test_utc_is_utc() -> None:
    assert canonical.timestamptz_text(str(datetime(2026, 11, 22, tzinfo=UTC))) == "2026-11-22 00:00:00+00"
