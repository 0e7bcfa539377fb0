"""Data on standard output: a picture for people, or JSON, JSON lines and CSV for programs (CLI, "Contract")."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from rich.console import RenderableType

from saga_engine.cli import people
from saga_engine.cli.options import Options
from saga_engine.cli.people import Column

SCHEMA: Final = "saga/v1"

UNSEEN: Final = re.compile(r"[^\x20-\x7e\n]")
"""What may be no character to be seen."""

V = TypeVar("V", bound=BaseModel)


def item(options: Options, kind: str, value: BaseModel, picture: Callable[[], RenderableType]) -> None:
    """Print one thing; *picture* is asked for where people read."""
    match options.format:
        case "json":
            _json({"schema": SCHEMA, "kind": kind, "item": plain(value)})
        case "jsonl":
            line(value)
        case "csv":
            _csv(type(value), [value])
        case _:
            people.show(options, picture())


def items(
    options: Options,
    kind: str,
    model: type[V],
    values: Sequence[V],
    columns: Sequence[Column[V]],
    *,
    next_page: str | None = None,
    empty: str = "",
) -> None:
    """Print a list; *empty* is said, beside the data, where people read an empty one."""
    if not for_people(options):
        records(options, kind, model, values, next_page)
    elif values:
        people.show(options, people.table(columns, values, wide=options.format == "wide"))
    elif empty and not options.quiet:
        people.show(options, people.cell(empty), sys.stderr)


def for_people(options: Options) -> bool:
    """Whether people read what is printed; else a program does."""
    return options.format in ("table", "wide")


def streams(options: Options) -> bool:
    """Whether a list is printed line by line, and may be of any length."""
    return options.format in ("jsonl", "csv")


def records(
    options: Options, kind: str, model: type[BaseModel], values: Sequence[BaseModel], next_page: str | None = None
) -> None:
    """Print a list for a program."""
    match options.format:
        case "json":
            _json({"schema": SCHEMA, "kind": kind, "items": [plain(value) for value in values], "next": next_page})
        case "jsonl":
            for value in values:
                line(value)
        case _:
            _csv(model, values)


def stream(options: Options, model: type[BaseModel], pages: Iterable[Sequence[BaseModel]]) -> None:
    """Print a list of any length as JSON lines or CSV, page after page."""
    if options.format == "csv":
        _csv(model, ())
    for values in pages:
        for value in values:
            line(value) if options.format == "jsonl" else _row(value)


def line(value: BaseModel) -> None:
    """One thing as one line of JSON, out at once: somebody may be reading along."""
    sys.stdout.write(f"{_text(plain(value))}\n")
    sys.stdout.flush()


def plain(value: BaseModel) -> dict[str, Any]:
    """The value as JSON: snake_case, times in UTC."""
    return value.model_dump(mode="json")


def _json(tree: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{_text(tree, indent=2)}\n")


def _text(tree: Any, indent: int | None = None) -> str:  # noqa: ANN401  any JSON
    """JSON; where standard output cannot carry every character, in ASCII, which is JSON too.

    What is no printable character is escaped in any case: a person may read it at a terminal.
    """
    text = json.dumps(tree, indent=indent, ensure_ascii=not people.unicode())
    return UNSEEN.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def _csv(model: type[BaseModel], values: Sequence[BaseModel]) -> None:
    """The fields of the JSON as columns; what is no plain value as JSON in its cell."""
    _write_row(model.model_fields)
    for value in values:
        _row(value)


def _row(value: BaseModel) -> None:
    _write_row(_cell(found) for found in plain(value).values())


def _write_row(cells: Iterable[str]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)


def _cell(value: Any) -> str:  # noqa: ANN401  any JSON
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
