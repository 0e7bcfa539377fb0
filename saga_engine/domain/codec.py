"""Events and commands as canonical JSON text, for the journal, and back.

Canonical: sorted keys, no white space, fields at their default left out, times as ISO 8601 in UTC. The journal's
hash chain is over this text, so what is written here is never written in another way.
"""

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from saga_engine.domain.commands import Command
from saga_engine.domain.events import Event


def dump(what: Event | tuple[Command, ...]) -> str:
    """One event as a JSON object, or commands as a list of objects, each with its ``kind``."""
    tree = [_tree(command) for command in what] if isinstance(what, tuple) else _tree(what)
    return canonical(tree)


def canonical(tree: Any) -> str:  # noqa: ANN401  any JSON value, any field
    """JSON with sorted keys and no white space."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def load_event(text: str) -> Event:
    """The event of a journal line."""
    event: Event = _parsed(json.loads(text))
    return event


def load_commands(text: str) -> tuple[Command, ...]:
    """The commands of a journal line."""
    return tuple(_parsed(tree) for tree in json.loads(text))


def _tree(value: Any) -> Any:  # noqa: ANN401  any JSON value, any field
    if is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        tree = {name: _tree(x) for name, default in _fields(cls) if (x := getattr(value, name)) != default}
        return {**tree, "kind": cls.__name__} if cls in _kinds().values() else tree
    if isinstance(value, tuple):
        return [_tree(x) for x in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _parsed(tree: dict[str, Any]) -> Any:  # noqa: ANN401  any JSON value, any field
    kind = tree.pop("kind")
    return _adapter(_kinds()[kind]).validate_python(tree)


@cache
def _fields(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, _default(f)) for f in fields(cls))


def _default(of: Field[Any]) -> Any:  # noqa: ANN401  any JSON value, any field
    """A field's default; a fresh object, equal to nothing, where it has none."""
    return object() if of.default is MISSING else of.default


@cache
def _kinds() -> dict[str, type]:
    return {cls.__name__: cls for cls in (*get_args(Event), *get_args(Command))}


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)
