"""The databases that can take part. Another one is a package beside these and a line here."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from saga_engine.actions.copy import postgres, sqlite
from saga_engine.actions.copy.dialect import Dialect
from saga_engine.errors import BadInput

DIALECTS: Final[dict[str, Dialect]] = {"sqlite": sqlite, "postgresql": postgres}


def named(name: str) -> Dialect:
    """The dialect that a plan names."""
    return DIALECTS[name]


def name_of(db: Connection) -> str:
    """The name of the connection's dialect; ``BadInput`` where tables cannot be moved from or to it."""
    if db.dialect.name not in DIALECTS:
        raise BadInput(f"tables cannot be moved from or to {db.dialect.name}; known: {', '.join(DIALECTS)}")
    return db.dialect.name
