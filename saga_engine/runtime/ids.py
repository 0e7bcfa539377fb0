"""How runs are named: a UUIDv7 in hexadecimal, and the short form that people type."""

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford base32: no i, l, o and u, which are mistaken for others."""
TAG_LENGTH = 26
SUFFIX_LEAST = 5
_ALIASES = str.maketrans({"i": "1", "l": "1", "o": "0"})


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562) as 32 hexadecimal digits: sorted by the time of its making, in milliseconds."""
    milliseconds = time.time_ns() // 1_000_000
    value = (
        (milliseconds & (1 << 48) - 1) << 80
        | 0x7 << 76
        | secrets.randbits(12) << 64
        | 0b10 << 62
        | secrets.randbits(62)
    )
    return f"{value:032x}"


def is_run_id(text: str) -> bool:
    """Whether *text* is written as run ids are."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def tag_of(run_id: str) -> str:
    """The id in Crockford base32, last digit first: what a person types as a suffix is a prefix of it."""
    value, digits = int(run_id, 16), []
    for _ in range(TAG_LENGTH):
        value, digit = divmod(value, 32)
        digits.append(ALPHABET[digit])
    return "".join(digits)


def typed(suffix: str) -> str:
    """The suffix that a person typed, as a prefix of tags."""
    return suffix.lower().translate(_ALIASES)[::-1]


def short(saga: str, tag: str, neighbours: tuple[str, ...] = ()) -> str:
    """``<saga>-<suffix>``: at least five digits, more where a neighbour in the order of tags shares them."""
    shared = max((_common(tag, other) for other in neighbours), default=0)
    return f"{saga}-{tag[: max(SUFFIX_LEAST, shared + 1)][::-1]}"


def _common(one: str, other: str) -> int:
    """How many leading characters two tags share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def run_id_of(task: str) -> str:
    """The run of a task: its name begins with it."""
    return task.partition(".")[0]
