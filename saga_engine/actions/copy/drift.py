"""Has the target changed since the preflight? Asked before it is copied in shape, and before the swap."""

from __future__ import annotations

from saga_engine.actions.copy.plan import Fingerprint, Plan
from saga_engine.errors import TargetChanged


def refuse_drift(plan: Plan, now: Fingerprint) -> None:
    """Raise ``TargetChanged`` if the target's schema is not the one that was planned for; its rows may differ."""
    if now.exists != plan.before.exists:
        difference = "it is there now and was not" if now.exists else "it was there and is gone"
        raise TargetChanged(table=plan.target, difference=difference)
    if now.shape != plan.before.shape:
        raise TargetChanged(
            table=plan.target, difference="its columns, indexes, constraints, triggers or rights differ"
        )
