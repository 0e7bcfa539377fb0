"""A result on its way into the ledger and out of it: JSON within a limit, that is known to read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from saga_engine.domain.finite import refuse_lost
from saga_engine.errors import PayloadTooLarge, ResultNotStorable

N = TypeVar("N")


def write(value: object, limit: int, what: str) -> str:
    """Return *value*, a pydantic model or None, as JSON of at most *limit* bytes in UTF-8."""
    if value is not None and not isinstance(value, BaseModel):
        raise ResultNotStorable(what=what, reason=f"it is a {type(value).__name__}")
    try:
        json = "null" if value is None else value.model_dump_json(by_alias=True, round_trip=True, warnings=False)
        if value is not None:
            refuse_lost(value, json)
    except ValueError as error:
        raise ResultNotStorable(what=what, reason=str(error)) from error
    size = len(json.encode())
    if size > limit:
        raise PayloadTooLarge(what=f"the result of {what}", size=size, limit=limit)
    return json


def read(json: str, parse: Callable[[str], N], what: str) -> N:
    """Return what *parse* makes of *json*. Errors name the fields, never their values."""
    try:
        return parse(json)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        reason = ", ".join(f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['type']}" for fault in faults)
        raise ResultNotStorable(what=what, reason=f"it does not read back ({reason})") from None
