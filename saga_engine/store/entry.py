"""What T2 is handed: an event of a run with what was decided; and how a journal line is chained to the one before."""

import hashlib
from datetime import datetime
from typing import TypeAlias

from saga_engine.domain.draft import Decision
from saga_engine.domain.events import Event
from saga_engine.domain.frozen import Value
from saga_engine.domain.snapshot import Snapshot


def beginning(run_id: str) -> bytes:
    """What the first journal line of a run is chained to: no other run can have its history."""
    return run_id.encode()


class Pinned(Value):
    """What a run's rows repeat: the row of its definition, its queue, and the host of its files, if it has any."""

    definition: int
    queue: str
    host: str | None = None


class Head(Value):
    """What T2 knows of a stored run, beside its snapshot: its number, and the hash of its last journal line."""

    number: int
    revision: int
    journal_hash: bytes
    pinned: Pinned


Heads: TypeAlias = dict[str, Head]
"""By run."""


class NewRun(Value):
    """What only the start of a run writes."""

    tag: str
    run_key: str | None
    pinned: Pinned


class Entry(Value):
    """One event, decided on *before*, with what was decided. *new*: this is the start of a run."""

    before: Snapshot
    event: Event
    decision: Decision
    new: NewRun | None = None

    @property
    def run_id(self) -> str:
        """The run that it happened to."""
        return self.before.run_id


def line_hash(previous: bytes, revision: int, at: datetime, event: str, commands: str) -> bytes:
    """The hash of a journal line: over the line before it and every byte of its own."""
    return bytes_hash(previous, revision, at, event.encode(), commands.encode())


def bytes_hash(previous: bytes, revision: int, at: datetime, event: bytes, commands: bytes) -> bytes:
    """The same over what a database holds, which may be no text any more."""
    text = b"\n".join((str(revision).encode(), at.isoformat().encode(), event, commands))
    return hashlib.sha256(previous + text).digest()
