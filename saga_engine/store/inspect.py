"""What people look at: lists, counts, names, approvals, workers. Read only, in short pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select

from saga_engine.store.compiled import Compiled
from saga_engine.store.schema import approvals, definitions, findings, runs, tasks, votes
from saga_engine.store.schema.runs import FAILING, RESTING
from saga_engine.store.schema.story import UNDECIDED

OPEN_SHOWN: Final = 200
"""How many of the gates that wait for people a list shows."""
LIVE = ("running", "waiting", "parked")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs a list shows; None: all. *before* is the id that the page before ended with."""

    saga: str | None = None
    state: str | None = None
    status: str | None = None
    live: bool | None = None
    since: datetime | None = None
    before: str | None = None
    limit: int = 50


def find(db: sa.Connection, wanted: Wanted) -> Sequence[sa.Row[Any]]:
    """Rows of saga_runs, the newest first.

    Primary key, or ix_saga_runs_saga_created with a saga; what is live, and has perhaps been for years, by
    ix_saga_runs_live.
    """
    if wanted.status in LIVE:
        return db.execute(_found(wanted, wanted.status)).all()
    if wanted.live and wanted.status is None:
        each = [row for status in LIVE for row in db.execute(_found(wanted, status))]
        return sorted(each, key=lambda row: row.id, reverse=True)[: wanted.limit]
    return db.execute(_found(wanted, None)).all()


def _found(wanted: Wanted, live_in: str | None) -> sa.Select[Any]:
    """With a live status its index is said to hold whatever is asked for: a CHECK of the table knows, no planner."""
    equal = {runs.c.saga: wanted.saga, runs.c.state: wanted.state, runs.c.status: live_in or wanted.status}
    first = runs.c.saga if live_in is None else runs.c.status
    query = _newest(first, equal.pop(first), wanted.before).limit(wanted.limit)
    for column, value in equal.items():
        if value is not None:
            query = query.where(column == value)
    if live_in is not None:
        query = query.where(runs.c.ended_at.is_(None))
    if wanted.live is not None:
        query = query.where(runs.c.ended_at.is_(None) if wanted.live else runs.c.ended_at.is_not(None))
    if wanted.since is not None:
        query = query.where(runs.c.created_at >= wanted.since)
    return query


def _newest(first: sa.Column[Any], value: str | None, before: str | None) -> sa.Select[Any]:
    """Runs before that one, the newest first; with a *value* those that have it in *first*, by the index of both.

    That is said as a range and an order of two columns: where PostgreSQL is told that one column equals a value, it
    goes through the ids of all runs instead, and reads all that have come since.
    """
    if value is None:
        query = select(runs).order_by(runs.c.id.desc())
        return query if before is None else query.where(runs.c.id < before)
    end = first <= value if before is None else sa.tuple_(first, runs.c.id) < sa.tuple_(value, before)
    return select(runs).where(first >= value, end).order_by(first.desc(), runs.c.id.desc())


def counts(db: sa.Connection) -> dict[tuple[str, str, str], int]:
    """How many live runs each (saga, state, status) has. Those that rest by ix_saga_runs_resting alone.

    Those that run are looked at one by one, by ix_saga_runs_live: they are as many as the workers can keep moving.
    """
    return {(saga, state, status): n for saga, state, status, n in db.execute(_COUNTS)}


# Counted first, and joined to their definitions then: a join before that would be one for each run.
_RUNS: Final = func.count().label("runs")
_RESTING: Final = (
    select(runs.c.definition, runs.c.rests_in.label("state"), runs.c.status, _RUNS)
    .where(RESTING)
    .group_by(runs.c.definition, runs.c.rests_in, runs.c.status)
)
_RUNNING: Final = (
    select(runs.c.definition, runs.c.state, runs.c.status, _RUNS)
    .where(runs.c.status == sa.literal_column("'running'"), runs.c.ended_at.is_(None))
    .group_by(runs.c.definition, runs.c.state, runs.c.status)
)
_LIVE: Final = sa.union_all(_RESTING, _RUNNING).subquery("live")
_TOGETHER: Final = sa.cast(func.sum(_LIVE.c.runs), sa.Integer).label("runs")
_COUNTS: Final = (
    select(definitions.c.saga, _LIVE.c.state, _LIVE.c.status, _TOGETHER)
    .join(definitions, definitions.c.id == _LIVE.c.definition)
    .group_by(definitions.c.saga, _LIVE.c.state, _LIVE.c.status)
)
_PINNED: Final = (
    select(definitions.c.saga, definitions.c.version, definitions.c.digest, _TOGETHER)
    .join(definitions, definitions.c.id == _LIVE.c.definition)
    .group_by(definitions.c.saga, definitions.c.version, definitions.c.digest)
    .order_by(definitions.c.saga, definitions.c.version)
)


