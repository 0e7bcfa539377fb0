"""Keys for people: the canonical texts, which are made for comparing, in a form that one would type."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from saga_engine.actions.copy.plan import Form

_TAGGED = {"i": "integer", "t": "text", "r": "float", "b": "bytes"}


def readable(forms: Sequence[Form], canonical: Sequence[str | None]) -> tuple[str, ...]:
    """Return the key as text, one item for each column."""
    return tuple(_readable(form, text) for form, text in zip(forms, canonical, strict=True))


def _readable(form: str, text: str | None) -> str:
    """A key without a value, or with one that is not of its kind (``?text 736F``), is named as it is."""
    if text is None or text.startswith("?"):
        return text or "NULL"
    match form:
        case "stored":
            return _readable(_TAGGED[text[0]], text[1:])
        case "float":
            return repr(struct.unpack(">d", bytes.fromhex(text))[0])
        case "bytes":
            return f"\\x{text}"
        case _:
            return text
