"""CUTTING_OVER: the staging table takes the target's place; the old table is kept under another name."""

from __future__ import annotations

from sqlalchemy import Connection

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.load import load
from saga_engine.actions.copy.plan import CutOver, Move
from saga_engine.actions.copy.preflight import preflight
from saga_engine.domain.definition.facts import Step


def cut_over(step: Step[Move]) -> CutOver:
    """Swap in one transaction. ``TargetChanged`` if the target's schema is not the planned one any more.

    PostgreSQL: fails with LockNotAvailable after three seconds behind other users of the table, and changes nothing;
    to be tried again.
    """
    plan, loaded = step.of(preflight), step.of(load)

    def swap(db: Connection) -> CutOver:
        statements = dialects.named(plan.target_dialect).swap(db, plan)
        return CutOver(
            table=str(plan.target),
            kept=str(plan.kept) if plan.before.exists else "",
            rows=loaded.rows,
            statements=tuple(statements),
        )

    return step.effect(step.input.target, swap)
