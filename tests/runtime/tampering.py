"""Changes behind the engine's back, as somebody with a shell on the database would make them; they can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import sqlalchemy as sa

from saga_engine.store import schema as s
from saga_engine.store.entry import beginning, line_hash
from saga_engine.store.journal import Line
from saga_engine.store.journal import lines as lines_of
from tests.support.copies import of

MINE: Final = "(SELECT number FROM saga_runs WHERE id = :run)"
OF_RUN: Final = (s.journal, s.results, s.undo, s.inbox, s.effects, s.approvals, s.tasks, s.findings)
"""Tables with rows of a run; votes belong to approvals."""


@dataclass
class Tamperer:
    """One change of one run at a time; *dice* decides on where."""

    engine: sa.Engine
    dice: Random

    def rows(self, run: str) -> dict[sa.Table, list[dict[str, Any]]]:
        """Everything that is stored of a run, to be put back by ``restore``."""
        with self.engine.connect() as db:
            found = {t: self._rows(db, t, of(t, run)) for t in OF_RUN}
            found[s.runs] = self._rows(db, s.runs, s.runs.c.id == run)
            found[s.votes] = self._rows(db, s.votes, s.votes.c.task.like(f"{run}.%"))
            return found

    def restore(self, run: str, kept: dict[sa.Table, list[dict[str, Any]]]) -> None:
        with self.engine.begin() as db:
            self._remove(db, run, kept[s.runs][0]["number"])
            for table in (s.runs, *OF_RUN, s.votes):
                if kept[table]:
                    db.execute(sa.insert(table), kept[table])

    # --- changes: each returns the revision of the first line that is wrong, or None where it is no line

    def byte_of_text(self, run: str) -> int:
        """One byte of an event or of commands."""
        line, name = self._line(run), self.dice.choice(("event", "commands"))
        old: str = getattr(line, name)
        at = self.dice.randrange(len(old))
        if self.sqlite:  # any byte, so that it may be no text any more
            raw = bytearray(old.encode())
            raw[at % len(raw)] ^= self.dice.randrange(1, 256)
            text = "CAST(:new AS TEXT)"
            new: Any = bytes(raw)
        else:
            text, new = ":new", old[:at] + chr(ord(old[at]) % 90 + 33) + old[at + 1 :]
            new = new if new != old else f"{old} "
        self._sql(f"UPDATE saga_journal SET {name} = {text} WHERE run = {MINE} AND revision = :n",
                  new=new, run=run, n=line.revision)  # fmt: skip
        return line.revision

    def time(self, run: str) -> int:
        line = self._line(run)
        moved = timedelta(microseconds=self.dice.choice((1, -1, 3_600_000_000)))
        if self.sqlite and self.dice.random() < 0.5:
            written: Any = self.dice.choice((line.at.isoformat(), "yesterday", 12, b"\xff"))
            self._sql(f"UPDATE saga_journal SET at = :at WHERE run = {MINE} AND revision = :n",
                      at=written, run=run, n=line.revision)  # fmt: skip
        else:
            self._change(run, line.revision, at=line.at + moved)
        return line.revision

    def hash(self, run: str) -> int:
        line = self._line(run)
        raw = bytearray(line.hash)
        raw[self.dice.randrange(len(raw))] ^= self.dice.randrange(1, 256)
        self._change(run, line.revision, hash=bytes(raw))
        return line.revision

    def deletion(self, run: str) -> int:
        line = self._line(run)
        many = self.dice.choice((1, 1, 2, 3))
        table = s.journal.c
        last = line.revision + many - 1
        with self.engine.begin() as db:
            db.execute(sa.delete(s.journal).where(of(s.journal, run), table.revision.between(line.revision, last)))
        return line.revision

    def swap(self, run: str) -> int:
        lines = self._lines(run)
        one, other = self.dice.sample(lines, 2)
        for old, new in ((one.revision, 10**6), (other.revision, one.revision), (10**6, other.revision)):
            self._change(run, old, revision=new)
        return min(one.revision, other.revision)

    def insertion(self, run: str) -> int:
        """A copy of a line: at the end, before the first one, or with room made for it."""
        lines, copied = self._lines(run), self._line(run)
        at = self.dice.choice((0, self.dice.randint(1, len(lines)), len(lines) + 1))
        for line in reversed(lines):
            if line.revision >= at > 0:
                self._change(run, line.revision, revision=line.revision + 1)
        self._insert(run, at, copied)
        return max(at, 1) + (at == copied.revision)  # a copy in its own place: the second of the two is wrong

    def cut(self, run: str) -> int:
        """The end, without a thought of the run's row."""
        lines = self._lines(run)
        first = self.dice.randint(1, len(lines))
        self._cut(run, first)
        return first

    def row(self, run: str) -> int:
        """A value of the run's row that decisions change."""
        values: dict[str, Any] = {
            "state": "DONE?",
            "revision": s.runs.c.revision + 1,
            "transitions": s.runs.c.transitions + 1,
            "open": ~s.runs.c.open,
            "paused": ~s.runs.c.paused,
            "cancelling": ~s.runs.c.cancelling,
            "rollback_to": "COPY?",
            "rollback_floor": 7,
            "paused_by": "mallory",
            "paused_reason": "because",
            "visits": '{"COPY":99}',
            "starter": "mallory",
            "journal_hash": b"x" * 32,
            "updated_at": datetime.fromisoformat("2020-01-01T00:00:00+00:00"),
            "created_at": datetime.fromisoformat("2020-01-01T00:00:00+00:00"),
            "entered_at": datetime.fromisoformat("2020-01-01T00:00:00+00:00"),
        }
        name = self.dice.choice(sorted(values))
        with self.engine.begin() as db:
            db.execute(sa.update(s.runs).where(s.runs.c.id == run).values({name: values[name]}))
        return 1 if name == "starter" else len(self._lines(run)) + (name == "revision")

    def moment(self, run: str) -> int:
        """When a task that nobody has claimed is due, or goes on; of a run that has none, something of its row."""
        untouched = sa.select(s.tasks).where(s.tasks.c.run_id == run, s.tasks.c.attempt == 0)
        with self.engine.begin() as db:
            there = [row for row in db.execute(untouched) if row.due_at or row.resumes_at]
            if there:
                task = self.dice.choice(there)
                moved = (task.due_at or task.resumes_at) + timedelta(hours=1)
                values = [{"due_at": task.resumes_at, "resumes_at": task.due_at}]
                values += [{name: moved if getattr(task, name) else None} for name in ("due_at", "resumes_at")]
                change = self.dice.choice([new for new in values if any(getattr(task, n) != new[n] for n in new)])
                db.execute(sa.update(s.tasks).where(s.tasks.c.name == task.name).values(change))
        return len(self._lines(run)) if there else self.row(run)

    def rewritten(self, run: str) -> int:
        """A line changed by somebody who knows how: every hash from there on and the run's row made anew."""
        line = self._line(run)
        change = self.dice.choice(("event", "at", "removed"))
        lines = [x for x in self._lines(run) if change != "removed" or x.revision != line.revision]
        if change == "removed" and len(lines) == 0:
            return self.hash(run)
        told: list[Line] = []
        previous = beginning(run)
        for number, old in enumerate(lines, start=1):
            event, at = old.event, old.at
            if old.revision == line.revision:
                event = event.replace('"ann"', '"eve"') if '"ann"' in event and change == "event" else event
                at = at + timedelta(seconds=1) if event == old.event and change != "removed" else at
            previous = line_hash(previous, number, at, event, old.commands)
            told.append(Line(run, number, at, event, old.commands, previous))
        self._rewrite(run, told)
        return line.revision

    def cut_well(self, run: str) -> int:
        """The end, with the run's row made to fit."""
        lines = self._lines(run)
        first = self.dice.randint(2, len(lines))
        self._cut(run, first)
        self._head(run, lines[first - 2])
        return first

    def fixed(self, run: str) -> None:
        """What a start fixes, and no line holds."""
        name = self.dice.choice(("input", "run_key"))
        new = '{"table":"accounts"}' if name == "input" else "another"
        with self.engine.begin() as db:
            db.execute(sa.update(s.runs).where(s.runs.c.id == run).values({name: new}))

    def removal(self, run: str) -> None:
        with self.engine.begin() as db:
            self._remove(db, run, db.execute(sa.select(s.number_of(run))).scalar_one())

    # --- how

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _lines(self, run: str) -> list[Line]:
        with self.engine.connect() as db:
            return lines_of(db, run)

    def _line(self, run: str) -> Line:
        return self.dice.choice(self._lines(run))

    def _rows(self, db: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        return [dict(row) for row in db.execute(sa.select(table).where(where)).mappings()]

    def _remove(self, db: sa.Connection, run: str, number: int) -> None:
        """Also what is left of a run whose own row is gone."""
        db.execute(sa.delete(s.votes).where(s.votes.c.task.like(f"{run}.%")))
        for table in OF_RUN:
            db.execute(sa.delete(table).where(table.c.run == number if "run" in table.c else table.c.run_id == run))
        db.execute(sa.delete(s.runs).where(s.runs.c.id == run))

    def _sql(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as db:
            db.execute(sa.text(statement), values)

    def _change(self, run: str, number: int, /, **values: Any) -> None:
        with self.engine.begin() as db:
            db.execute(
                sa.update(s.journal).where(of(s.journal, run), s.journal.c.revision == number).values(values)
            )  # fmt: skip

    def _insert(self, run: str, revision: int, line: Line) -> None:
        row = {"at": line.at, "event": line.event, "commands": line.commands, "hash": line.hash}
        with self.engine.begin() as db:
            db.execute(sa.insert(s.journal).values(run=s.number_of(run), revision=revision, **row))

    def _cut(self, run: str, first: int) -> None:
        with self.engine.begin() as db:
            db.execute(sa.delete(s.journal).where(of(s.journal, run), s.journal.c.revision >= first))

    def _head(self, run: str, last: Line) -> None:
        with self.engine.begin() as db:
            fits = {"revision": last.revision, "journal_hash": last.hash}
            db.execute(sa.update(s.runs).where(s.runs.c.id == run).values(fits))

    def _rewrite(self, run: str, told: list[Line]) -> None:
        self._cut(run, 0)
        for line in told:
            self._insert(run, line.revision, line)
        self._head(run, told[-1])


FOUND_ALONE: Final[dict[str, Callable[[Tamperer, str], int]]] = {
    change.__name__: change
    for change in (
        Tamperer.byte_of_text,
        Tamperer.time,
        Tamperer.hash,
        Tamperer.deletion,
        Tamperer.swap,
        Tamperer.insertion,
        Tamperer.cut,
        Tamperer.row,
        Tamperer.moment,
    )
}
FOUND_WITH_ANCHOR: Final[dict[str, Callable[[Tamperer, str], int | None]]] = {
    change.__name__: change for change in (Tamperer.rewritten, Tamperer.cut_well, Tamperer.fixed, Tamperer.removal)
}
