"""JSON and inputs of runs, as people type them: ``k=v``, ``@FILE``, ``-``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from saga_engine.errors import BadInput

INPUT_CHARS_MAX: Final = 16 * 1024 * 1024
"""Much more than any limit of the settings: those say how much a run may have."""


def one_json(text: str, flag: str) -> dict[str, Any]:
    """The JSON object that is written out, stands in ``@FILE``, or comes on standard input (``-``)."""
    try:
        found = json.loads(_content(text, flag))
    except RecursionError:
        raise BadInput(f"{flag}: this JSON is nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"{flag}: this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput(f'{flag}: this is no JSON object; write {{"name": value}}')
    return found


def _content(text: str, flag: str) -> str:
    if text == "-":
        return sys.stdin.read(INPUT_CHARS_MAX)
    if not text.startswith("@"):
        return text
    try:
        with Path(text[1:]).open(encoding="utf-8") as file:
            return file.read(INPUT_CHARS_MAX)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadInput(f"{flag}: {text[1:]} cannot be read: {reason}") from None


def input_of(given: Sequence[str], model: type[BaseModel], flag: str = "--input") -> dict[str, Any]:
    """The input of a run, or a payload, from what was typed: ``k=v``, ``@FILE``, ``-``; what comes later wins.

    A value is read as the field's type: text where it takes text, else JSON. What is wrong with it, and unknown names,
    the engine says, which judges the whole.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if text == "-" or text.startswith(("@", "{")):
            found |= one_json(text, flag)
        elif equals and name:
            found[name] = _value(model, name, value)
        else:
            raise BadInput(f"{flag} {text}: write name=value, @FILE with a JSON object, or - for standard input")
    return found


def _value(model: type[BaseModel], name: str, text: str) -> Any:  # noqa: ANN401  what the field takes
    """Text that the field takes as it is stays text; a list, a model, null are read as JSON."""
    field = model.model_fields.get(name)
    if field is None or _takes(field.annotation, text):
        return text
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return read if _takes(field.annotation, read) else text


def _takes(annotation: Any, value: object) -> bool:  # noqa: ANN401  any annotation
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True
