"""The text that PostgreSQL prints for a value, computed from what SQLite has stored.

It serves checks and checksums only, never the copy itself, so that a mistake here shows as a difference. Each
function returns None for a value that is not of its kind. Source of the forms: the PostgreSQL manual, "Date/Time
Output" (ISO style, time zone UTC) and ``trim_scale``.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

DIGITS_MAX: Final = 1_000
"""Longer decimals are not compared but refused: 1e999999 would be a text of a million characters."""
EXACT_FLOAT: Final = 2**53
"""From here on not every integer is a float."""
LEAP_CYCLE: Final = 400
"""The Gregorian calendar repeats after so many years; Python knows the years 1 to 9999 only."""

END_OF_DAY: Final = "24:00:00"

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE: Final = r"(?P<year>\d{4}|[1-9]\d{4,5})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?"
_OFFSET: Final = r"(?P<offset>Z|[+-]\d\d(?::?\d\d)?)"
_BC: Final = r"(?P<bc> BC)?"
_ON: Final = re.compile(_DATE + _BC, re.ASCII)
_AT: Final = re.compile(_CLOCK, re.ASCII)
_ON_AT: Final = re.compile(rf"{_DATE}(?:[ T]{_CLOCK})?{_BC}", re.ASCII)
_ON_AT_OFFSET: Final = re.compile(rf"{_DATE}[ T]{_CLOCK}{_OFFSET}{_BC}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_ENDLESS: Final = {"infinity", "-infinity"}


def decimal_text(value: object) -> str | None:
    """Write a number in full: no exponent, no zeros that say nothing; a float by its shortest exact digits."""
    match value:
        case int():
            return str(value)
        case float() if value - value == 0:  # neither infinite nor not a number
            return _plain(repr(value))
        case "NaN" | "Infinity" | "-Infinity":
            return str(value)
        case str() if _NUMBER.fullmatch(value):
            return _plain(value)
        case _:
            return None


def float_bits(value: object) -> str | None:
    """The eight bytes of a float, so that -0 and 0 differ; no rounding hides a difference, not even of an integer."""
    if isinstance(value, int) and abs(value) > EXACT_FLOAT:
        return None
    return struct.pack(">d", value).hex() if isinstance(value, float | int) else None


def date_text(value: object) -> str | None:
    """``2026-11-22``; also ``infinity`` and ``0044-03-15 BC``."""
    return _moment(value, _ON)


def time_text(value: object) -> str | None:
    """``07:05:00.25``; also ``24:00:00``, the end of a day."""
    match = _AT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    clock = _clock(match)
    return clock if _is_clock(match) or clock == END_OF_DAY else None


def timestamp_text(value: object) -> str | None:
    """``2026-11-22 07:05:00``: a T between, missing seconds and a missing clock (midnight) are the same moment."""
    return _moment(value, _ON_AT)


def timestamptz_text(value: object) -> str | None:
    """``2026-11-22 07:05:00+00``: the moment in UTC, which is all that PostgreSQL keeps of an offset."""
    match = _ON_AT_OFFSET.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["offset"] == "+00":
        return _moment(value, _ON_AT_OFFSET)
    if match["bc"] or len(match["year"]) > 4 or not _is_date(match) or not _is_clock(match):  # noqa: PLR2004  a year
        return None
    try:
        moment = datetime.fromisoformat(f"{match[0].replace('Z', '+00:00')}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    return f"{moment.year:04}-{moment:%m-%d %H:%M:%S}{fraction}+00"


def uuid_text(value: object) -> str | None:
    """Lower case, with hyphens."""
    return value.lower() if isinstance(value, str) and _UUID.fullmatch(value) else None


def decimal_fits(value: object, precision: int | None, scale: int | None) -> bool:
    """True if ``numeric(precision, scale)`` holds the number without rounding; None: no limit."""
    text = decimal_text(value)
    if text is None or precision is None or scale is None or text == "NaN":
        return text is not None
    whole, _, fraction = text.lstrip("-").partition(".")
    return whole != "Infinity" and len(fraction) <= scale and len(whole.lstrip("0")) <= precision - scale


def fraction_fits(canonical: str | None, digits: int) -> bool:
    """True if the seconds of a canonical time have at most *digits* digits after the point."""
    return canonical is not None and len((re.findall(r"\.(\d+)", canonical) or [""])[0]) <= digits


def _plain(number: str) -> str | None:
    text = format(Decimal(number), "f")
    if len(text) > DIGITS_MAX:
        return None
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _moment(value: object, pattern: re.Pattern[str]) -> str | None:
    if not isinstance(value, str):
        return None
    if value in _ENDLESS:
        return value
    match = pattern.fullmatch(value)
    if match is None or not _is_date(match):
        return None
    date = f"{match['year']}-{match['month']}-{match['day']}"
    bc = match["bc"] or ""
    if pattern is _ON:
        return date + bc
    if match["hour"] is not None and not _is_clock(match):
        return None
    offset = "+00" if pattern is _ON_AT_OFFSET else ""
    return f"{date} {_clock(match)}{offset}{bc}"


def _is_date(match: re.Match[str]) -> bool:
    year = int(match["year"])
    proleptic = 1 - year if match["bc"] else year  # there is no year 0: 1 BC is followed by 1 AD
    try:
        datetime(proleptic % LEAP_CYCLE + LEAP_CYCLE, int(match["month"]), int(match["day"]), tzinfo=UTC)
    except ValueError:
        return False
    return year > 0


def _is_clock(match: re.Match[str]) -> bool:
    return int(match["hour"]) < 24 and int(match["minute"]) < 60 and int(match["second"] or 0) < 60  # noqa: PLR2004  hours, minutes, seconds


def _clock(match: re.Match[str]) -> str:
    fraction = (match["fraction"] or "").rstrip("0")
    clock = f"{match['hour'] or '00'}:{match['minute'] or '00'}:{match['second'] or '00'}"
    return f"{clock}.{fraction}" if fraction else clock
