"""Events and commands as canonical JSON text, for the journal, and back.

Canonical: sorted keys, no white space, fields at their default left out, times as RFC 3339 in UTC. The journal's
hash chain is over this text, so what is written here is never written in another way.
"""

import json
from typing import Any, Final

from msgspec.json import Decoder, Encoder

from saga_engine.domain.commands import Command
from saga_engine.domain.events import Event


def dump(what: Event | tuple[Command, ...]) -> str:
    """One event as a JSON object, or commands as a list of objects, each with its ``kind``."""
    return _TELLER.encode(what).decode()


def canonical(tree: Any) -> str:  # noqa: ANN401  any JSON value
    """JSON with sorted keys and no white space."""
    return _ENCODER.encode(tree)


def load_event(text: str) -> Event:
    """The event of a journal line; ValueError where it is none."""
    return _EVENT.decode(text)


def load_commands(text: str) -> tuple[Command, ...]:
    """The commands of a journal line; ValueError where it holds none."""
    return _COMMANDS.decode(text)


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_TELLER: Final = Encoder(order="sorted")
_EVENT: Final[Decoder[Event]] = Decoder(Event)
_COMMANDS: Final[Decoder[tuple[Command, ...]]] = Decoder(tuple[Command, ...])