def row_of(db: sa.Connection, run_id: str) -> Any:  # noqa: ANN401  a row of saga_runs, or None
    """The run's row. Primary key."""
    return _ROW.one_or_none(db, {"run": run_id})


def standing(db: sa.Connection, run_id: str) -> Any:  # noqa: ANN401  as said
    """``(status, paused, gate)`` of a run; *gate*: the task of its open one. Primary key, ix_saga_approvals_run_id."""
    return _STANDING.one_or_none(db, {"run": run_id})


def by_key(db: sa.Connection, key: str) -> Any:  # noqa: ANN401  a row of saga_runs, or None
    """The run with that run key. Unique index."""
    return _BY_KEY.one_or_none(db, {"key": key})


def latest(db: sa.Connection, saga: str) -> str | None:
    """The id of the saga's latest run. ix_saga_runs_saga_created."""
    return db.execute(_LATEST, {"saga": saga}).scalar_one_or_none()


_ROW: Final = Compiled(select(runs).where(runs.c.id == bindparam("run")))
_GATE: Final = select(approvals.c.task).where(approvals.c.run_id == runs.c.id, UNDECIDED)
_STANDING: Final = Compiled(
    select(runs.c.status, runs.c.paused, _GATE.scalar_subquery().label("gate")).where(runs.c.id == bindparam("run"))
)
_BY_KEY: Final = Compiled(select(runs).where(runs.c.run_key == bindparam("key")))
_LATEST: Final = select(runs.c.id).where(runs.c.saga == bindparam("saga")).order_by(runs.c.id.desc()).limit(1)


def by_tag(db: sa.Connection, *prefixes: str, saga: str = "", limit: int = 5) -> list[tuple[str, str, str]]:
    """``(id, saga, tag)`` of runs, if need be of *saga*, whose tag begins so. Unique index of tag, for each prefix."""
    query = select(runs.c.id, runs.c.saga, runs.c.tag).limit(limit)
    query = query.where(sa.or_(*(_between(runs.c.tag, prefix) for prefix in prefixes)))
    if saga:
        query = query.where(runs.c.saga == saga)
    return [(row.id, row.saga, row.tag) for row in db.execute(query)]


def by_id_prefix(db: sa.Connection, prefix: str, limit: int = 5) -> list[tuple[str, str, str]]:
    """``(id, saga, tag)`` of runs whose id begins with *prefix*. Primary key."""
    query = select(runs.c.id, runs.c.saga, runs.c.tag).where(_between(runs.c.id, prefix)).limit(limit)
    return [(row.id, row.saga, row.tag) for row in db.execute(query)]


def _between(column: sa.Column[str], prefix: str) -> sa.ColumnElement[bool]:
    """A prefix as a range, served by a plain index: these columns are compared byte by byte, and hold no "~"."""
    return sa.and_(column >= prefix, column < prefix + "~")


def neighbours(db: sa.Connection, tag: str) -> tuple[str, ...]:
    """The tags before and after *tag*: how much of it is needed to be unique. Unique index of tag, twice."""
    return tuple(neighbour for neighbour in _NEIGHBOURS.execute(db, {"of": tag})[0] if neighbour)


_BEFORE: Final = select(func.max(runs.c.tag)).where(runs.c.tag < bindparam("of"))
_AFTER: Final = select(func.min(runs.c.tag)).where(runs.c.tag > bindparam("of"))
BESIDE: Final = (_BEFORE.scalar_subquery().label("before"), _AFTER.scalar_subquery().label("after"))
"""The tags before and after the one that is bound as *of*."""
_NEIGHBOURS: Final = Compiled(select(*BESIDE))


