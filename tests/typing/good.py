# pyright: strict, reportUnusedCallResult=true
"""Every word of the API, in two sagas and a program that runs them. Both type checkers accept it as it is."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto

import sqlalchemy

from saga_engine import (
    Approval,
    Connection,
    Done,
    Engine,
    Event,
    Facts,
    Frozen,
    InDoubt,
    NotDone,
    Outcome,
    Retry,
    Saga,
    Step,
    Verdict,
    hours,
    minutes,
    seconds,
)


class S(Enum):
    EXPORTING = auto()
    LOADING = auto()
    VALIDATING = auto()
    AWAITING_CUTOVER = auto()
    CUTTING_OVER = auto()
    ROLLING_BACK = auto()
    COMPLETED = auto()
    ROLLED_BACK = auto()


class Places(Frozen):
    source: Connection
    target: Connection


class Input(Places):
    table: str
    may_miss: int = 0


class Exported(Frozen):
    path: str
    rows: int


class Loaded(Frozen):
    rows: int


class Report(Frozen):
    missing: int


class Abort(Frozen):
    reason: str


class Chunk(Frozen):
    number: int


abort = Event("abort", Abort, unhandled="reject")


def export(step: Step[Input]) -> Exported:
    kept = step.last_checkpoint(Chunk)
    step.checkpoint(Chunk(number=1 if kept is None else kept.number + 1))
    with step.connect(step.input.source) as db:
        rows = db.scalar(sqlalchemy.text("SELECT count(*) FROM orders"))
    step.progress(10, 40, "chunks")
    return Exported(path=str(step.folder() / step.input.table), rows=int(rows or 0))


def drop_export(step: Step[Input], was: Outcome[Exported]) -> None:
    path = was.result.path if isinstance(was, Done) else str(step.folder())
    step.log.info("export.dropped", path=path)


async def load(step: Step[Input]) -> Loaded:
    def copy(db: sqlalchemy.Connection) -> Loaded:
        step.heartbeat()
        done = db.execute(sqlalchemy.text("INSERT INTO staging DEFAULT VALUES"))
        return Loaded(rows=done.rowcount + step.of(export).rows)

    return step.effect(step.input.target, copy, part="1")


async def unload(step: Step[Input], was: Outcome[Loaded]) -> None:
    def empty(db: sqlalchemy.Connection) -> None:
        _ = db.execute(sqlalchemy.text("DELETE FROM staging"))

    match was:
        case Done(loaded):
            step.log.info("unloading", rows=loaded.rows)
        case InDoubt():
            step.log.warning("unloading", rows="unknown")
    step.effect(step.input.target, empty)


def target_is_empty(step: Step[Input]) -> bool:
    return not step.cancelled


def validate(step: Step[Input]) -> Report:
    return Report(missing=step.of(export).rows - step.of(load).rows)


def close_enough(report: Report, facts: Facts[Input]) -> bool:
    return report.missing <= facts.input.may_miss


def urgent(request: Abort) -> bool:
    return request.reason != ""


def tell_dba(step: Step[Places]) -> None:
    """A ready-made notice, for every saga whose input says where from and where to."""
    step.log.info("approval.waiting", source=step.input.source, run=step.run_id)


go_live = Approval(
    "dba", quorum=2, shows=validate, expires=hours(24), escalate=("dba-lead", hours(4)), not_starter=True
)


def cut_over(step: Step[Input]) -> None:
    verdict: Verdict = step.of(go_live)
    step.log.info("cutting over", approved_by=verdict.actors, at=verdict.decided_at, digest=verdict.digest)


saga = Saga("migrate_table", version=3, states=S, input=Input, start=S.EXPORTING, queue="big")
NET = Retry(8, first=seconds(1), cap=minutes(5), never_on=(PermissionError,))

saga.at(S.EXPORTING).run(export, retry=NET, timeout=hours(2)).undo(drop_export).then(S.LOADING)
(
    saga.at(S.LOADING)
    .run(load, promise="effect", retry=NET, timeout=hours(6), deadline=hours(9), heartbeat=seconds(30))
    .undo(unload, verify=target_is_empty, retry=NET)
    .on(abort, S.ROLLING_BACK, when=urgent)
    .then(S.VALIDATING)
)
(
    saga.at(S.VALIDATING)
    .run(validate, timeout=hours(1), isolation="process")
    .reads_only()
    .when(close_enough, S.AWAITING_CUTOVER)
    .then(S.ROLLING_BACK)
)
(
    saga.at(S.AWAITING_CUTOVER, entering=tell_dba, leaving=tell_dba)
    .approval(go_live)
    .on(abort, S.ROLLING_BACK)
    .then(approved=S.CUTTING_OVER, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK)
)
saga.at(S.CUTTING_OVER).run(cut_over, promise="manual", timeout=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.EXPORTING, S.LOADING, S.VALIDATING).then(failed=S.ROLLING_BACK, timed_out=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK, entering=tell_dba).to(S.ROLLED_BACK)
saga.final(S.COMPLETED, S.ROLLED_BACK, entering=tell_dba)


# --- the second saga: the other words


class D(Enum):
    WAITING = auto()
    CHARGING = auto()
    ROLLING_BACK = auto()
    COMPLETED = auto()
    REFUNDED = auto()
    LEFT_ALONE = auto()


class Schema(Frozen):
    target: Connection
    opens: datetime


class Charged(Frozen):
    rows: int


class FreezeOrder(Frozen):
    ticket: str


freeze = Event("freeze", FreezeOrder, unhandled="defer")
stop = Event("stop", Abort, unhandled="ignore")


def urgent_here(request: Abort, facts: Facts[Schema]) -> bool:
    return request.reason != "" and facts.find(charge) is None


def is_ours(order: FreezeOrder) -> bool:
    return order.ticket.startswith("CHG-")


def charge(step: Step[Schema]) -> Charged:
    step.log.info("charging", ticket=step.of(freeze).ticket, key=step.key)
    stopped = step.find(stop)
    return Charged(rows=1 if stopped is None else len(stopped.reason))


def was_charged(step: Step[Schema]) -> Done[Charged] | NotDone | InDoubt:
    return NotDone() if step.attempt == 1 else InDoubt()


def refund(step: Step[Schema], was: Outcome[Charged]) -> None: ...


other = Saga("charge", version=1, states=D, input=Schema, start=D.WAITING)

(
    other.at(D.WAITING, visits=3)
    .wait(freeze, deadline=hours(48))
    .on(stop, D.ROLLING_BACK, when=urgent_here)
    .when(is_ours, D.CHARGING)
    .then(D.LEFT_ALONE, timed_out=D.ROLLING_BACK)
)
(
    other.at(D.CHARGING)
    .run(charge, retry=Retry(50), timeout=minutes(5), deadline=hours(1), promise="idempotent")
    .verified(was_charged)
    .undo(refund)
    .then(D.COMPLETED, failed=D.ROLLING_BACK, timed_out=D.ROLLING_BACK)
)
other.group(D.WAITING, D.CHARGING, deadline=hours(72)).on(stop, D.ROLLING_BACK).then(timed_out=D.ROLLING_BACK)
other.rolls_back(D.ROLLING_BACK).to(D.REFUNDED)
other.final(D.COMPLETED, D.REFUNDED)
other.final(D.LEFT_ALONE, outcome="failed")


# --- a program that runs them


def operate() -> None:
    with Engine("sqlite:///saga.db", sagas=[saga, other], roles={"dba": ["ann", "bob"]}) as engine:
        places = Input(source=Connection("shop"), target=Connection("dw"), table="orders")
        run = engine.start(saga, places, key="orders-2026-11-22")
        _ = engine.work(concurrency=8, until_idle=True)
        _ = engine.send(run.id, abort, Abort(reason="wrong window"), dedup_key="1")
        for approval in engine.approvals(run.id):
            _ = engine.approve(run.id, shown=approval.digest, actor="ann", reason="counts checked")
            _ = engine.reject(run.id, shown=approval.digest, actor="bob")
        _ = engine.rollback(run.id, to=S.LOADING)
        for _ask in (engine.cancel, engine.retry, engine.pause, engine.resume):
            _ = _ask(run.id, reason="because")
        _ = engine.skip(run.id, reason="done by hand")
        _ = engine.resolve(run.id, done=False, evidence="no rows there")
        _ = (engine.get(run.id), engine.history(run.id), engine.why(run.id), engine.find(saga=saga, state=S.LOADING))
