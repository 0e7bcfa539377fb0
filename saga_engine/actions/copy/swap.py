"""CUTTING_OVER: the staging table takes the target's place; the old table is kept under another name."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from saga_engine.actions.copy.drift import refuse_drift, refuse_hindrances
from saga_engine.actions.copy.load import load, prepared
from saga_engine.actions.copy.plan import CutOver, Loaded, Move, Plan, Report
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.staged import refuse_changed
from saga_engine.actions.copy.validate import validate
from saga_engine.domain.definition.facts import Step


class Swapped(CutOver):
    """What the ledger keeps of the swap: the foreign keys, too, that nobody has proved yet (*unproved*).

    It reads what was kept before there were any.
    """

    unproved: tuple[str, ...] = ()


def cut_over(step: Step[Move]) -> CutOver:
    """Swap in one transaction, having read every row of the staging table once more, which nobody else can change.

    Then, where the table has foreign keys to others, let the database prove them, in a transaction of its own: rows of
    theirs may have gone since the load was proved. One that does not hold stops the swap before it begins; between the
    two looks, it stops the step after the swap, until a person has mended the rows.

    ``TargetChanged`` if the target's schema is not the planned one any more, ``CannotReplace`` if something hangs on it
    by now that would stay with the kept table, ``StagingChanged`` if the staging table is not the validated one,
    ``MoveError`` for such a foreign key. PostgreSQL: fails with LockNotAvailable after three seconds behind other users
    of a table, and changes nothing; to be tried again. SQLite: nobody else can write to the file meanwhile.
    """
    plan, loaded, report = step.of(preflight), step.of(load), step.of(validate)
    done = step.effect(step.input.target, _swaps(plan, loaded, report))
    if done.unproved:
        done = step.effect(step.input.target, _proves(plan, done), part="foreign keys")
    return CutOver(table=done.table, kept=done.kept, rows=done.rows, statements=done.statements)


def _swaps(plan: Plan, loaded: Loaded, report: Report) -> Callable[[Connection], Swapped]:
    def swap(db: Connection) -> Swapped:
        dialect = prepared(db, plan)
        refuse_drift(plan, dialect.fingerprint(db, plan.target))  # before the long look
        if plan.before.exists:  # else LOADING has asked: the harm would be done
            refuse_hindrances(dialect.refusals(db, plan.target))
        dialect.freeze(db, plan)
        refuse_changed(db, plan, report.validated)
        unproved = dialect.to_prove(db, plan)
        statements = dialect.swap(db, plan)
        return Swapped(
            table=str(plan.target),
            kept=str(plan.kept) if plan.before.exists else "",
            rows=loaded.rows,
            statements=tuple(statements),
            unproved=tuple(unproved),
        )

    return swap


def _proves(plan: Plan, done: Swapped) -> Callable[[Connection], Swapped]:
    def prove(db: Connection) -> Swapped:
        statements = prepared(db, plan).prove(db, plan, done.unproved)
        return done.model_copy(update={"statements": (*done.statements, *statements), "unproved": ()})

    return prove
