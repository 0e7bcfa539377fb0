"""What is wrong with runs beyond their own rows: kept by the keeper, shown by ``why`` and to whoever queries the store."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import delete, insert, select

from saga_engine.store.schema import findings, incarnations, tasks

KEPT_MAX = 1_000
"""How many runs one kind of finding names: beyond that more rows tell nobody more."""


def renew(db: sa.Connection, now: datetime) -> None:
    """Bring the findings up to date: W01 and W10 of due tasks that no live worker serves."""
    seen = {(run, code): evidence for run, code, evidence in _unserved(db, now)}
    kept = {(row.run_id, row.code) for row in db.execute(select(findings.c.run_id, findings.c.code))}
    for run, code in kept - set(seen):
        db.execute(delete(findings).where(findings.c.run_id == run, findings.c.code == code))
    new = [
        {"run_id": run, "code": code, "evidence": evidence, "since": now}
        for (run, code), evidence in seen.items()
        if (run, code) not in kept
    ]
    if new:
        db.execute(insert(findings), new)


def _unserved(db: sa.Connection, now: datetime) -> list[tuple[str, str, str]]:
    """``(run, code, evidence)`` of due tasks whose queue, or whose definition, no live worker serves."""
    queues, loaded = _served(db)
    due = (
        select(tasks.c.run_id, tasks.c.queue, tasks.c.definition)
        .where(tasks.c.leased_by.is_(None), tasks.c.due_at.is_not(None), tasks.c.due_at <= now)
        .where(tasks.c.queue.not_in(queues) | tasks.c.definition.not_in(loaded))
        .limit(KEPT_MAX)
    )
    found: dict[tuple[str, str], str] = {}
    for row in db.execute(due):
        if row.queue not in queues:
            found[row.run_id, "W01"] = f"no live worker serves the queue {row.queue}"
        else:
            found[row.run_id, "W10"] = "no live worker has this version of the saga loaded"
    return [(run, code, evidence) for (run, code), evidence in found.items()]


def _served(db: sa.Connection) -> tuple[list[str], list[int]]:
    rows = db.execute(
        select(incarnations.c.queues, incarnations.c.loaded).where(incarnations.c.ended_at.is_(None))
    ).all()
    queues: set[str] = {queue for row in rows for queue in json.loads(row.queues)}
    loaded: set[Any] = {row_id for row in rows for row_id in json.loads(row.loaded).values()}
    return sorted(queues), sorted(loaded)
