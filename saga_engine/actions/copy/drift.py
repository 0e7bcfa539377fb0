"""Has the target changed since the preflight, or what hangs on it? Asked before it is copied in shape, and swapped."""

from __future__ import annotations

from collections.abc import Sequence

from saga_engine.actions.copy.plan import Fingerprint, Plan
from saga_engine.errors import CannotReplace, TargetChanged


def refuse_hindrances(refusals: Sequence[str]) -> None:
    """Raise ``CannotReplace`` if the target could not be replaced, or made, any more: *refusals* say why."""
    if refusals:
        raise CannotReplace(why="; ".join(refusals))


def refuse_drift(plan: Plan, now: Fingerprint) -> None:
    """Raise ``TargetChanged`` if the target is not the table that was planned for, as it was; its rows may differ.

    They are in the kept table. A table that another migration has just put there is not the one that was looked at.
    """
    if now.exists != plan.before.exists:
        difference = "it is there now and was not" if now.exists else "it was there and is gone"
        raise TargetChanged(table=plan.target, difference=difference)
    if now.table != plan.before.table:
        raise TargetChanged(table=plan.target, difference="another table has taken its name")
    if now.shape != plan.before.shape:
        raise TargetChanged(
            table=plan.target, difference="its columns, indexes, constraints, triggers or rights differ"
        )
