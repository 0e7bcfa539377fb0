"""The part rows of a step: one for each transaction that took effect, inserted before its work and filled after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Executable, and_, bindparam, select
from sqlalchemy.exc import IntegrityError

from saga_engine.errors import BadInput, LedgerChanged
from saga_engine.ledger import connect
from saga_engine.ledger.database import Trouble
from saga_engine.ledger.heads import ON_CONFLICT, ON_DUPLICATE, Key
from saga_engine.ledger.schema import PART_CHARS_MAX, clock, parts
from saga_engine.ledger.transaction import execute


@dataclass(frozen=True, slots=True)
class Part:
    """A part that took effect. *result* is JSON; None if the work committed by itself, so that it is in doubt."""

    part: str
    result: str | None


OF_STEP: Final = and_(parts.c.store == bindparam("of_store"), parts.c.task == bindparam("of_task"))
OURS: Final = and_(OF_STEP, parts.c.part == bindparam("of_part"))
"""Both served by the unique key (store, task, part)."""
IN_EFFECT: Final = parts.c.status != "undone"

NEW: Final[dict[str, Any]] = {
    "store": bindparam("of_store"),
    "task": bindparam("of_task"),
    "part": bindparam("of_part"),
    "token": bindparam("by"),
    "status": "intended",
    "intended_at": clock(),
}
# On MariaDB a plain insert, that fails where the row is: INSERT IGNORE would hide other errors too, and the count of
# ON DUPLICATE KEY UPDATE is the same for a row that is new and for one that stays as it is.
INTEND: Final[Mapping[str, Executable]] = {
    name: insert(parts)
    .inline()
    .values(NEW)
    .on_conflict_do_nothing(index_elements=[parts.c.store, parts.c.task, parts.c.part])
    .execution_options(preserve_rowcount=True)
    for name, insert in ON_CONFLICT.items()
} | dict.fromkeys(ON_DUPLICATE, parts.insert().inline().values(NEW))
RESULT: Final = select(parts.c.result).where(OURS)
APPLY: Final = (
    parts.update()
    .where(OURS, parts.c.status == "intended")
    .values(status="applied", result=bindparam("json"), applied_at=clock())
)
IN_EFFECT_OF_STEP: Final = (
    select(parts.c.part, parts.c.result)
    .where(OF_STEP, IN_EFFECT)
    .order_by(parts.c.position)
    .limit(bindparam("at_most"))
)
ONE_IN_EFFECT: Final = select(parts.c.position).where(OURS, IN_EFFECT)
UNDO_ALL: Final = parts.update().where(OF_STEP, IN_EFFECT).values(status="undone", undone_at=clock())
UNDO_ONE: Final = UNDO_ALL.where(parts.c.part == bindparam("of_part"))

NO_LIMIT: Final = 2**31 - 1


def check_name(part: str) -> None:
    """Refuse a name that the ledger cannot hold."""
    if len(part) > PART_CHARS_MAX or "\0" in part:
        raise BadInput(f"a part's name has at most {PART_CHARS_MAX} characters and no NUL: {part[:40]!r}…")


def intend(db: Connection, key: Key, part: str) -> bool:
    """Insert the row, False if it is there. Waits for a transaction under way that has inserted it, however it ends."""
    try:
        found = execute(db, INTEND[db.dialect.name], of_store=key.store, of_task=key.task, of_part=part, by=key.token)
    except IntegrityError as error:
        if connect.database_of(db.engine).trouble(db, error) is Trouble.THERE:
            return False
        raise
    return found.rowcount == 1


def result(db: Connection, key: Key, part: str) -> str | None:
    """Return the recorded result as JSON; None if the part is in doubt."""
    recorded: str | None = execute(db, RESULT, of_store=key.store, of_task=key.task, of_part=part).scalar_one()
    return recorded


def apply(db: Connection, key: Key, part: str, json: str) -> None:
    """Record that the part is applied, and its result."""
    done = execute(db, APPLY, of_store=key.store, of_task=key.task, of_part=part, json=json)
    if done.rowcount != 1:
        difference = f"the row of {key.task}, part {part!r}, went away while its work ran"
        raise LedgerChanged(connection=connect.name_of(db), difference=difference)


def in_effect(db: Connection, key: Key, at_most: int = NO_LIMIT) -> list[Part]:
    """Return the parts that took effect and are not undone, in the order in which they were started."""
    rows = execute(db, IN_EFFECT_OF_STEP, of_store=key.store, of_task=key.task, at_most=at_most)
    return [Part(row.part, row.result) for row in rows]


def is_in_effect(db: Connection, key: Key, part: str | None) -> bool:
    """Say whether the part, or with None any part, took effect and is not undone."""
    if part is None:
        return bool(in_effect(db, key, at_most=1))
    return execute(db, ONE_IN_EFFECT, of_store=key.store, of_task=key.task, of_part=part).first() is not None


def undo(db: Connection, key: Key, part: str | None) -> None:
    """Record that the part is undone, or with None every part."""
    if part is None:
        execute(db, UNDO_ALL, of_store=key.store, of_task=key.task)
    else:
        execute(db, UNDO_ONE, of_store=key.store, of_task=key.task, of_part=part)
