"""Events and commands as JSON text that says all, and back: for other processes, and for people.

Canonical: sorted keys, no white space, fields at their default left out, times as RFC 3339 in UTC. The journal keeps
less (``line``).
"""

import json
from typing import Any, Final

from msgspec.json import Decoder, Encoder

from saga_engine.domain.commands import Command
from saga_engine.domain.events import Event


def dump(event: Event) -> str:
    """An event as a JSON object with its ``kind``."""
    return _TELLER.encode(event).decode()


def canonical(tree: Any) -> str:  # noqa: ANN401  any JSON value
    """JSON with sorted keys and no white space."""
    return _ENCODER.encode(tree)


def load_event(text: str) -> Event:
    """The event that such an object tells; ValueError where it tells none."""
    return _EVENT.decode(text)


def load_commands(text: str) -> tuple[Command, ...]:
    """The commands that a list of objects tells, each with its ``kind``; ValueError where it tells none."""
    return _COMMANDS.decode(text)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_TELLER: Final = Encoder(order="sorted")
_EVENT: Final[Decoder[Event]] = Decoder(Event)
_COMMANDS: Final[Decoder[tuple[Command, ...]]] = Decoder(tuple[Command, ...])