def tasks_of(db: sa.Connection, run_id: str) -> Sequence[Any]:
    """The open tasks of a run with all their columns. ix_saga_tasks_run_id."""
    return _TASKS.execute(db, {"run": run_id})


_TASKS: Final = Compiled(select(tasks).where(tasks.c.run_id == bindparam("run")).order_by(tasks.c.position))


def open_approvals(db: sa.Connection, run_id: str | None = None) -> Sequence[sa.Row[Any]]:
    """Gates that wait for people, the first to expire first: OPEN_SHOWN of all, or those of one run.

    Each with facts of its run; *pinned* is the digest of its definition. ix_saga_approvals_open; with a run
    ix_saga_approvals_run_id.
    """
    given = (
        select(func.count())
        .select_from(votes)
        .where(votes.c.task == approvals.c.task, votes.c.approved)
        .scalar_subquery()
    )
    query = (
        select(
            approvals,
            given.label("have"),
            runs.c.saga,
            runs.c.version,
            runs.c.tag,
            runs.c.starter,
            definitions.c.digest.label("pinned"),
        )
        .join(runs, runs.c.id == approvals.c.run_id)
        .join(definitions, definitions.c.id == runs.c.definition)
        .where(approvals.c.outcome.is_(None) if run_id is None else sa.and_(approvals.c.run_id == run_id, UNDECIDED))
        .order_by(approvals.c.expires_at)
        .limit(OPEN_SHOWN)
    )
    return db.execute(query).all()


def votes_of(db: sa.Connection, gates: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    """The answers given at each of these gates (its task), in order; none where there are none. Primary key."""
    found: dict[str, list[sa.Row[Any]]] = {}
    for row in db.execute(_VOTES, {"gates": gates}) if gates else ():
        found.setdefault(row.task, []).append(row)
    return found


_VOTES: Final = select(votes).where(votes.c.task.in_(bindparam("gates", expanding=True))).order_by(votes.c.at)


def findings_of(db: sa.Connection, run_id: str) -> Sequence[sa.Row[Any]]:
    """What the keeper saw of a run. Primary key of saga_findings."""
    return db.execute(select(findings).where(findings.c.run_id == run_id)).all()


def same_error(db: sa.Connection, error: str, limit: int = 100) -> int:
    """How many runs have a task whose last failure says the same, counted up to *limit*. ix_saga_tasks_failing."""
    matching = select(tasks.c.run_id).where(FAILING, tasks.c.error == error).distinct().limit(limit).subquery()
    return int(db.execute(select(func.count()).select_from(matching)).scalar_one())


def durability(db: sa.Connection) -> Mapping[str, str]:
    """The settings of this session that decide what a crash can take away, as the database itself states them."""
    if db.dialect.name == "postgresql":
        names: tuple[str, ...] = ("server_version", "fsync", "synchronous_commit", "full_page_writes")
        return {name: str(db.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names}
    names = ("journal_mode", "synchronous", "foreign_keys")
    found = {name: str(db.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names}
    return {"sqlite_version": str(db.exec_driver_sql("SELECT sqlite_version()").scalar_one()), **found}


def pinned(db: sa.Connection) -> Sequence[sa.Row[Any, Any, Any, int]]:
    """``(saga, version, digest, runs)``: how many live runs go by which definition. As for ``counts``."""
    return db.execute(_PINNED).all()


def taskless(db: sa.Connection, limit: int) -> Sequence[sa.Row[Any]]:
    """Live runs without an open task, which nobody would ever look at again; none, unless rows were changed by hand.

    ix_saga_runs_live, and ix_saga_tasks_run_id for each of its rows.
    """
    has_task = sa.exists().where(tasks.c.run_id == runs.c.id)
    return db.execute(select(runs).where(runs.c.ended_at.is_(None), ~has_task).limit(limit)).all()


def parked_notices(db: sa.Connection, limit: int) -> Sequence[sa.Row[Any]]:
    """Ended runs with a notice that failed for good (W22), each with ``parked_text``. Tasks of ended runs are few."""
    query = (
        select(runs, tasks.c.parked_text)
        .join(tasks, tasks.c.run_id == runs.c.id)
        .where(tasks.c.parked_code.is_not(None), runs.c.ended_at.is_not(None))
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return db.execute(query).all()
