"""How SQLite's values become text and text becomes SQLite's values, for each form (``plan.Form``).

*encode* and *decode* serve the copy. *canonical* is SQL that computes the text for checksums inside SQLite. A value
that is not of its column's kind, which SQLite takes at any time, has a text of its own there, such as ``?text 736F``:
it must be equal neither to NULL nor to a value that it looks like.
*plain* texts need no escaping. *native* says that SQLite sorts the values as the other database does; where it
does not, a key is sorted by its canonical text on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from saga_engine.actions.copy.plan import Form


@dataclass(frozen=True, slots=True)
class SqliteForm:
    """One form; see above. ``{c}`` in *canonical* is the quoted column."""

    encode: Callable[[Any], str]
    decode: Callable[[str], object]
    canonical: str
    plain: bool = False
    native: bool = True


def _as_is(text: str) -> str:
    return text


def _number(value: float) -> str:
    return repr(value)


def _float(value: float) -> str:
    return repr(float(value))


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _decimal(value: float | str) -> str:
    return value if isinstance(value, str) else repr(value)


def _tagged(value: int | float | str | bytes) -> str:  # noqa: PYI041  SQLite's storage classes, one by one
    match value:
        case int():
            return f"i{value}"
        case str():
            return f"t{value}"
        case float():
            return f"r{value!r}"
        case _:
            return f"b{value.hex()}"


def _untagged(text: str) -> object:
    value = text[1:]
    match text[0]:
        case "i":
            return int(value)
        case "t":
            return value
        case "r":
            return float(value)
        case _:
            return bytes.fromhex(value)


_STORED: Final = (
    "CASE typeof({c}) WHEN 'integer' THEN 'i' || {c} WHEN 'text' THEN 't' || {c}"
    " WHEN 'real' THEN 'r' || saga_float({c}) WHEN 'blob' THEN 'b' || lower(hex({c})) END"
)
_UNFIT: Final = "CASE WHEN {c} IS NOT NULL THEN '?' || typeof({c}) || ' ' || hex({c}) END"


def _only(storage_class: str, canonical: str) -> str:
    return f"CASE typeof({{c}}) WHEN '{storage_class}' THEN {canonical} ELSE {_UNFIT} END"


def _if_fit(function: str) -> str:
    """The function returns NULL for a value that is not of its kind."""
    return f"coalesce({function}({{c}}), {_UNFIT})"


FORMS: Final[dict[Form, SqliteForm]] = {
    "stored": SqliteForm(_tagged, _untagged, _STORED),
    "integer": SqliteForm(_number, int, _only("integer", "CAST({c} AS TEXT)"), plain=True),
    "boolean": SqliteForm(_number, int, _only("integer", "CAST({c} AS TEXT)"), plain=True),
    "float": SqliteForm(_float, float, _if_fit("saga_float"), plain=True),
    "text": SqliteForm(_as_is, _as_is, _only("text", "{c}")),
    "bytes": SqliteForm(_hex, _unhex, _only("blob", "lower(hex({c}))")),
    "decimal": SqliteForm(_decimal, _as_is, _if_fit("saga_decimal"), native=False),
    "date": SqliteForm(_as_is, _as_is, _if_fit("saga_date"), native=False),
    "time": SqliteForm(_as_is, _as_is, _if_fit("saga_time"), native=False),
    "timestamp": SqliteForm(_as_is, _as_is, _if_fit("saga_timestamp"), native=False),
    "timestamptz": SqliteForm(_as_is, _as_is, _if_fit("saga_timestamptz"), native=False),
    "uuid": SqliteForm(_as_is, _as_is, _if_fit("saga_uuid"), native=False),
}
