"""What is wrong with runs beyond their own rows: kept by the keepers, shown by ``why`` and to whoever queries."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from saga_engine.failpoints import hit
from saga_engine.store.schema import findings, incarnations, tasks
from saga_engine.store.schema.runs import DUE_ACTION, DUE_TIMER

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
    """``{(run, code): evidence}`` of due tasks whose queue, host or definition no live worker serves.

    Of each queue and definition the KEPT_MAX that have been due for longest are looked at: what nobody serves stays
    among them, and a keeper holds up nobody for long, however much is due or waits.
    """
    queues, loaded, hosts = _served(db)
    found: dict[tuple[str, str], str] = {}
    for due in (DUE_ACTION, DUE_TIMER):
        for queue, definition in _lines(db, due):
            first = _first(due, queue, definition, now)
            if queue in queues and definition in loaded:
                first = select(first.subquery()).where(sa.column("host").not_in(hosts))
            for run, host in db.execute(first):
                if queue not in queues:
                    found[run, "W01"] = f"no live worker serves the queue {queue}"
                elif host is not None and host not in hosts:
                    found[run, "W01"] = f"the run's files are on {host}, and no live worker is there"
                else:
                    found[run, "W10"] = "no live worker has this version of the saga loaded"
    return dict(sorted(found.items())[:KEPT_MAX])


def _lines(db: sa.Connection, due: sa.TextClause) -> Iterator[tuple[str, int]]:
    """Each queue and definition that has a task in the index of *due*, found by going from one to the next."""
    line = tasks.c.queue, tasks.c.definition
    queue, definition = "", 0
    while True:
        behind = sa.tuple_(*line) > sa.tuple_(sa.literal(queue), sa.literal(definition))
        found = db.execute(select(*line).where(due, behind).order_by(*line).limit(1)).first()
        if found is None:
            return
        queue, definition = found
        yield queue, definition


def _first(due: sa.TextClause, queue: str, definition: int, now: datetime) -> sa.Select[str, str | None]:
    """Run and host of what has been due for longest. ix_saga_tasks_due or ix_saga_tasks_timers."""
    mine = (tasks.c.queue == queue, tasks.c.definition == definition, tasks.c.due_at <= now)
    return select(tasks.c.run_id, tasks.c.host).where(due, *mine).order_by(tasks.c.due_at).limit(KEPT_MAX)


def _held(db: sa.Connection, now: datetime, ahead: timedelta) -> dict[tuple[str, str], str]:
    """``{(run, code): evidence}`` of the timers that a jump of the clock would have let fire. ix_saga_tasks_timers."""
    if not ahead:
        return {}
    soon = (tasks.c.due_at > now, tasks.c.due_at <= now + ahead)
    held = select(tasks.c.run_id).where(DUE_TIMER, *soon).order_by(tasks.c.due_at).limit(KEPT_MAX)
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
