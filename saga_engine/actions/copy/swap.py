"""CUTTING_OVER: the staging table takes the target's place; the old table is kept under another name."""

from __future__ import annotations

from sqlalchemy import Connection

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.drift import refuse_drift
from saga_engine.actions.copy.load import load
from saga_engine.actions.copy.plan import CutOver, Move
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.staged import refuse_changed
from saga_engine.actions.copy.validate import validate
from saga_engine.domain.definition.facts import Step


def cut_over(step: Step[Move]) -> CutOver:
    """Swap in one transaction, having read every row of the staging table once more, which nobody else can change.

    ``TargetChanged`` if the target's schema is not the planned one any more, ``StagingChanged`` if the staging table is
    not the validated one. PostgreSQL: fails with LockNotAvailable after three seconds behind other users of a table,
    and changes nothing; to be tried again. SQLite: nobody else can write to the file meanwhile.
    """
    plan, loaded, report = step.of(preflight), step.of(load), step.of(validate)
    dialect = dialects.named(plan.target_dialect)

    def swap(db: Connection) -> CutOver:
        dialect.prepare(db)
        refuse_drift(plan, dialect.fingerprint(db, plan.target))  # before the long look
        dialect.freeze(db, plan)
        refuse_changed(db, plan, report.validated)
        statements = dialect.swap(db, plan)
        return CutOver(
            table=str(plan.target),
            kept=str(plan.kept) if plan.before.exists else "",
            rows=loaded.rows,
            statements=tuple(statements),
        )

    return step.effect(step.input.target, swap)
