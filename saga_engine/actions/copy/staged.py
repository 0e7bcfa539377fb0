"""What was validated is what takes the target's place: the staging table is looked at once more before the swap.

Days may lie between the two, and in them the table is one that anybody with the right could write to.
"""

from __future__ import annotations

from sqlalchemy import Connection

from saga_engine.actions.copy import dialects
from saga_engine.actions.copy.plan import Plan, Staged
from saga_engine.actions.copy.reading import staging_rows
from saga_engine.errors import StagingChanged


def refuse_changed(db: Connection, plan: Plan, validated: Staged) -> None:
    """Raise ``StagingChanged`` if the staging table is not what was validated. It reads every row of it."""
    now = dialects.named(plan.target_dialect).fingerprint(db, plan.staging)
    if not now.exists:
        raise StagingChanged(table=plan.staging, difference="it is gone")
    if now.shape != validated.shape:
        raise StagingChanged(
            table=plan.staging, difference="its columns, indexes, constraints, triggers or rights differ"
        )
    rows, total = staging_rows(plan).checksum(db, None, None)
    if rows != validated.rows:
        raise StagingChanged(table=plan.staging, difference=f"it had {validated.rows} rows and has {rows}")
    if str(total) != validated.checksum:
        raise StagingChanged(table=plan.staging, difference="rows of it were changed")
