"""What the rows at the end no longer tell: who held a task at the moment when a report of it was recorded.

It reads beside the engine, with statements of its own: between the transactions of one thread nothing can move.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from saga_engine.domain.events import Report
from saga_engine.domain.line import event_of

OPEN: Final = "SELECT name, attempt, leased_by FROM saga_tasks"
NEW: Final = """
SELECT r.id, j.revision, j.event FROM saga_journal j JOIN saga_runs r ON r.number = j.run
WHERE j.revision > ? ORDER BY j.revision"""


class Audit:
    """Watches every transaction that writes."""

    def __init__(self) -> None:
        self.held_twice: list[str] = []
        self.unfenced: list[str] = []
        self._seen = 0

    @contextmanager
    def __call__(self, db: sqlite3.Connection) -> Iterator[None]:
        """Around a transaction: a report that it records is of who held the task before it."""
        held = {name: (attempt, leased_by) for name, attempt, leased_by in db.execute(OPEN)}
        try:
            yield
        finally:
            if not db.in_transaction:
                self._recorded(held, db.execute(NEW, (self._seen,)).fetchall())

    def _recorded(self, held: dict[str, tuple[int, str]], lines: list[tuple[str, int, str]]) -> None:
        for run, revision, text in lines:
            self._seen = revision
            event = event_of(run, text)
            if not isinstance(event, Report):
                continue
            who = (event.attempt, event.incarnation)
            holder = held.get(event.task)
            if holder != who:
                self.unfenced.append(f"line {revision}: {type(event)} of {event.task} by {who}, held by {holder}")
