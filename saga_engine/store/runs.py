"""Runs as rows: read whole as snapshots, by one statement; looked up by what a person types."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import count
from operator import attrgetter
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from msgspec.json import decode
from sqlalchemy import bindparam, func, select

from saga_engine.domain.snapshot import OpenGate, Parked, Result, Snapshot, Task, UndoEntry, Vote, WaitingEvent
from saga_engine.store.compiled import Compiled
from saga_engine.store.entry import Head, Pinned
from saga_engine.store.many import any_of
from saga_engine.store.schema import approvals, definitions, effects, inbox, pruned, results, runs, tasks, undo, votes
from saga_engine.store.schema.story import UNDECIDED

_RUN: Final = (
    "id", "saga", "version", "input", "starter", "state", "status", "revision", "transitions", "open", "paused",
    "cancelling", "rollback_to", "rollback_floor", "visits",
)  # fmt: skip
_TASK: Final = (
    "name", "kind", "state", "visit", "position", "due_at", "resumes_at", "attempt", "failures", "leased_by", "ending",
    "parked_code", "parked_text", "parked_outcome", "outcome", "about", "error", "lost_by", "lost_dead",
)  # fmt: skip
_RESULT: Final = ("position", "state", "visit", "source", "value", "revision", "undone")
_UNDO: Final = ("position", "state", "visit", "suffix", "revision", "status")
_WAITING: Final = ("number", "name", "payload", "actor", "source")
_GATE: Final = ("task", "roles", "need", "digest", "shows", "opened_at", "expires_at", "not_starter", "state")
_VOTE: Final = ("actor", "approved", "reason", "at")
_MORE: Final = (
    "number", "journal_hash", "definition", "queue", "host", "tag", "run_key", "created_at", "updated_at", "entered_at",
    "ended_at", "paused_by", "paused_reason",
)  # fmt: skip
LISTS: Final = {
    "sqlite": (func.json_group_array, func.json_array),
    "postgresql": (func.json_agg, func.json_build_array),
}
"""How rows of a sub-select become one JSON list of lists."""


def _reading(dialect: str, more: tuple[str, ...] = ()) -> sa.Select[Any]:
    """The run and all that belongs to it, in one row: a round trip for each table would cost more than the rows."""
    all_of, one = LISTS[dialect]

    def listed(name: str, table: sa.Table, columns: tuple[str, ...], *conditions: sa.ColumnElement[bool]) -> Any:  # noqa: ANN401  an expression of any type
        rows = select(all_of(one(*(table.c[column] for column in columns)))).where(*conditions)
        return sa.cast(rows.scalar_subquery(), sa.Text).label(name)

    # Primary keys of saga_results, saga_undo and saga_inbox: the run first. ix_saga_tasks_run_id and
    # ix_saga_approvals_run_id.
    gate = (approvals.c.run_id == runs.c.id, UNDECIDED)
    voted = (votes.c.task == approvals.c.task, *gate)
    parts = [
        listed("tasks", tasks, _TASK, tasks.c.run_id == runs.c.id),
        listed("results", results, _RESULT, results.c.run == runs.c.number),
        listed("undo", undo, _UNDO, undo.c.run == runs.c.number),
        listed("inbox", inbox, _WAITING, inbox.c.run_id == runs.c.id, inbox.c.fate == sa.literal_column("'waiting'")),
        listed("gates", approvals, _GATE, *gate),
        listed("votes", votes, _VOTE, *voted),
    ]
    # Primary key of saga_runs.
    columns: list[sa.ColumnElement[Any]] = [*(runs.c[column] for column in _RUN), definitions.c.digest, *parts]
    columns += [runs.c[column] for column in more]
    return select(*columns).join(definitions).where(any_of(runs.c.id, "ids", dialect))


_READING: Final = Compiled({dialect: _reading(dialect) for dialect in LISTS})
# Unique index of tag, twice.
_OTHER: Final = runs.alias("other")
_BEFORE: Final = select(func.max(_OTHER.c.tag)).where(_OTHER.c.tag < runs.c.tag).scalar_subquery().label("tag_before")
_AFTER: Final = select(func.min(_OTHER.c.tag)).where(_OTHER.c.tag > runs.c.tag).scalar_subquery().label("tag_after")
# uq_saga_inbox_dedup; null is no key. No EXISTS: planned while there were no events, it would read those of all runs.
_THIS: Final = (inbox.c.source == bindparam("of"), inbox.c.dedup_key == bindparam("key"))
_ARRIVED: Final = select(inbox.c.number).where(inbox.c.run_id == runs.c.id, *_THIS).scalar_subquery().label("arrived")
_READING_ALL: Final = Compiled(
    {dialect: _reading(dialect, _MORE).add_columns(_BEFORE, _AFTER, _ARRIVED) for dialect in LISTS}
)
# ix_saga_effects_run_id.
_EFFECTS = select(effects.c.task, effects.c.connection, effects.c.ledger).where(effects.c.run_id == bindparam("run_id"))


def load(db: sa.Connection, ids: Collection[str]) -> dict[str, Snapshot]:
    """The snapshots of these runs; one that does not exist is left out. Locks nothing."""
    if not ids:
        return {}
    rows = _READING.execute(db, {"ids": list(ids)})
    return {row[0]: _snapshot(row) for row in rows}


def load_one(db: sa.Connection, run_id: str) -> Snapshot | None:
    """The snapshot of one run."""
    return load(db, [run_id]).get(run_id)


class Stored(NamedTuple):
    """A run, and its *row*: what it is pinned to, its names, its times, and who paused it."""

    run: Snapshot
    row: Any
    head: Head
    neighbours: tuple[str, ...]
    """The tags before and after its own: how much of it is needed to be unique."""
    arrived: bool
    """An event with the key that was asked for has arrived already."""


class EventKey(NamedTuple):
    """By what the sender of an event knows it."""

    source: str
    key: str


def load_row(db: sa.Connection, run_id: str, event: EventKey | None = None) -> Stored | None:
    """The same, with all that there is to say of it, by one statement; also whether that *event* has arrived."""
    source, key = event or (None, None)
    row = _READING_ALL.one_or_none(db, {"ids": [run_id], "of": source, "key": key})
    if row is None:
        return None
    beside = tuple([tag for tag in (row.tag_before, row.tag_after) if tag])
    head = Head(row.number, row.revision, row.journal_hash, Pinned(row.definition, row.queue, row.host))
    return Stored(_snapshot(row[:_SNAPSHOT_COLUMNS]), row, head, beside, row.arrived is not None)


_SNAPSHOT_COLUMNS: Final = len(_reading("sqlite").selected_columns)


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


_IDS: sa.BindParameter[Any] = bindparam("ids", expanding=True)
_HERE = select(runs.c.id).where(runs.c.id.in_(_IDS))
_GONE = select(pruned.c.run_id.label("id")).where(pruned.c.run_id.in_(_IDS))


def _snapshot(row: Sequence[Any]) -> Snapshot:
    """The columns of ``_reading``, in their order: to ask for each by its name takes as long as to read it."""
    run_id, saga, version, given, starter, state, status, revision, transitions, is_open, *marks = row
    paused, cancelling, rollback_to, floor, visits, digest, open_tasks, values, stack, waiting, gates, votes_ = marks
    found_tasks = tuple(sorted(map(_task, _list(open_tasks)), key=_made))
    return Snapshot(
        run_id=run_id,
        saga=saga,
        version=version,
        digest=digest,
        input=given,
        starter=starter,
        state=state,
        status=status,
        revision=revision,
        transitions=transitions,
        open=is_open,
        paused=paused,
        cancelling=cancelling,
        rollback_to=rollback_to,
        rollback_floor=floor,
        visits=decode(visits),
        tasks=found_tasks,
        results=tuple(map(_result, sorted(_list(values)))),
        undo=_stack([_entry(run_id, *fields) for fields in _list(stack)], found_tasks),
        inbox=tuple([WaitingEvent(*fields) for fields in sorted(_list(waiting))]),
        gate=_gate(_list(gates), _list(votes_)),
    )


def _list(text: str | None) -> list[list[Any]]:
    """The rows of a part; PostgreSQL makes null of none."""
    found: list[list[Any]] = decode(text) if text else []
    return found


def _task(row: list[Any]) -> Task:
    """A row of saga_tasks as the domain knows it; the columns are in the order of its fields."""
    name, kind, state, visit, position, due_at, resumes_at, attempt, failures, leased_by, ending, code, text, way = row[
        :14
    ]
    outcome, about, error, lost_by, lost_dead = row[14:]
    return Task(
        name,
        kind,
        state,
        visit,
        position,
        due_at=_moment(due_at),
        resumes_at=_moment(resumes_at),
        attempt=attempt,
        failures=failures,
        leased_by=leased_by,
        ending=ending,
        parked=Parked(code, text, way) if code else None,
        outcome=outcome,
        about=about,
        error=error,
        lost_by=lost_by,
        lost_dead=bool(lost_dead),
    )


def _result(row: list[Any]) -> Result:
    _, state, visit, source, value, revision, undone = row
    return Result(state, visit, source, value, revision, bool(undone))


def _entry(run_id: str, position: int, state: str, visit: int, suffix: str, revision: int, status: Any) -> UndoEntry:  # noqa: ANN401, PLR0917  as stored
    return UndoEntry(position, state, visit, run_id + suffix, revision, status)


def _stack(kept: list[UndoEntry], open_tasks: Sequence[Task]) -> tuple[UndoEntry, ...]:
    """The stack of a run: a step that is open tells its entry itself, at the first place that no row has."""
    known, taken = {entry.task for entry in kept}, {entry.position for entry in kept}
    places = (place for place in count(1) if place not in taken)
    steps = (task for task in open_tasks if task.kind == "step" and task.name not in known)
    told = [UndoEntry(next(places), task.state, task.visit, task.name, _made(task)[0]) for task in steps]
    return tuple(sorted([*kept, *told], key=attrgetter("position")))


def _moment(text: str | None) -> datetime | None:
    """A time as JSON has it: SQLite's text knows no zone, PostgreSQL writes that of the session."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _made(task: Task) -> tuple[int, ...]:
    """In the order in which decisions made them: a name is ``run.revision[.n]``."""
    return tuple(map(int, task.name.split(".")[1:]))


def _gate(gates: list[list[Any]], given: list[list[Any]]) -> OpenGate | None:
    if not gates:
        return None
    task, roles, need, digest, shows, opened_at, expires_at, not_starter, state = gates[0]
    opened, expires = _moment(opened_at), _moment(expires_at)
    assert opened is not None, "a gate is opened at some time"
    assert expires is not None, "an open gate expires"
    voted = [
        Vote(actor, bool(approved), reason, at) for actor, approved, reason, text in given if (at := _moment(text))
    ]
    return OpenGate(
        task=task,
        roles=tuple(decode(roles)),
        need=need,
        digest=digest,
        shows=shows,
        opened_at=opened,
        expires_at=expires,
        not_starter=bool(not_starter),
        votes=tuple(sorted(voted, key=lambda vote: vote.at)),
        state=state,
    )
