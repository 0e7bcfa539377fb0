"""Everything that a ledger holds for one store: what a checker of the protocol looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select

from saga_engine.ledger.schema import heads, identity, parts

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Head:
    """A row of saga_ledger_heads."""

    task: str
    token: int
    undo_token: int
    status: str


@dataclass(frozen=True, slots=True)
class PartRow:
    """A row of saga_ledger_parts."""

    task: str
    part: str
    token: int
    status: str


@dataclass(frozen=True, slots=True)
class Books:
    """One ledger. *parts* in the order in which they were started."""

    uuid: str | None
    heads: tuple[Head, ...] = ()
    parts: tuple[PartRow, ...] = ()


def of(engine: Engine, store: str) -> Books:
    """What the ledger of the target holds for the store of that uuid; empty where there is no ledger."""
    uuid = identity(engine)
    if uuid is None:
        return Books(None)
    with engine.connect() as db:
        return Books(
            uuid,
            tuple(Head(*row) for row in db.execute(_HEADS, {"of_store": store})),
            tuple(PartRow(*row) for row in db.execute(_PARTS, {"of_store": store})),
        )


# Both served by the first column of a unique key.
_HEADS: Final = (
    select(heads.c.task, heads.c.token, heads.c.undo_token, heads.c.status)
    .where(heads.c.store == bindparam("of_store"))
    .order_by(heads.c.task)
)
_PARTS: Final = (
    select(parts.c.task, parts.c.part, parts.c.token, parts.c.status)
    .where(parts.c.store == bindparam("of_store"))
    .order_by(parts.c.position)
)
