"""Which column types go together, and in which form: one rule for each pair of databases.

A rule says how a column travels into an existing column, or what a new one becomes. It raises ``Lossy`` where
the value would not arrive exactly; values that do not fit their column are found by ``Dialect.look``. Another
database is added by its rules in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from saga_engine.actions.copy.catalog import Column
from saga_engine.actions.copy.plan import Carried, Form, Lane
from saga_engine.actions.copy.postgres import types
from saga_engine.actions.copy.sqlite.declared import AFFINITY_NONE, affinity, meaning


class Lossy(Exception):
    """The text says why a column cannot be carried."""


@dataclass(frozen=True, slots=True)
class Ends:
    """One column of the source and what is there for it in the target: *existing* is None for a new table.

    *classes* are the kinds of values that the column has, where its type says nothing; *strict*: see ``Table``.
    """

    column: Column
    existing: Column | None
    classes: set[str]
    strict: bool


Rule: TypeAlias = Callable[[Ends], tuple[Form, str]]
"""Returns the form, and the type of the target's column."""

_BY_CLASS: Final = {"integer": "bigint", "text": "text", "real": "double precision", "blob": "bytea"}
_FORM_INTO_POSTGRES: Final[dict[str, Form]] = {
    **dict.fromkeys(types.INTEGERS, "integer"), **dict.fromkeys(types.TEXTS, "text"),
    "numeric": "decimal", "double precision": "float", "bytea": "bytes", "boolean": "boolean", "date": "date",
    "time without time zone": "time", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "uuid": "uuid", "json": "text",
}  # fmt: skip
_INTO_SQLITE: Final[dict[str, tuple[Form, str]]] = {
    **dict.fromkeys(types.INTEGERS, ("integer", "INTEGER")), **dict.fromkeys(types.FLOATS, ("float", "REAL")),
    "numeric": ("text", "DECIMAL_TEXT"), "bytea": ("bytes", "BLOB"), "boolean": ("boolean", "BOOLEAN"),
    "date": ("text", "DATE"), "time without time zone": ("text", "TIME"),
    "timestamp without time zone": ("text", "TIMESTAMP"), "timestamp with time zone": ("text", "TIMESTAMPTZ"),
    "uuid": ("text", "UUID"), "json": ("text", "JSON_TEXT"), "jsonb": ("text", "JSONB_TEXT"),
}  # fmt: skip
"""DECIMAL_TEXT and the like have text affinity; without the word SQLite would make 1.50 the float 1.5."""
_NEVER_NUMBERS: Final = {"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "UUID"}
"""Their texts never look like a number, so that no affinity changes them."""
_AFFINITIES: Final[dict[Form, set[str]]] = {
    "integer": {"INTEGER", "NUMERIC", AFFINITY_NONE}, "boolean": {"INTEGER", "NUMERIC", AFFINITY_NONE},
    "float": {"REAL", AFFINITY_NONE}, "text": {"TEXT", AFFINITY_NONE},
    "bytes": {"TEXT", "NUMERIC", "INTEGER", "REAL", AFFINITY_NONE},
}  # fmt: skip


def lane(rule: Rule, ends: Ends, *, binary: bool) -> Lane:
    """Apply *rule*; *binary* says whether a new column would sort by bytes, if by any collation."""
    form, target_type = rule(ends)
    column, existing = ends.column, ends.existing
    of_one_kind = form in {"same", "stored"}  # then the type says nothing that the column does not
    collates = column.collates if of_one_kind else types.parse(target_type).base in types.TEXTS
    is_binary = existing.binary if existing else binary or not collates
    return Lane(
        source=Carried(name=column.name, type=column.type, form=form, binary=column.binary),
        target=Carried(name=column.name, type=target_type, form=form, binary=is_binary),
        nullable=existing.nullable if existing else column.nullable,
        strict=ends.strict,
    )


def sqlite_to_postgres(ends: Ends) -> tuple[Form, str]:
    """The declared type is the wish; every value must then fit it."""
    wanted = ends.existing.type if ends.existing else _wished(ends)
    form = _FORM_INTO_POSTGRES.get(types.parse(wanted).base)
    if form is None:
        raise Lossy(f"{ends.column.type or 'a column without a type'} cannot become {wanted} without changing values")
    return form, wanted


def postgres_to_sqlite(ends: Ends) -> tuple[Form, str]:
    """What SQLite has no type for becomes the text that PostgreSQL prints."""
    written = types.parse(ends.column.type)
    if written.base == "money":
        raise Lossy("the text of money depends on the server's locale: make it numeric first")
    form, wanted = _INTO_SQLITE.get(written.base, ("text", "TEXT"))
    if ends.existing is None:
        digits = f"({','.join(map(str, written.arguments))})" if written.base == "numeric" and written.arguments else ""
        return form, wanted + digits
    kind = affinity(ends.existing.type, strict=ends.strict)
    if kind not in _AFFINITIES[form] and not (wanted in _NEVER_NUMBERS and not ends.strict):
        raise Lossy(
            f"{ends.column.type} would be changed by a column declared {ends.existing.type or 'without a type'}: "
            f"declare it {wanted}"
        )
    return form, ends.existing.type


def sqlite_to_sqlite(ends: Ends) -> tuple[Form, str]:
    """Any value of any storage class arrives, where the column does not change what it is given."""
    if ends.existing is None:
        return "stored", ends.column.type
    there, here = affinity(ends.existing.type, strict=ends.strict), affinity(ends.column.type)
    if there not in (here, AFFINITY_NONE):
        raise Lossy(f"{ends.existing.type} ({there}) would change values of {ends.column.type or 'no type'} ({here})")
    return "stored", ends.existing.type


def postgres_to_postgres(ends: Ends) -> tuple[Form, str]:
    """The same type, or a wider one that holds every value."""
    if ends.existing is None or ends.existing.type == ends.column.type:
        return "same", ends.column.type
    here, there = types.parse(ends.column.type), types.parse(ends.existing.type)
    if here.base in types.INTEGERS and there.base in types.INTEGERS:
        if types.INTEGERS[here.base] <= types.INTEGERS[there.base]:
            return "integer", ends.existing.type
    elif here.base in (*types.INTEGERS, "numeric") and there.base == "numeric":
        return "decimal", ends.existing.type
    elif here.base in types.FLOATS and there.base == "double precision":
        return "float", ends.existing.type
    elif here.base in types.TEXTS and there.base in types.TEXTS:
        return "text", ends.existing.type
    raise Lossy(f"{ends.column.type} cannot become {ends.existing.type} without changing values")


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("sqlite", "postgresql"): sqlite_to_postgres,
    ("postgresql", "sqlite"): postgres_to_sqlite,
    ("sqlite", "sqlite"): sqlite_to_sqlite,
    ("postgresql", "postgresql"): postgres_to_postgres,
}


def _wished(ends: Ends) -> str:
    declared = meaning(ends.column.type)
    if declared is not None:
        return declared
    classes = ends.classes - {"integer"} if {"integer", "real"} == ends.classes else ends.classes
    if len(classes) > 1:
        kinds = ", ".join(sorted(classes))
        raise Lossy(f"values of several kinds ({kinds}): make the target table first, with the type that you want")
    return _BY_CLASS[classes.pop()] if classes else "text"
