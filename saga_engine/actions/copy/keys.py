"""Keys for people: the canonical texts, which are made for comparing, in a form that one would type."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from saga_engine.actions.copy.plan import Bound, Form

_TAGGED = {"i": "integer", "t": "text", "r": "float", "b": "bytes"}


def readable(forms: Sequence[Form], canonical: Bound) -> tuple[str, ...]:
    """Return the key as text, one item for each column."""
    return tuple(_readable(form, text) for form, text in zip(forms, canonical, strict=True))


def _readable(form: str, text: str) -> str:
    match form:
        case "stored":
            return _readable(_TAGGED[text[0]], text[1:])
        case "float":
            return repr(struct.unpack(">d", bytes.fromhex(text))[0])
        case "bytes":
            return f"\\x{text}"
        case _:
            return text
