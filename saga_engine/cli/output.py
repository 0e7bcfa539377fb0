"""Data on standard output: a picture for people, or JSON, JSON lines and CSV for programs (CLI, "Contract")."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from rich.console import RenderableType

from saga_engine.cli import people
from saga_engine.cli.options import Options
from saga_engine.cli.people import Column

SCHEMA: Final = "saga/v1"

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
    """JSON; where standard output cannot carry every character, in ASCII, which is JSON too."""
    return json.dumps(tree, indent=indent, ensure_ascii=not people.unicode())


def _csv(model: type[BaseModel], values: Sequence[BaseModel]) -> None:
    """The fields of the JSON as columns; what is no plain value as JSON in its cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(model.model_fields)
    for value in values:
        writer.writerow(_cell(found) for found in plain(value).values())
    sys.stdout.write(out.getvalue())


def _cell(value: Any) -> str:  # noqa: ANN401  any JSON
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
