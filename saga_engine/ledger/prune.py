"""Removes the ledger rows of runs that have ended. While a run lives its rows stay: they are what fences it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection, Engine, bindparam

from saga_engine.ledger import transaction
from saga_engine.ledger.schema import heads, parts
from saga_engine.ledger.transaction import execute

TASKS_MAX: Final = 500
"""In one transaction."""

# Served by the unique key (store, task, part) and by the primary key.
PARTS: Final = parts.delete().where(
    parts.c.store == bindparam("of_store"), parts.c.task.in_(bindparam("of_tasks", expanding=True))
)
HEADS: Final = heads.delete().where(
    heads.c.store == bindparam("of_store"), heads.c.task.in_(bindparam("of_tasks", expanding=True))
)


def prune(engine: Engine, store: str, tasks: Sequence[str]) -> int:
    """Delete what the ledger knows of *tasks*, all of ended runs; return how many of them it knew.

    Nothing fences a late writer of theirs any more. A crash leaves some of them; call it again.
    """
    todo = iter(tasks)
    pruned = 0
    while batch := list(islice(todo, TASKS_MAX)):
        pruned += transaction.run(engine, "prune", "ledger.prune", partial(_prune, store=store, tasks=batch))
    return pruned


def _prune(db: Connection, store: str, tasks: list[str]) -> int:
    execute(db, PARTS, of_store=store, of_tasks=tasks)
    return execute(db, HEADS, of_store=store, of_tasks=tasks).rowcount
