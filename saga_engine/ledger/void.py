"""Proof that a step took no effect in a target, and that it never will: its head is closed where no part is applied."""

from typing import Any

from sqlalchemy import Connection, Engine

from saga_engine.ledger import heads, parts, transaction
from saga_engine.ledger.heads import Key


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
        transaction.run(engine, f"{key.task} void {key.token}", "ledger.void", once)
    except _InEffect:
        return False
    return True
