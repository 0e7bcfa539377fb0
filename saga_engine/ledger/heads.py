"""The head row of a step: who may write its parts. Locked and compared in every transaction of the ledger.

Two counters fence two kinds of late writers. ``token`` is the newest attempt of the step, ``undo_token`` the newest
attempt of its undo; both are only ever raised, in a transaction of their own, by the attempt that begins. A part shares
the row's lock, so that parts run side by side, while a newer attempt, or the undo, waits for those under way before it
raises. To share first and raise in the same transaction would deadlock, so nobody does. ``status`` leaves ``open`` for
good as the undo begins: from then on no attempt of the step can write, though nobody may have heard of it for days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Executable, Row, Table, and_, bindparam, case, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from saga_engine.errors import LedgerChanged, Superseded
from saga_engine.ledger import connect
from saga_engine.ledger.schema import clock, heads, ledger
from saga_engine.ledger.transaction import execute


@dataclass(frozen=True, slots=True)
class Key:
    """Who acts: attempt *token* of the task *task* of the store *store*; in an undo, attempt *token* of the undo.

    *task* is the idempotency key, in an undo too that of the step being undone. *ledger* is the uuid that the run has
    kept of this target: another one there is refused. None: any ledger will do. *step* names the step's state and
    visit, for people and for whoever has to find out what a row is of (``strays``).
    """

    store: str
    task: str
    token: int
    ledger: str | None = None
    step: str | None = None


ON_CONFLICT: Final[dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}
"""How an insert that may find its row is made, by dialect; MariaDB, under both its names, says it in another way."""
ON_DUPLICATE: Final = ("mariadb", "mysql")
PRIMARY_KEY: Final = [heads.c.store, heads.c.task]
OURS: Final = and_(heads.c.store == bindparam("of_store"), heads.c.task == bindparam("of_task"))
"""Served by the primary key, as every statement here."""
NEW: Final[dict[str, Any]] = {
    "store": bindparam("of_store"),
    "task": bindparam("of_task"),
    "step": bindparam("of_step", type_=heads.c.step.type),
}
BY: Final = bindparam("by", type_=heads.c.token.type)

READ: Final = select(
    heads.c.status, heads.c.token, heads.c.undo_token, select(ledger.c.uuid).scalar_subquery().label("ledger")
).where(OURS)
SHARE: Final = READ.with_for_update(read=True, of=heads)
HOLD: Final = READ.with_for_update(of=heads)
OPENED: Final[dict[str, Any]] = {**NEW, "token": BY, "undo_token": 0, "status": "open", "opened_at": clock()}
TOMBSTONE: Final[dict[str, Any]] = {
    **NEW, "token": 0, "undo_token": BY, "status": "undoing", "undoing_at": clock()
}  # fmt: skip
CLOSED: Final[dict[str, Any]] = {
    "status": case((heads.c.status == "open", "undoing"), else_=heads.c.status),
    "undoing_at": func.coalesce(heads.c.undoing_at, clock()),
}
RAISE_TOKEN: Final[Mapping[str, Executable]] = {
    name: insert(heads)
    .values(OPENED)
    .on_conflict_do_update(
        index_elements=PRIMARY_KEY, set_={"token": BY}, where=and_(heads.c.status == "open", heads.c.token < BY)
    )
    for name, insert in ON_CONFLICT.items()
} | dict.fromkeys(
    ON_DUPLICATE,
    mysql.insert(heads)
    .values(OPENED)
    .on_duplicate_key_update(token=case((and_(heads.c.status == "open", heads.c.token < BY), BY), else_=heads.c.token)),
)
RAISE_UNDO_TOKEN: Final[Mapping[str, Executable]] = {
    name: insert(heads)
    .values(TOMBSTONE)
    .on_conflict_do_update(index_elements=PRIMARY_KEY, set_={"undo_token": BY, **CLOSED}, where=heads.c.undo_token < BY)
    for name, insert in ON_CONFLICT.items()
} | dict.fromkeys(
    ON_DUPLICATE,
    # Where an older attempt comes the head is closed already, so that only the token must be kept from it.
    mysql.insert(heads)
    .values(TOMBSTONE)
    .on_duplicate_key_update(undo_token=func.greatest(heads.c.undo_token, BY), **CLOSED),
)
END_UNDO: Final = heads.update().where(OURS).values(status="undone", undone_at=clock())


def raise_token(db: Connection, key: Key) -> None:
    """Make the attempt the newest one, with a new head if there is none; an older one than the newest is refused."""
    execute(db, RAISE_TOKEN[db.dialect.name], of_store=key.store, of_task=key.task, of_step=key.step, by=key.token)
    require_open(db, key)


def require_open(db: Connection, key: Key) -> None:
    """Share the head to the transaction's end; raise ``Superseded`` unless this attempt is the newest and may write."""
    head = _read(db, key, SHARE)
    if head.status != "open":
        raise Superseded(f"{key.task}: attempt {key.token} may not write any more, the step is being undone")
    if head.token != key.token:
        raise Superseded(f"{key.task}: attempt {head.token} has taken over from attempt {key.token}")


def undo_token(db: Connection, key: Key) -> int:
    """The newest attempt of the step's undo; 0 while attempts of the step may write, or open it. Nothing is locked."""
    head = execute(db, READ, of_store=key.store, of_task=key.task).one_or_none()
    return 0 if head is None else int(head.undo_token)


def raise_undo_token(db: Connection, key: Key) -> None:
    """Make the undo's attempt the newest one, and end all writing of the step, though it may never have begun."""
    raising = RAISE_UNDO_TOKEN[db.dialect.name]
    execute(db, raising, of_store=key.store, of_task=key.task, of_step=key.step, by=key.token)
    require_undoing(db, key)


def require_undoing(db: Connection, key: Key) -> bool:
    """Hold the head to the transaction's end; raise ``Superseded`` unless this attempt of the undo is the newest.

    Return whether all is undone. Held alone: an undo does one thing after the other.
    """
    head = _read(db, key, HOLD)
    if head.undo_token != key.token:
        raise Superseded(f"{key.task}: attempt {head.undo_token} of its undo has taken over from attempt {key.token}")
    return bool(head.status == "undone")


def end_undo(db: Connection, key: Key) -> None:
    """Set the head to undone."""
    execute(db, END_UNDO, of_store=key.store, of_task=key.task)


def _read(db: Connection, key: Key, statement: Executable) -> Row[Any]:
    head = execute(db, statement, of_store=key.store, of_task=key.task).one_or_none()
    if head is None:
        difference = f"it has no row of {key.task}, which has written there"
    elif head.ledger is None or key.ledger not in {None, head.ledger}:
        difference = f"its uuid is {head.ledger}, not {key.ledger}"
    else:
        return head
    raise LedgerChanged(connection=connect.name_of(db), difference=difference)
