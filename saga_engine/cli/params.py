"""Lengths of time and moments, as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

FOREVER: Final = timedelta.max
UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
LENGTH_DAYS_MAX: Final = 36_500


class Length(click.ParamType[timedelta]):
    """``90``, ``90s``, ``5m``, ``2h``, ``1d``, or ``forever``."""

    name = "length"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length, or a refusal that shows how one is written."""
        if isinstance(value, timedelta):
            return value
        found = length(str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90, 90s, 5m, 2h or 1d", param, ctx)
        return found


class Moment(click.ParamType[datetime]):
    """A date, a time of day in UTC, or a length of time ago."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, in UTC where no zone is written."""
        if isinstance(value, datetime):
            return value
        ago = length(str(value))
        if ago is not None and ago != FOREVER:
            return datetime.now(UTC) - ago
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no moment; write 2026-11-23, 2026-11-23T07:00 or, for ago, 2h", param, ctx)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def length(text: str) -> timedelta | None:
    """The length of time that *text* says; None where it says none."""
    if text == "forever":
        return FOREVER
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text, re.ASCII)
    if found is None or float(found[1]) * UNITS[found[2]] > LENGTH_DAYS_MAX * UNITS["d"]:
        return None
    return timedelta(seconds=float(found[1]) * UNITS[found[2]])
