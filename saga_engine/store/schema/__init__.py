"""The tables of the engine's own database, the same on SQLite and PostgreSQL. The migrations make what stands here.

Each column says who changes it and when. Times are UTC, from the database's clock. "A decision" is the
transaction T2 of the protocol (``record``), "a claim" its T1 (``tasks``).
"""

from saga_engine.store.schema.base import Moment, Name, Number, metadata
from saga_engine.store.schema.pruned import pruned
from saga_engine.store.schema.runs import definitions, number_of, runs, store, tasks
from saga_engine.store.schema.story import approvals, effects, inbox, journal, results, undo, votes
from saga_engine.store.schema.workers import findings, incarnations

__all__ = [
    "Moment",
    "Name",
    "Number",
    "approvals",
    "definitions",
    "effects",
    "findings",
    "inbox",
    "incarnations",
    "journal",
    "metadata",
    "number_of",
    "pruned",
    "results",
    "runs",
    "store",
    "tasks",
    "undo",
    "votes",
]
