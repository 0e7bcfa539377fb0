"""Runs as rows: read whole as snapshots, looked up by what a person types."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select

from saga_engine.domain.snapshot import OpenGate, Parked, Result, Snapshot, Task, UndoEntry, Vote, WaitingEvent
from saga_engine.store.schema import approvals, definitions, effects, inbox, pruned, results, runs, tasks, undo, votes

IDS: sa.BindParameter[Any] = bindparam("ids", expanding=True)

# Primary key of saga_runs.
_RUNS = (
    select(runs, definitions.c.digest)
    .join(definitions, definitions.c.id == runs.c.definition)
    .where(runs.c.id.in_(IDS))
)
# ix_saga_tasks_run_id.
_TASKS = select(tasks).where(tasks.c.run_id.in_(IDS))
# Primary keys of saga_results, saga_undo and saga_inbox: run_id first.
_RESULTS = select(results).where(results.c.run_id.in_(IDS)).order_by(results.c.run_id, results.c.position)
_UNDO = select(undo).where(undo.c.run_id.in_(IDS)).order_by(undo.c.run_id, undo.c.position)
_INBOX = (
    select(inbox).where(inbox.c.run_id.in_(IDS), inbox.c.fate == "waiting").order_by(inbox.c.run_id, inbox.c.number)
)
# ix_saga_approvals_run_id.
_GATES = select(approvals).where(approvals.c.run_id.in_(IDS), approvals.c.outcome.is_(None))
_VOTES = (
    select(votes, approvals.c.run_id)
    .join(approvals, approvals.c.task == votes.c.task)
    .where(approvals.c.run_id.in_(IDS), approvals.c.outcome.is_(None))
    .order_by(votes.c.at)
)
# ix_saga_effects_run_id.
_EFFECTS = select(effects.c.task, effects.c.connection, effects.c.ledger).where(effects.c.run_id == bindparam("run_id"))


def load(db: sa.Connection, ids: Collection[str]) -> dict[str, Snapshot]:
    """The snapshots of these runs; one that does not exist is left out. Locks nothing."""
    if not ids:
        return {}
    wanted = {"ids": list(ids)}
    heads = db.execute(_RUNS, wanted).all()
    parts = {name: _by_run(db.execute(query, wanted)) for name, query in _PARTS.items()}
    return {row.id: _snapshot(row, {name: found[row.id] for name, found in parts.items()}) for row in heads}


def load_one(db: sa.Connection, run_id: str) -> Snapshot | None:
    """The snapshot of one run."""
    return load(db, [run_id]).get(run_id)


def ledgers(db: sa.Connection, run_id: str) -> dict[str, dict[str, str]]:
    """For each step task of the run, the targets it touched: ``{task: {connection: ledger uuid}}``."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in db.execute(_EFFECTS, {"run_id": run_id}):
        found[row.task][row.connection] = row.ledger
    return dict(found)


def known(db: sa.Connection, ids: Collection[str]) -> set[str]:
    """Which of these runs are here, or were pruned. Primary key of saga_runs, unique index of saga_pruned."""
    wanted = {"ids": list(ids)}
    return {row.id for statement in (_HERE, _GONE) for row in db.execute(statement, wanted)} if ids else set()


_HERE = select(runs.c.id).where(runs.c.id.in_(IDS))
_GONE = select(pruned.c.run_id.label("id")).where(pruned.c.run_id.in_(IDS))

_PARTS: Mapping[str, sa.Select[Any]] = {
    "tasks": _TASKS,
    "results": _RESULTS,
    "undo": _UNDO,
    "inbox": _INBOX,
    "gates": _GATES,
    "votes": _VOTES,
}


def _by_run(rows: Iterable[sa.Row[Any]]) -> dict[str, list[sa.Row[Any]]]:
    found: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.run_id].append(row)
    return found


def _snapshot(row: sa.Row[Any], parts: Mapping[str, list[sa.Row[Any]]]) -> Snapshot:
    return Snapshot(
        run_id=row.id,
        saga=row.saga,
        version=row.version,
        digest=row.digest,
        input=row.input,
        starter=row.starter,
        state=row.state,
        status=row.status,
        revision=row.revision,
        transitions=row.transitions,
        open=row.open,
        paused=row.paused,
        cancelling=row.cancelling,
        rollback_to=row.rollback_to,
        visits=json.loads(row.visits),
        tasks=tuple(sorted(map(task_of, parts["tasks"]), key=_made)),
        results=tuple(Result(r.state, r.visit, r.source, r.value, r.revision, r.undone) for r in parts["results"]),
        undo=tuple(UndoEntry(r.position, r.state, r.visit, r.task, r.revision, r.status) for r in parts["undo"]),
        inbox=tuple(WaitingEvent(r.number, r.name, r.payload, r.actor, r.source) for r in parts["inbox"]),
        gate=_gate(parts["gates"], parts["votes"]),
    )


def task_of(row: sa.Row[Any]) -> Task:
    """A row of saga_tasks as the domain knows it."""
    parked = Parked(row.parked_code, row.parked_text, row.parked_outcome) if row.parked_code else None
    return Task(
        name=row.name,
        kind=row.kind,
        state=row.state,
        visit=row.visit,
        position=row.position,
        due_at=row.due_at,
        resumes_at=row.resumes_at,
        attempt=row.attempt,
        failures=row.failures,
        leased_by=row.leased_by,
        ending=row.ending,
        parked=parked,
        outcome=row.outcome,
        about=row.about,
        error=row.error,
        lost_by=row.lost_by,
        lost_dead=row.lost_dead,
    )


def _made(task: Task) -> tuple[int, ...]:
    """In the order in which decisions made them: a name is ``run.revision[.n]``."""
    return tuple(map(int, task.name.split(".")[1:]))


def _gate(gates: list[sa.Row[Any]], given: list[sa.Row[Any]]) -> OpenGate | None:
    if not gates:
        return None
    gate = gates[0]
    return OpenGate(
        task=gate.task,
        roles=tuple(json.loads(gate.roles)),
        need=gate.need,
        digest=gate.digest,
        shows=gate.shows,
        opened_at=gate.opened_at,
        expires_at=gate.expires_at,
        not_starter=gate.not_starter,
        votes=tuple(Vote(v.actor, v.approved, v.reason, v.at) for v in given),
        state=gate.state,
    )
