"""Move a table to another database, exactly, and put it in the place of the one that is there.

PREFLIGHT finds everything that could stand in the way before anything is written. EXPORTING writes the rows to files,
LOADING loads them into a staging table, both chunk by chunk: killed anywhere, they go on at the next chunk. VALIDATING
compares all rows inside the two databases. Then people decide; CUTTING_OVER swaps the tables, if the staging table is
still what was validated, and keeps the old one.
Before that, whatever fails, is rejected or expires ends in ROLLED_BACK, with the target proven to be as it was.

    saga run migrate_table --input source=shop --input target=warehouse --input table=orders
"""

from enum import Enum, auto

from pydantic import Field

from saga_engine import Approval, Facts, Retry, Saga, Step, hours, minutes, seconds
from saga_engine.actions.copy.export import drop_export, export, tidy_export
from saga_engine.actions.copy.load import load, target_as_before, unload
from saga_engine.actions.copy.plan import Move, Report
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.swap import cut_over
from saga_engine.actions.copy.validate import validate
from saga_engine.actions.notify import Noticed, tell
from saga_engine.errors import BadInput, EffectNotSupported, MoveError, NotFound, SettingsError, UndoNotVerified


class S(Enum):
    """Where a migration can be."""

    PREFLIGHT = auto()
    EXPORTING = auto()
    LOADING = auto()
    VALIDATING = auto()
    AWAITING_CUTOVER = auto()
    CUTTING_OVER = auto()
    ROLLING_BACK = auto()
    COMPLETED = auto()
    ROLLED_BACK = auto()


class Input(Move, Noticed):
    """What to move, and whom to tell. *may_miss*: so many rows may be newer in the source than the copy."""

    may_miss: int = Field(default=0, ge=0)


def is_equal(report: Report, facts: Facts[Input]) -> bool:
    """No row is wrong in the target, and no more are missing than the input allows."""
    return report.changed == 0 and report.extra == 0 and report.missing <= facts.input.may_miss


def tell_approvers(step: Step[Input]) -> None:
    """Say that a decision is wanted, and on what."""
    tell(step, "awaiting_cutover", table=step.input.table, report=step.of(validate).model_dump(mode="json"))


def tell_completed(step: Step[Input]) -> None:
    """Say that the new table is in place, and where the old one is."""
    tell(step, "completed", table=step.input.table, result=step.of(cut_over).model_dump(mode="json"))


def tell_rolled_back(step: Step[Input]) -> None:
    """Say that nothing has changed in the target."""
    tell(step, "rolled_back", table=step.input.table)


go_live = Approval("dba", shows=validate, expires=hours(24))

NET = Retry(
    8, first=seconds(1), cap=minutes(5), never_on=(BadInput, EffectNotSupported, MoveError, NotFound, SettingsError)
)
"""Databases and networks come back; what is wrong with the input, the table or the files does not go away."""
BACK = Retry(20, first=seconds(1), cap=minutes(5), never_on=(UndoNotVerified,))
"""A target that somebody else has changed meanwhile is not as before, however often one looks: a person must."""
BUSY = Retry(50, first=seconds(1), cap=minutes(1), never_on=(MoveError,))
"""For the lock on a table that others are using."""

saga = Saga("migrate_table", version=1, states=S, input=Input, start=S.PREFLIGHT)

# It makes the ledger and the folder for exports, which stay: neither belongs to this run alone.
saga.at(S.PREFLIGHT).run(preflight, retry=NET, timeout=hours(2)).reads_only().then(S.EXPORTING)
saga.at(S.EXPORTING).run(export, retry=NET, timeout=hours(12)).undo(drop_export).then(S.LOADING)
# No heartbeat: making an index is one statement, however long it takes.
(
    saga.at(S.LOADING)
    .run(load, promise="effect", retry=NET, timeout=hours(12))
    .undo(unload, verify=target_as_before, retry=BACK)
    .then(S.VALIDATING)
)
(
    saga.at(S.VALIDATING)
    .run(validate, retry=NET, timeout=hours(12))
    .reads_only()
    .when(is_equal, S.AWAITING_CUTOVER)
    .then(S.ROLLING_BACK)
)
(
    saga.at(S.AWAITING_CUTOVER, entering=tell_approvers)
    .approval(go_live)
    .then(approved=S.CUTTING_OVER, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK)
)
(
    saga.at(S.CUTTING_OVER, leaving=tidy_export)
    .run(cut_over, promise="effect", retry=BUSY, timeout=hours(12))
    .pivot()
    .then(S.COMPLETED)
)
saga.group(S.PREFLIGHT, S.EXPORTING, S.LOADING, S.VALIDATING).then(failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
saga.final(S.COMPLETED, entering=tell_completed)
saga.final(S.ROLLED_BACK, entering=tell_rolled_back)
