"""What is wrong with runs beyond their own rows: kept by the keepers, shown by ``why`` and to whoever queries."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import delete, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from saga_engine.failpoints import hit
from saga_engine.store.schema import findings, incarnations, tasks
from saga_engine.store.schema.runs import DUE_ACTION, DUE_TIMER

KEPT_MAX = 1_000
"""How many runs one kind of finding names: beyond that more rows tell nobody more."""

UNRECORDED = "W25"
"""What a worker says itself: it cannot record what came of an attempt."""

# ix_saga_tasks_run_id. An attempt that began later is not the one that was meant: its worker has died before.
_STILL_HELD = exists().where(
    tasks.c.run_id == findings.c.run_id, tasks.c.leased_by.is_not(None), tasks.c.leased_at <= findings.c.since
)
_KEPT = select(findings.c.run_id, findings.c.code).where(or_(findings.c.code != UNRECORDED, ~_STILL_HELD))
"""What the keepers renew; of what a worker says only what is over."""
_LIVING = select(incarnations.c.queues, incarnations.c.loaded, incarnations.c.host).where(
    incarnations.c.ended_at.is_(None)
)
_LINE = tasks.c.queue, tasks.c.definition
_QUEUE, _DEFINITION = (
    sa.bindparam("queue", type_=tasks.c.queue.type),
    sa.bindparam("definition", type_=tasks.c.definition.type),
)


def renew(db: sa.Connection, now: datetime, ahead: timedelta = timedelta(0)) -> None:
    """Bring the findings up to date: W01 and W10 of due tasks that no live worker serves.

    W18 of timers that would be due had the store's time followed a clock that was set forward, by *ahead*.

    W25 is left, as long as the worker that has said so holds the attempt. Several keepers may do so at once: what one
    has found already the others leave.
    """
    seen = _unserved(db, now) | _held(db, now, ahead)
    kept = {(row.run_id, row.code) for row in db.execute(_KEPT)}
    # In one order: two keepers never wait for each other in a circle.
    for run, code in sorted(kept - set(seen)):
        hit("store.findings.before_delete")
        db.execute(delete(findings).where(findings.c.run_id == run, findings.c.code == code))
    new = sorted(set(seen) - kept)
    if new:
        _insert(db, [{"run_id": run, "code": code, "evidence": seen[run, code], "since": now} for run, code in new])


def say_unrecorded(db: sa.Connection, run: str, evidence: str, now: datetime) -> None:
    """Find W25 of a run, instead of an earlier one; a keeper forgets it when nothing is held any more that was then."""
    forget_unrecorded(db, run)
    _insert(db, [{"run_id": run, "code": UNRECORDED, "evidence": evidence, "since": now}])


def forget_unrecorded(db: sa.Connection, run: str) -> None:
    """What came of the attempt is recorded."""
    hit("store.findings.before_delete")
    db.execute(delete(findings).where(findings.c.run_id == run, findings.c.code == UNRECORDED))


def _insert(db: sa.Connection, rows: list[dict[str, Any]]) -> None:
    insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    hit("store.findings.before_insert")
    db.execute(insert(findings).on_conflict_do_nothing(), rows)


def _unserved(db: sa.Connection, now: datetime) -> dict[tuple[str, str], str]:
    """``{(run, code): evidence}`` of due tasks whose queue, host or definition no live worker serves.

    Of each queue and definition the KEPT_MAX that have been due for longest are looked at: what nobody serves stays
    among them, and a keeper holds up nobody for long, however much is due or waits.
    """
    workers = _living(db)
    found: dict[tuple[str, str], str] = {}
    for due in _DUE:
        for queue, definition in _lines(db, due):
            there = [worker for worker in workers if queue in worker.queues]
            hosts = sorted({worker.host for worker in there if definition in worker.loaded})
            mine = {"queue": queue, "definition": definition, "now": now}
            rows = db.execute(due.elsewhere, {**mine, "hosts": hosts}) if hosts else db.execute(due.first, mine)
            for run, host in rows:
                if not there:
                    found[run, "W01"] = f"no live worker serves the queue {queue}"
                elif host is not None and host not in {worker.host for worker in there}:
                    found[run, "W01"] = f"the run's files are on {host}, and no live worker is there"
                else:
                    found[run, "W10"] = "no live worker has this version of the saga loaded"
    return dict(sorted(found.items())[:KEPT_MAX])


class _Due:
    """What is asked of one index of due tasks, put together once: ix_saga_tasks_due or ix_saga_tasks_timers."""

    def __init__(self, due: sa.TextClause) -> None:
        queue, definition = _LINE
        first = select(*_LINE).where(due).order_by(*_LINE).limit(1)
        self.beside = first.where(queue == _QUEUE, definition > _DEFINITION)
        """The definition that comes next in the index, of the same queue."""
        self.behind = first.where(queue > _QUEUE)
        """The queue that comes next, and its first definition. Two statements, for where SQLite is asked for a pair
        that is larger than another it reads all that have the same."""
        mine = (tasks.c.queue == _QUEUE, tasks.c.definition == _DEFINITION, tasks.c.due_at <= sa.bindparam("now"))
        self.first = select(tasks.c.run_id, tasks.c.host).where(due, *mine).order_by(tasks.c.due_at).limit(KEPT_MAX)
        """Run and host of what has been due for longest."""
        hosts: sa.BindParameter[str] = sa.bindparam("hosts", expanding=True)
        self.elsewhere = select(self.first.subquery()).where(sa.column("host").not_in(hosts))
        """Those of them whose host is none of these."""


_DUE = _Due(DUE_ACTION), _Due(DUE_TIMER)


def _lines(db: sa.Connection, due: _Due) -> Iterator[tuple[str, int]]:
    """Each queue and definition that has a task in the index of *due*, found by going from one to the next."""
    queue, definition = "", 0
    while (
        found := db.execute(due.beside, {"queue": queue, "definition": definition}).first()
        or db.execute(due.behind, {"queue": queue}).first()
    ) is not None:
        queue, definition = found
        yield queue, definition


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


class _Worker(NamedTuple):
    """What one serves."""

    queues: frozenset[str]
    loaded: frozenset[int]
    host: str


def _living(db: sa.Connection) -> list[_Worker]:
    return [
        _Worker(frozenset(json.loads(row.queues)), frozenset(json.loads(row.loaded).values()), row.host)
        for row in db.execute(_LIVING)
    ]
