"""LOADING: the chunk files into the staging table, each in one transaction with its row in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from saga_engine.actions.copy import dialects, folders
from saga_engine.actions.copy.dialect import Dialect
from saga_engine.actions.copy.drift import refuse_hindrances
from saga_engine.actions.copy.export import export
from saga_engine.actions.copy.plan import Chunk, Loaded, Move, Part, Plan
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.reading import Asked, staging_rows
from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.values import Outcome
from saga_engine.errors import AttemptEnded, ExportDamaged, PartsNotContiguous


def load(step: Step[Move]) -> Loaded:
    """Make the staging table, load every chunk once, and finish it with what belongs after the rows.

    Parts that an earlier attempt has applied are not done again: the ledger gives back what they were, and the next
    chunk must begin where the last of them ended. ``ExportDamaged`` and ``ExportGone`` do not go away by trying again.
    """
    plan, exported = step.of(preflight), step.of(export)
    folder = Path(exported.folder)
    manifest = folders.read_manifest(folder, exported.manifest_sha256)
    step.effect(step.input.target, _creates(plan), part="staging")
    done: Part | None = None
    rows = 0
    for chunk in manifest.chunks:
        done = step.effect(step.input.target, _loads(plan, folder, chunk, done), part=f"chunk {chunk.number:06}")
        rows += done.rows
        step.progress(rows, exported.rows, "rows")
        if step.cancelled:
            raise AttemptEnded
    step.effect(step.input.target, _finishes(plan), part="finish")
    return Loaded(chunks=len(manifest.chunks), rows=rows)


def unload(step: Step[Move], was: Outcome[Loaded]) -> None:
    """Drop the staging table, if it was ever made."""
    del was
    plan = step.of(preflight)

    def drop(db: Connection) -> None:
        dialects.named(plan.target_dialect).drop_staging(db, plan)

    step.effect(step.input.target, drop)


def target_as_before(step: Step[Move]) -> bool:
    """True if the staging table is gone and the target is what PREFLIGHT found (SEMANTICS, "as before")."""
    plan = step.of(preflight)
    with step.connect(step.input.target) as db:
        target = Asked(db)
        with target.transaction():
            staging_is_gone = target.dialect.describe(db, plan.staging) is None
            return staging_is_gone and target.dialect.fingerprint(db, plan.target) == plan.before


def _creates(plan: Plan) -> Callable[[Connection], None]:
    def create(db: Connection) -> None:
        dialect = prepared(db, plan)
        refuse_hindrances(dialect.refusals(db, plan.target))
        dialect.create_staging(db, plan)

    return create


def _finishes(plan: Plan) -> Callable[[Connection], None]:
    def finish(db: Connection) -> None:
        prepared(db, plan).finish_staging(db, plan)

    return finish


def prepared(db: Connection, plan: Plan) -> Dialect:
    """The target's dialect, in a transaction that prints values as the plan's did: definitions have values in them."""
    dialect = dialects.named(plan.target_dialect)
    dialect.prepare(db)
    return dialect


def _loads(plan: Plan, folder: Path, chunk: Chunk, before: Part | None) -> Callable[[Connection], Part]:
    """The work for one chunk. *before* is what the ledger says of the part before it, never what memory says."""

    def load_chunk(db: Connection) -> Part:
        if (chunk.number, chunk.lower) != (before.number + 1 if before else 1, before.upper if before else None):
            raise PartsNotContiguous(number=chunk.number)
        prepared(db, plan)
        written = staging_rows(plan).write(db, folders.read_chunk(folder, chunk))
        if written != chunk.rows:
            raise ExportDamaged(file=folder / chunk.file, difference=f"{written} rows arrived of {chunk.rows}")
        return Part(number=chunk.number, lower=chunk.lower, upper=chunk.upper, rows=written, sha256=chunk.sha256)

    return load_chunk
