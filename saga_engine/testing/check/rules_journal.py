"""The journal itself: whole, chained, and the only reason for what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saga_engine.domain import commands as c
from saga_engine.domain.snapshot import Snapshot
from saga_engine.store.evidence import Evidence
from saga_engine.store.journal import broken_at
from saga_engine.testing.check.history import History, first, unleased

SHOWN_MAX: Final = 300
"""Characters of a value that evidence shows."""


def whole(evidence: Evidence) -> Iterator[str]:
    """No line is missing, doubled, changed or out of order, and the run's row knows the last one."""
    broken = broken_at(evidence.run.run_id, iter(evidence.lines), evidence.run.revision, evidence.hash)
    if broken is not None:
        yield f"line {broken} of {evidence.run.revision} cannot be true"
    if not evidence.lines:
        yield "it has no history at all"


def explains(history: History) -> Iterator[str]:
    """Replayed from the first line on, the journal gives the run as it is stored."""
    told = history.turns[-1].after if history.turns else first(history.evidence.run)
    told, stored = unleased(told), unleased(history.evidence.run)
    for name in Snapshot.__struct_fields__:
        wanted, found = getattr(told, name), getattr(stored, name)
        if wanted != found:
            yield f"{name} is stored as {_shown(found)}, the journal says {_shown(wanted)}"


def names(history: History) -> Iterator[str]:
    """A task's name tells the line that made it, and is never used again."""
    seen: set[str] = set()
    for turn, command, run in history.steps():
        if isinstance(command, c.AddTask):
            name = command.task.name
            if name in seen or name.partition(".")[0] != run.run_id or name.split(".")[1] != str(turn.number):
                yield f"line {turn.number} calls a task {name}"
            seen.add(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
