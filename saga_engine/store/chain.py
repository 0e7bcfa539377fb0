"""One run's history, checked line by line: the chain of hashes, its row, and what an anchor remembers of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from saga_engine.domain.replay import Replay, differences
from saga_engine.store.entry import beginning
from saga_engine.store.histories import Head, Stored
from saga_engine.store.rows import rests_in

What: TypeAlias = Literal["line", "row", "anchor", "removed", "stray", "pruned", "store"]
"""line: of the journal · row: of the run, against its journal · anchor: against an anchor · removed: a whole run ·
stray: lines without a run · pruned: a row of saga_pruned · store: its own name."""

TIMES: Final = ("created_at", "entered_at", "updated_at", "ended_at")
BESIDE: Final = ("rests_in", "paused_by", "paused_reason")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be what this program has written."""

    run_id: str
    revision: int | None
    what: What
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What an anchor remembers of a run: how long its journal was, the hash of its last line, what its start fixed."""

    run_id: str
    length: int
    hash: bytes
    fixed: str
    anchor: str
    """The anchor's name, for people."""


class _Rest:
    """What is left of a history whose first lines are gone."""

    def __init__(self) -> None:
        self._last: Stored | None = None
        self._whole = True

    def take(self, line: Stored) -> None:
        last = self._last
        if last is None:
            self._whole = line.revision != 1
        elif self._whole:
            self._whole = line.revision == last.revision + 1 and line.follows(last.hash)
        self._last = line

    def ends_in(self, head: Head) -> bool:
        last = self._last
        return self._whole and (last is None or (last.revision, last.hash) == (head.revision, head.hash))


class Chain:
    """The history of one run. Hand it every stored line in order, then ask what is wrong."""

    def __init__(self, head: Head, marks: Sequence[Mark] = ()) -> None:
        self._head = head
        self._marks = marks
        self._replay = Replay(head.stored) if head.stored else None
        self._faults: list[Fault] = []
        self._previous = beginning(head.run_id)
        self.length = 0
        """Lines found good so far."""
        self._broken = False
        self._rest = _Rest()

    def take(self, line: Stored) -> None:
        """Look at the next line. What comes behind the first that is wrong is not looked at."""
        if self._is_news(line):
            return
        self._rest.take(line)
        if self._broken:
            return
        expected = self.length + 1
        wrong = self._wrong(line, expected)
        if wrong:
            self._broken = True
            self._fault(expected, "line", wrong)
            return
        self.length, self._previous = expected, line.hash
        for mark in self._marks:
            if mark.length == expected and mark.hash != line.hash:
                text = f"line {expected} has another hash than in {mark.anchor}: history was written anew"
                self._fault(expected, "anchor", text)
        self._follow(line)

    def end(self) -> list[Fault]:
        """Everything that is wrong with the run, its last line having been taken."""
        if not self._broken:
            self._ended()
        for mark in self._marks:
            if mark.length > self.length and not self._broken:
                text = f"{mark.anchor} knows {mark.length} lines, and there are {self.length}: the end was cut off"
                self._fault(self.length + 1, "anchor", text)
            if self._head.stored is not None and mark.fixed != self._head.fixed:
                text = f"saga, version, run key, input, starter or start is not what {mark.anchor} knows"
                self._fault(None, "anchor", text)
        return self._faults

    def is_being_pruned(self) -> bool:
        """Whether the run has ended, and nothing is wrong but that the first of its lines are gone."""
        head = self._head
        ended = head.times[-1] is not None and not (head.stored and head.stored.tasks)
        return ended and self._rest.ends_in(head)

    def _is_news(self, line: Stored) -> bool:
        """Recorded after the run's row was read."""
        newest = self._head.newest
        return isinstance(newest, int) and isinstance(line.revision, int) and line.revision > newest

    def _wrong(self, line: Stored, expected: int) -> str:
        if line.revision != expected:
            later = isinstance(line.revision, int) and line.revision > expected
            return f"line {expected} is missing" if later else f"a line numbered {line.revision!r} is in its place"
        if not isinstance(self._head.revision, int) or expected > self._head.revision:
            return f"it is one too many: the run's row says {self._head.revision!r} lines"
        if not line.follows(self._previous):
            return "it was changed, or the line before it is another: its hash is not that of its content"
        return ""

    def _follow(self, line: Stored) -> None:
        """Replay the line, until one cannot be."""
        if self._replay is None:
            return
        assert line.at is not None, "a line whose hash is right has a time"
        event, commands = line.event.decode(errors="replace"), line.commands.decode(errors="replace")
        wrong = self._replay.line(line.at, event, commands)
        if wrong:
            self._fault(self.length, "line", wrong)
            self._replay = None

    def _ended(self) -> None:
        head = self._head
        if self.length != head.revision:
            text = f"line {self.length + 1} is missing: the run's row says {head.revision!r} lines"
            self._fault(self.length + 1, "line", text)
        elif self._previous != head.hash:
            self._fault(self.length, "line", "the run's row has another hash than the last line of its journal")
        elif head.stored is None:
            self._fault(None, "row", "a value of its row, or of its tasks, results or events, is none of its column's")
        else:
            for text in self._differences():
                self._fault(self.length, "row", text)

    def _differences(self) -> Iterator[str]:
        """Where the run's rows are not what its journal says."""
        if self._replay is None or self._head.stored is None:
            return
        told = self._replay
        yield from differences(told.run, self._head.stored)
        times = (told.started_at, told.entered_at, told.updated_at, told.ended_at)
        by_journal = (*times, rests_in(told.run), *told.paused)
        stored = (*self._head.times, *self._head.beside)
        for name, ours, theirs in zip((*TIMES, *BESIDE), by_journal, stored, strict=True):
            if ours != theirs:
                yield f"{name} is {theirs}, and {ours} by the journal"

    def _fault(self, revision: int | None, what: What, text: str) -> None:
        self._faults.append(Fault(self._head.run_id, revision, what, text))
