"""The rows that T2 writes: for each of its statements the values that it takes."""

from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from saga_engine.store.many import Stamp

Time: TypeAlias = Any
"""A time as ``many.stamp_of`` gives it."""


class Batch(defaultdict[str, list[Any]]):
    """Rows to write, by the name of the statement, all of one moment; *stamp* says how the driver takes times."""

    def __init__(self, now: datetime, stamp: Stamp) -> None:
        super().__init__(list)
        self.at, self.now = now, stamp(now)
        self._stamp = stamp

    def time(self, moment: datetime | None) -> Any:  # noqa: ANN401  as the driver takes it
        """A time of a row, or none."""
        return None if moment is None else self._stamp(moment)


class NewRunRow(NamedTuple):
    """saga_runs, at the start."""

    number: int
    id: str
    tag: str
    saga: str
    version: int
    definition: int
    queue: str
    run_key: str | None
    input: str
    starter: str
    created_at: Time
    state: str
    status: str
    rests_in: str | None
    open: bool
    revision: int
    transitions: int
    visits: str
    paused: bool
    cancelling: bool
    rollback_to: str
    rollback_floor: int
    entered_at: Time
    updated_at: Time
    ended_at: Time | None
    journal_hash: bytes


class RunRow(NamedTuple):
    """saga_runs: what a decision changes. A time that is None stays as it was."""

    state: str
    status: str
    rests_in: str | None
    open: bool
    revision: int
    transitions: int
    visits: str
    paused: bool
    cancelling: bool
    rollback_to: str
    rollback_floor: int
    entered_at_new: Time | None
    updated_at: Time
    ended_at_new: Time | None
    journal_hash: bytes
    run: str


class PauseRow(NamedTuple):
    """saga_runs: who holds the run."""

    by: str | None
    why: str | None
    run: str


class JournalRow(NamedTuple):
    """saga_journal."""

    run: int
    revision: int
    at: Time
    event: str
    commands: str
    hash: bytes


class TaskGone(NamedTuple):
    """saga_tasks: over."""

    task: str


class TaskRow(NamedTuple):
    """saga_tasks: what a decision changes. The attempt is one of it: a task can be recorded already leased."""

    due_at: Time | None
    resumes_at: Time | None
    attempt: int
    leased_by: str | None
    leased_at_new: Time | None
    failures: int
    forgiven: bool
    lost_by: str | None
    lost_dead: bool
    ending: str | None
    parked_code: str | None
    parked_text: str | None
    parked_outcome: str | None
    error: str
    task: str


class NewTaskRow(NamedTuple):
    """saga_tasks, new."""

    name: str
    run_id: str
    kind: str
    state: str
    visit: int
    position: int
    queue: str
    host: str | None
    definition: int
    outcome: str
    about: int
    due_at: Time | None
    resumes_at: Time | None
    attempt: int
    leased_by: str | None
    leased_at: Time | None
    failures: int
    crashes: int
    lost_by: str | None
    lost_dead: bool
    ending: str | None
    parked_code: str | None
    parked_text: str | None
    parked_outcome: str | None
    error: str


class ResultRow(NamedTuple):
    """saga_results."""

    run: int
    position: int
    state: str
    visit: int
    source: str
    value: str
    revision: int
    undone: bool


class ResultUndone(NamedTuple):
    """saga_results: whether it counts."""

    undone: bool
    of: int
    place: int


class UndoRow(NamedTuple):
    """saga_undo, a new row or another status of one."""

    run: int
    position: int
    state: str
    visit: int
    suffix: str
    revision: int
    status: str


class InboxRow(NamedTuple):
    """saga_inbox."""

    run_id: str
    number: int
    name: str
    payload: str
    actor: str
    source: str
    dedup_key: str | None
    fate: str


class InboxChange(NamedTuple):
    """saga_inbox: what became of an event."""

    fate: str
    run: str
    place: int


class ApprovalRow(NamedTuple):
    """saga_approvals: a gate that opens."""

    task: str
    run_id: str
    state: str
    roles: str
    need: int
    digest: str
    shows: str
    not_starter: bool
    opened_at: Time
    expires_at: Time


class ApprovalWidened(NamedTuple):
    """saga_approvals: who may answer."""

    roles: str
    gate: str


class VoteRow(NamedTuple):
    """saga_votes."""

    task: str
    actor: str
    approved: bool
    reason: str
    at: Time


class ApprovalClosed(NamedTuple):
    """saga_approvals: how it ended."""

    outcome: str
    gate: str
