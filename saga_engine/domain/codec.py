"""Events and commands as canonical JSON text, for the journal, and back.

Canonical: sorted keys, no white space, fields at their default left out, times as ISO 8601 in UTC. The journal's
hash chain is over this text, so what is written here is never written in another way.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Final, get_args

from pydantic import TypeAdapter

from saga_engine.domain.commands import Command
from saga_engine.domain.events import Event


def dump(what: Event | tuple[Command, ...]) -> str:
    """One event as a JSON object, or commands as a list of objects, each with its ``kind``."""
    return f"[{','.join(map(_text, what))}]" if isinstance(what, tuple) else _text(what)


def canonical(tree: Any) -> str:  # noqa: ANN401  any JSON value, any field
    """JSON with sorted keys and no white space."""
    return _ENCODER.encode(tree)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def load_event(text: str) -> Event:
    """The event of a journal line."""
    event: Event = _parsed(json.loads(text))
    return event


def load_commands(text: str) -> tuple[Command, ...]:
    """The commands of a journal line."""
    return tuple(_parsed(tree) for tree in json.loads(text))


def _text(value: Any) -> str:  # noqa: ANN401  any JSON value, any field
    """What ``canonical`` would write of *value*, without a tree of it first: this is on the way of every decision."""
    write = _PLAIN.get(type(value))
    if write is not None:
        return write(value)
    return _object(value) if is_dataclass(value) else canonical(value)


_PLAIN: Final[dict[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {False: "false", True: "true"}.__getitem__,
    datetime: lambda moment: f'"{moment.isoformat()}"',
    tuple: lambda values: f"[{','.join(map(_text, values))}]",
}


def _object(value: Any) -> str:  # noqa: ANN401  any dataclass of events, commands and snapshots
    cls: Any = type(value)
    get, places = _layout(cls)
    written = [
        key + _text(x) for x, (key, default) in zip(get(value), places, strict=True) if default is KIND or x != default
    ]
    return f"{{{','.join(written)}}}"


KIND: Final = object()
"""Stands for the default of a class's own name, which is always written."""


@cache
def _layout(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any], ...]]:
    """What gets the values of an object in the order in which they are written, and for each its key and default."""
    places = {f.name: (f'"{f.name}":', _default(f)) for f in fields(cls)}
    names = {name: name for name in places}
    if cls in _kinds().values():
        places["kind"], names["kind"] = ('"kind":', KIND), "__class__.__name__"
    order = sorted(places)
    get = attrgetter(*(names[name] for name in order))
    # With one name only, an attrgetter gives the value itself.
    return get if len(order) > 1 else lambda value: (get(value),), tuple(places[name] for name in order)


def _parsed(tree: dict[str, Any]) -> Any:  # noqa: ANN401  any JSON value, any field
    kind = tree.pop("kind")
    return _adapter(_kinds()[kind]).validate_python(tree)


def _default(of: Field[Any]) -> Any:  # noqa: ANN401  any JSON value, any field
    """A field's default; a fresh object, equal to nothing, where it has none."""
    return object() if of.default is MISSING else of.default


@cache
def _kinds() -> dict[str, type]:
    return {cls.__name__: cls for cls in (*get_args(Event), *get_args(Command))}


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
