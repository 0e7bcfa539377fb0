"""What ``why`` needs to know around a run, read from the store in one go; the reasons themselves are the domain's."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from saga_engine import errors
from saga_engine.domain import why
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.definition.table import Run
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import ids
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.life import row_is_dead
from saga_engine.runtime.views import CommandView, ReasonView, WhyView
from saga_engine.store import definitions, incarnations, inspect, runs
from saga_engine.store.connect import reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


def why_of(door: Door, roles: Mapping[str, Sequence[str]], run_id: str) -> WhyView:
    """Why a run is where it is."""
    return reading(door.store, lambda db: _why(door, db, roles, run_id))


def _why(door: Door, db: "Connection", roles: Mapping[str, Sequence[str]], run_id: str) -> WhyView:
    read = runs.load_row(db, run_id)
    if read is None:
        raise errors.RunNotFound(run=run_id)
    run = read.run
    chart = door.registry.by_digest(run.digest)
    around = _surroundings(door, db, read, chart, roles)
    found = why.why(chart, run, around)
    return WhyView(
        run_id=run_id,
        run=around.run,
        saga=run.saga,
        state=run.state,
        status=run.status,
        since=read.row.entered_at,
        reasons=tuple(_reason(reason) for reason in found),
    )


def waits_for(
    chart: Chart | None, run: Snapshot, now: datetime, budget: Budget, holders: Mapping[str, why.Holder]
) -> str:
    """What a run of a list waits for, in a few words: told from its own rows, and those of who holds its tasks."""
    found = {t.name: holders.get(t.leased_by or "") for t in run.tasks}
    tasks = {name: why.Attempt(holder=holder) for name, holder in found.items() if holder is not None}
    return why.waiting_on(chart, run, why.Surroundings(now=now, run=run.run_id, tasks=tasks, budget=budget))


def holders_of(db: "Connection", found: Iterable[Snapshot]) -> dict[str, why.Holder]:
    """The incarnations that hold tasks of these runs, by id."""
    ids = sorted({t.leased_by for run in found for t in run.tasks if t.leased_by})
    return {row.id: _holder(row) for row in incarnations.by_id(db, ids).values()}


def _reason(reason: why.Reason) -> ReasonView:
    commands = tuple(CommandView(command=one.command, effect=one.effect) for one in reason.next)
    return ReasonView(code=reason.code, sentence=reason.sentence, evidence=reason.evidence, next=commands)


def _surroundings(
    door: Door, db: "Connection", read: runs.Stored, chart: Chart | None, roles: Mapping[str, Sequence[str]]
) -> why.Surroundings:
    run, row, _, neighbours, _ = read
    now = door.store.clock(db)
    living = [one for one in incarnations.living(db) if now < one.lease_until and not row_is_dead(one)]
    here = [one for one in living if row.host in {None, one.host}]
    return why.Surroundings(
        now=now,
        run=ids.short(row.saga, row.tag, neighbours),
        queue=row.queue,
        host=row.host or "",
        entered_at=row.entered_at,
        workers=tuple(_workers(db, here, row.queue)),
        tasks=_attempts(db, run, chart),
        paused=why.Hold(row.paused_by, row.paused_reason or "", row.updated_at) if row.paused else None,
        roles=roles,
        findings=tuple(why.Kept(f.code, f.evidence, f.since) for f in inspect.findings_of(db, run.run_id)),
        budget=door.budget,
    )


def _workers(db: "Connection", living: "Sequence[Row[Any]]", queue: str) -> Sequence[why.Worker]:
    """The live workers that serve the queue, each with the sagas that it has loaded."""
    serving = [one for one in living if queue in json.loads(one.queues)]
    wanted = {number for one in serving for number in json.loads(one.loaded).values()}
    known = {d.id: why.Loaded(d.saga, d.version, d.digest) for d in definitions.by_ids(db, sorted(wanted))}
    return [
        why.Worker(
            host=one.host,
            pid=one.pid,
            slots=one.slots,
            busy=one.busy,
            loaded=tuple(known[number] for number in json.loads(one.loaded).values() if number in known),
            broken=json.loads(one.broken),
        )
        for one in serving
    ]


def _attempts(db: "Connection", run: Snapshot, chart: Chart | None) -> dict[str, why.Attempt]:
    rows = inspect.tasks_of(db, run.run_id)
    holders = incarnations.by_id(db, [row.leased_by for row in rows if row.leased_by])
    return {row.name: _attempt(db, row, holders, chart) for row in rows}


def _attempt(db: "Connection", row: "Row[Any]", holders: "dict[str, Row[Any]]", chart: Chart | None) -> why.Attempt:
    holder = holders.get(row.leased_by) if row.leased_by else None
    return why.Attempt(
        holder=_holder(holder) if holder else None,
        leased_at=row.leased_at if holder else None,
        timeout_at=row.leased_at + limit if holder and (limit := _timeout(chart, row)) else None,
        heard_at=row.heard_at,
        progress=_progress(row.progress),
        progressed_at=row.heard_at if row.progress else None,
        crashes=row.crashes,
        same_error=max(0, inspect.same_error(db, row.error) - 1) if row.error else 0,
    )


def _holder(row: "Row[Any]") -> why.Holder:
    """Whoever looks on its host knows of a process that is gone, before somebody has written it down."""
    gone = row.ended_at is None and row_is_dead(row)
    return why.Holder(row.id, row.host, row.pid, row.renewed_at, row.lease_until, row.ended_at, is_gone=gone)


def _timeout(chart: Chart | None, row: "Row[Any]") -> timedelta | None:
    """How long an attempt of the task may take."""
    activity = chart.activity(row.state) if chart and row.kind in ("step", "undo") else None
    return activity.timeout if isinstance(activity, Run) else None


def _progress(text: str | None) -> str:
    """``12/40 chunks``; ``~`` where the total is not known."""
    if not text:
        return ""
    seen = json.loads(text)
    total = f"{seen['total']:,}" if seen["total"] is not None else "~"
    return f"{seen['done']:,}/{total} {seen['unit']}".rstrip()
