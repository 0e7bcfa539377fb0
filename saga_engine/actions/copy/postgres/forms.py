"""How PostgreSQL writes values as text, for each form (``plan.Form``).

*read* is SQL for COPY, *canonical* for checksums; ``{c}`` is the quoted column. *plain* texts have neither comma
nor backslash. *native* says that PostgreSQL sorts the values as the other database does; where it does not, a key
is sorted by its canonical text on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from saga_engine.actions.copy.plan import Carried, Form
from saga_engine.actions.copy.postgres.types import TEXTS, UNCOLLATED, parse


@dataclass(frozen=True, slots=True)
class PostgresForm:
    """One form; see above."""

    canonical: str
    read: str = "{c}"
    plain: bool = True
    native: bool = True


_FORMS: Final[dict[Form, PostgresForm]] = {
    "same": PostgresForm("{c}::text", plain=False),
    "integer": PostgresForm("{c}::text"),
    "boolean": PostgresForm("{c}::int::text", read="{c}::int"),
    "float": PostgresForm("encode(float8send({c}::float8), 'hex')", read="{c}::float8"),
    "bytes": PostgresForm("encode({c}, 'hex')"),
    "decimal": PostgresForm("trim_scale({c}::numeric)::text", native=False),
    "date": PostgresForm("{c}::text", native=False),
    "time": PostgresForm("{c}::text", native=False),
    "timestamp": PostgresForm("{c}::text", native=False),
    "timestamptz": PostgresForm("{c}::text", native=False),
    "uuid": PostgresForm("{c}::text"),
}
_TEXT: Final = PostgresForm("{c}::text", plain=False)
_UUID_AS_TEXT: Final = PostgresForm("{c}::text", plain=False)
# Casts to text are not what COPY prints for every type: character(n) loses its blanks, inet gains /32. format() is.
_PRINTED: Final = PostgresForm("CASE WHEN {c} IS NOT NULL THEN format('%%s', {c}) END", plain=False, native=False)


def form_of(column: Carried) -> PostgresForm:
    """The form of one column; what travels as text may be of any type here."""
    if column.form != "text":
        return _FORMS[column.form]
    base = parse(column.type).base
    if base in TEXTS:
        return _TEXT
    return _UUID_AS_TEXT if base == "uuid" else _PRINTED


def is_collated(column: Carried) -> bool:
    """True where the column sorts by a collation that may differ from the order of bytes.

    It goes by the column's collation: domains, arrays of texts and citext sort by one. Plans of older releases call a
    new column of whatever type not binary, hence the types that never sort by any.
    """
    return not column.binary and parse(column.type).base not in UNCOLLATED
