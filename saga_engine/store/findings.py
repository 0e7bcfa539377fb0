"""What is wrong with runs beyond their own rows: kept by the keepers, shown by ``why`` and to whoever queries."""

import json
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from saga_engine.failpoints import hit
from saga_engine.store.schema import findings, incarnations, tasks

KEPT_MAX = 1_000
"""How many runs one kind of finding names: beyond that more rows tell nobody more."""


def renew(db: sa.Connection, now: datetime, ahead: timedelta = timedelta(0)) -> None:
    """Bring the findings up to date: W01 and W10 of due tasks that no live worker serves.

    W18 of timers that would be due had the store's time followed a clock that was set forward, by *ahead*.

    Several keepers may do so at once: what one has found already the others leave.
    """
    seen = _unserved(db, now) | _held(db, now, ahead)
    kept = {(row.run_id, row.code) for row in db.execute(select(findings.c.run_id, findings.c.code))}
    # In one order: two keepers never wait for each other in a circle.
    for run, code in sorted(kept - set(seen)):
        hit("store.findings.before_delete")
        db.execute(delete(findings).where(findings.c.run_id == run, findings.c.code == code))
    new = sorted(set(seen) - kept)
    if new:
        insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
        rows = [{"run_id": run, "code": code, "evidence": seen[run, code], "since": now} for run, code in new]
        hit("store.findings.before_insert")
        db.execute(insert(findings).on_conflict_do_nothing(), rows)


def _unserved(db: sa.Connection, now: datetime) -> dict[tuple[str, str], str]:
    """``{(run, code): evidence}`` of due tasks whose queue, host or definition no live worker serves."""
    queues, loaded, hosts = _served(db)
    due = (
        select(tasks.c.run_id, tasks.c.queue, tasks.c.definition, tasks.c.host)
        .where(tasks.c.leased_by.is_(None), tasks.c.due_at.is_not(None), tasks.c.due_at <= now)
        .where(tasks.c.queue.not_in(queues) | tasks.c.definition.not_in(loaded) | tasks.c.host.not_in(hosts))
        .order_by(tasks.c.due_at)
        .limit(KEPT_MAX)
    )
    found: dict[tuple[str, str], str] = {}
    for row in db.execute(due):
        if row.queue not in queues:
            found[row.run_id, "W01"] = f"no live worker serves the queue {row.queue}"
        elif row.host is not None and row.host not in hosts:
            found[row.run_id, "W01"] = f"the run's files are on {row.host}, and no live worker is there"
        else:
            found[row.run_id, "W10"] = "no live worker has this version of the saga loaded"
    return found


def _held(db: sa.Connection, now: datetime, ahead: timedelta) -> dict[tuple[str, str], str]:
    """``{(run, code): evidence}`` of the timers that a jump of the clock would have let fire."""
    if not ahead:
        return {}
    held = (
        select(tasks.c.run_id)
        .where(
            tasks.c.kind == "timer", tasks.c.leased_by.is_(None), tasks.c.due_at > now, tasks.c.due_at <= now + ahead
        )
        .order_by(tasks.c.due_at)
        .limit(KEPT_MAX)
    )
    jump = timedelta(seconds=round(ahead.total_seconds()))
    text = (
        f"the clock of the host was set forward by {jump}; no timer fires early, until it has stood there for a while"
    )
    return {(run, "W18"): text for run in db.execute(held).scalars()}


def _served(db: sa.Connection) -> tuple[list[str], list[int], list[str]]:
    rows = db.execute(
        select(incarnations.c.queues, incarnations.c.loaded, incarnations.c.host).where(
            incarnations.c.ended_at.is_(None)
        )
    ).all()
    queues: set[str] = {queue for row in rows for queue in json.loads(row.queues)}
    loaded: set[Any] = {row_id for row in rows for row_id in json.loads(row.loaded).values()}
    return sorted(queues), sorted(loaded), sorted({row.host for row in rows})
