"""Backward: the head is closed first and committed, then the parts are undone, then the undo is proven and recorded.

Every function may be called again after a crash at any place: what is done already is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from saga_engine import failpoints
from saga_engine.errors import UndoIncomplete, UndoNotVerified
from saga_engine.ledger import connect, heads, parts, strays, transaction
from saga_engine.ledger.heads import Key
from saga_engine.ledger.parts import Part

N = TypeVar("N")

NAMED_MAX: Final = 5
"""So many parts are named in an error."""


def begin_undo(engine: Engine, key: Key, known: Collection[str] | None = None) -> None:
    """Close the step to all its attempts, also if it never wrote here, and make this attempt of the undo the newest.

    *known*: as in ``effect.open_head``; a run that goes back leaves nothing behind that its store knows nothing of.
    To be called for every target that the step may have used. When it returns no part is under way and none can
    come: what ``applied`` says then is all there is. ``Superseded``: a newer attempt of the undo was here.
    """

    def once(db: Connection) -> None:
        if known is not None:
            strays.refuse(db, key, known)
        heads.raise_undo_token(db, key)

    transaction.run(engine, _label(key), "ledger.undo.begin", once)


def applied(engine: Engine, key: Key, at_most: int = parts.NO_LIMIT) -> list[Part]:
    """Return the parts that took effect and are not undone, in the order in which they were started."""
    return transaction.run(engine, _label(key), "ledger.undo.applied", lambda db: parts.in_effect(db, key, at_most))


def undo_part(engine: Engine, key: Key, part: str | None, work: Callable[[Connection], N]) -> N | None:
    """Call *work* in a transaction that also records *part* as undone, if it is in effect; else return None.

    Without a part: if any is in effect, and all of them are recorded. *work* is held to the same rules as that of
    ``effect.apply``; its result is not stored, so an undo whose answer was lost returns None too.
    """

    def once(db: Connection) -> N | None:
        heads.require_undoing(db, key)
        failpoints.hit("ledger.undo.part.after_head")
        if not parts.is_in_effect(db, key, part):
            return None
        result = transaction.call(db, work)
        failpoints.hit("ledger.undo.part.after_work")
        # After the work: should that commit by itself, its part stays in effect, and the undo comes back to it.
        parts.undo(db, key, part)
        return result

    return transaction.run(engine, _label(key, part), "ledger.undo.part", once)


def finish_undo(engine: Engine, key: Key, verify: Callable[[], bool] | None) -> None:
    """Record that the step is undone: no part is in effect, and then *verify* says True, unless it did so before.

    *verify* runs outside any transaction; nothing can be written meanwhile, for the head is closed. Else
    ``UndoIncomplete`` or ``UndoNotVerified``, and the undo has failed.
    """
    undone = transaction.run(engine, _label(key), "ledger.undo.check", lambda db: _is_undone(db, key))
    if undone:
        return
    if verify is not None and not verify():
        raise UndoNotVerified(connection=connect.name_of(engine), what=key.task)
    transaction.run(engine, _label(key), "ledger.undo.finish", lambda db: _end(db, key))


def _is_undone(db: Connection, key: Key) -> bool:
    if heads.require_undoing(db, key):
        return True
    left = parts.in_effect(db, key, NAMED_MAX + 1)
    if left:
        named = ", ".join(repr(part.part) for part in left[:NAMED_MAX]) + (", …" if len(left) > NAMED_MAX else "")
        raise UndoIncomplete(connection=connect.name_of(db), what=key.task, parts=named)
    return False


def _end(db: Connection, key: Key) -> None:
    if not heads.require_undoing(db, key):
        heads.end_undo(db, key)


def _label(key: Key, part: str | None = None) -> str:
    return f"{key.task} undo {key.token}" + (f" part {part!r}" if part else "")
