"""What the ledger's tests act with: one business table, one model, and the questions that are asked afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, text

from saga_engine.ledger import connect, effect, undo
from saga_engine.ledger.heads import Key

STORE = "0197a000-0000-7000-8000-000000000000"
TASK = "0197a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b.4"
LIMIT = 1000


class Loaded(BaseModel):
    rows: int


@dataclass(frozen=True, slots=True)
class Head:
    status: str
    token: int
    undo_token: int


def key(token: int, *, task: str = TASK, ledger: str | None = None) -> Key:
    return Key(STORE, task, token, ledger)


def make_table(engine: Engine) -> None:
    with engine.begin() as db:
        db.execute(text("CREATE TABLE loaded (task text NOT NULL, part text NOT NULL)"))


def insert(part: str, task: str = TASK) -> Callable[[Connection], Loaded]:
    """The work of a part: one row, so that an effect that takes place twice is two rows."""

    def work(db: Connection) -> Loaded:
        db.execute(text("INSERT INTO loaded VALUES (:task, :part)"), {"task": task, "part": part})
        return Loaded(rows=1)

    return work


def remove(part: str | None = None, task: str = TASK) -> Callable[[Connection], None]:
    """The work of an undo: takes one row of the part away, so that undoing twice what was done once shows."""

    def work(db: Connection) -> None:
        which = "task = :task" + ("" if part is None else " AND part = :part")
        db.execute(text(f"DELETE FROM loaded WHERE {which}"), {"task": task, "part": part})

    return work


def apply(engine: Engine, attempt: Key, part: str, work: Callable[[Connection], Any] | None = None) -> Loaded:
    work = work or insert(part, attempt.task)
    result: Loaded = effect.apply(engine, attempt, part, work, Loaded.model_validate_json, limit=LIMIT)
    return result


def undo_all(engine: Engine, attempt: Key) -> None:
    """A whole undo as the runtime does it: the parts in reverse."""
    undo.begin_undo(engine, attempt)
    for part in reversed(undo.applied(engine, attempt)):
        undo.undo_part(engine, attempt, part.part, remove(part.part, attempt.task))
    undo.finish_undo(engine, attempt, lambda: loaded(engine, attempt.task) == [])


def loaded(engine: Engine, task: str = TASK) -> list[str]:
    """The parts that the business table holds, as often as they took effect."""
    with engine.connect() as db:
        return list(db.scalars(text("SELECT part FROM loaded WHERE task = :task ORDER BY part"), {"task": task}))


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    """The answer to *statement*, in which {ledger} stands for the ledger's schema."""
    schema = connect.database_of(engine).schema(engine.url)
    with engine.connect() as db:
        return [tuple(row) for row in db.execute(text(statement.format(ledger=schema)))]


def change(engine: Engine, statement: str) -> None:
    """Do behind the ledger's back what *statement* says."""
    with engine.begin() as db:
        db.execute(text(statement.format(ledger=connect.database_of(engine).schema(engine.url))))


def head(engine: Engine, task: str = TASK) -> Head | None:
    found = rows(engine, f"SELECT status, token, undo_token FROM {{ledger}}.saga_ledger_heads WHERE task = '{task}'")
    return Head(*found[0]) if found else None


def part_rows(engine: Engine, task: str = TASK) -> list[tuple[Any, ...]]:
    """(part, status, attempt, result), in the order of their start."""
    return rows(
        engine,
        f"SELECT part, status, token, result FROM {{ledger}}.saga_ledger_parts WHERE task = '{task}' ORDER BY position",
    )


def counted(work: Callable[[Connection], Any]) -> tuple[Callable[[Connection], Any], list[int]]:
    """*work*, and a list that grows with each call of it."""
    calls: list[int] = []

    def counting(db: Connection) -> Any:
        calls.append(1)
        return work(db)

    return counting, calls
