"""Heads that are closed for good without an undo: where no part is in effect, or whatever is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine

from saga_engine.ledger import connect, heads, parts, transaction
from saga_engine.ledger.heads import Key
from saga_engine.ledger.parts import Part

T = TypeVar("T")


class Shut(NamedTuple):
    """What closing has found. *parts*: in effect, where attempts could write until now; else empty."""

    token: int
    """The newest attempt of the undo, as the ledger has it now."""
    parts: list[Part]


def shut(engine: Engine, key: Key, most: int) -> Shut:
    """Close the step's head for good, whatever is in effect; with up to *most* parts of that.

    It needs not be the newest attempt of the undo that says so: a head never opens again.
    """
    was_open = False

    def once(db: Connection) -> Shut:
        nonlocal was_open
        newest = heads.undo_token(db, key)
        was_open = was_open or not newest  # it may be called again, when it has closed it
        newest = max(key.token, newest)
        heads.raise_undo_token(db, replace(key, token=newest))
        return Shut(newest, parts.in_effect(db, key, most) if was_open else [])

    return _run(engine, f"{key.task} shut {key.token}", "ledger.shut", once)


class _InEffect(Exception):
    """A part is applied: leave the head as it was."""


def void(engine: Engine, key: Key) -> bool:
    """Close the step's head for good if no part is in effect; False, and nothing changed, where one is.

    One transaction under the head's lock: a late attempt either wrote its part before, and is seen, or is refused.
    """

    def once(db: Connection) -> Any:  # noqa: ANN401  nothing is returned
        heads.raise_undo_token(db, key)
        if not heads.require_undoing(db, key):
            if parts.in_effect(db, key, 1):
                raise _InEffect
            heads.end_undo(db, key)

    try:
        _run(engine, f"{key.task} void {key.token}", "ledger.void", once)
    except _InEffect:
        return False
    return True


def _run(engine: Engine, label: str, point: str, once: Callable[[Connection], T]) -> T:
    """What has landed while the head's lock was waited for is to be seen."""
    return transaction.run(connect.database_of(engine).reading_committed(engine), label, point, once)
