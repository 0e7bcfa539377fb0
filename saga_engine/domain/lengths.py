"""How times are told to people: the two largest units, and moments in UTC."""

from datetime import datetime, timedelta

UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def compact(length: timedelta) -> str:
    """``1h58m``, ``14m03s``, ``3s``: for a line with little room."""
    (count, unit), *rest = _parts(length)
    return f"{count}{unit}" + "".join(f"{below:02}{smaller}" for below, smaller in rest)


def spaced(length: timedelta) -> str:
    """``1 h 58 m``, ``14 m 3 s``, ``3 s``: for a sentence."""
    return " ".join(f"{count} {unit}" for count, unit in _parts(length))


def clock(moment: datetime, now: datetime) -> str:
    """``07:22:41 UTC``, with the date where that is not the day of *now*."""
    day = "" if moment.date() == now.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M:%S} UTC"


def _parts(length: timedelta) -> list[tuple[int, str]]:
    """The largest unit that is not 0 and the one below it; a length below zero is told as 0."""
    left = max(0, round(length.total_seconds()))
    counts: list[tuple[int, str]] = []
    for unit, seconds in UNITS:
        count, left = divmod(left, seconds)
        counts.append((count, unit))
    first = next((at for at, (count, _) in enumerate(counts) if count), len(counts) - 1)
    return [counts[first], *(part for part in counts[first + 1 : first + 2] if part[0])]
