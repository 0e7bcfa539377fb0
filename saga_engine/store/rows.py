"""What a decision writes: the difference between the snapshot before and the snapshot after, as rows by statement."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec.json import Encoder

from saga_engine.domain import commands as c
from saga_engine.domain import line
from saga_engine.domain.events import AttemptLost
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.store import written as w
from saga_engine.store.entry import Entry, NewRun, Pinned, line_hash
from saga_engine.store.many import Stamp


class Batch(defaultdict[str, list[Any]]):
    """Rows to write, by the name of the statement, all of one moment; *stamp* says how the driver takes times."""

    def __init__(self, now: datetime, stamp: Stamp) -> None:
        super().__init__(list)
        self.at, self.now = now, stamp(now)
        self._stamp = stamp

    def time(self, moment: datetime | None) -> Any:  # noqa: ANN401  as the driver takes it
        """A time of a row, or none."""
        return None if moment is None else self._stamp(moment)


def collect(batch: Batch, entry: Entry, number: int, pinned: Pinned, previous: bytes) -> None:
    """Add the rows that one entry writes to *batch*, of the run of that *number*.

    *previous* is the hash of the journal line before.
    """
    before, after, commands = entry.before, entry.decision.after, entry.decision.commands
    event = line.event_text(after.run_id, entry.event)
    told = line.commands_text(after.run_id, after.revision, batch.at, entry.event, commands)
    digest = line_hash(previous, after.revision, batch.at, event, told)
    batch["journal"].append(w.JournalRow(number, after.revision, batch.now, event, told, digest))
    if entry.new:
        batch["runs"].append(_new_run(batch, entry.new, number, after, digest))
    else:
        batch["run_changes"].append(_run_changes(batch, before, after, digest))
    _tasks(batch, entry, pinned)
    _results(batch, number, before, after)
    _undo(batch, number, before, after)
    for command in commands:
        told_by = _TOLD.get(type(command))
        if told_by is not None:
            told_by(batch, command, after)


def _new_run(batch: Batch, new: NewRun, number: int, after: Snapshot, digest: bytes) -> w.NewRunRow:
    return w.NewRunRow(
        number=number,
        id=after.run_id,
        tag=new.tag,
        saga=after.saga,
        version=after.version,
        definition=new.pinned.definition,
        queue=new.pinned.queue,
        run_key=new.run_key,
        input=after.input,
        starter=after.starter,
        created_at=batch.now,
        state=after.state,
        status=after.status,
        rests_in=_rests_in(after),
        open=after.open,
        revision=after.revision,
        transitions=after.transitions,
        visits=_json(after.visits),
        paused=after.paused,
        cancelling=after.cancelling,
        rollback_to=after.rollback_to,
        entered_at=batch.now,
        updated_at=batch.now,
        ended_at=batch.now if after.ended else None,
        journal_hash=digest,
    )


def _run_changes(batch: Batch, before: Snapshot, after: Snapshot, digest: bytes) -> w.RunRow:
    moved = before.transitions != after.transitions
    ended = after.ended and not before.ended
    return w.RunRow(
        after.state,
        after.status,
        _rests_in(after),
        after.open,
        after.revision,
        after.transitions,
        _json(after.visits),
        after.paused,
        after.cancelling,
        after.rollback_to,
        batch.now if moved else None,
        batch.now,
        batch.now if ended else None,
        digest,
        after.run_id,
    )


def _rests_in(run: Snapshot) -> str | None:
    return run.state if run.status in ("waiting", "parked") else None


def _tasks(batch: Batch, entry: Entry, pinned: Pinned) -> None:
    old = {task.name: task for task in entry.before.tasks}
    new = {task.name: task for task in entry.decision.after.tasks}
    batch["tasks_gone"] += [w.TaskGone(name) for name in old if name not in new]
    for name, task in new.items():
        if name not in old:
            batch["tasks"].append(_new_task(batch, task, entry.run_id, pinned))
        elif task is not old[name] and task != old[name]:
            batch["task_changes"].append(_task_changes(batch, old[name], task, forgiven=name in _forgiven(entry)))


def _forgiven(entry: Entry) -> set[str]:
    """The tasks of which an attempt reported, or on which a person decided: from now on they are not suspect.

    That a worker was lost proves nothing of the kind, and a pause decides on nothing.
    """
    if isinstance(entry.event, AttemptLost):
        return set()
    decided = (c.SetDue, c.EndAttempt, c.Park)
    return {command.task for command in entry.decision.commands if isinstance(command, decided)}


def _new_task(batch: Batch, task: Task, run_id: str, pinned: Pinned) -> w.NewTaskRow:
    code, text, outcome = _parked(task)
    return w.NewTaskRow(
        task.name,
        run_id,
        task.kind,
        task.state,
        task.visit,
        task.position,
        pinned.queue,
        pinned.host,
        pinned.definition,
        task.outcome,
        task.about,
        batch.time(task.due_at),
        batch.time(task.resumes_at),
        task.attempt,
        task.leased_by,
        batch.now if task.leased_by else None,
        task.failures,
        0,
        task.lost_by,
        task.lost_dead,
        task.ending,
        code,
        text,
        outcome,
        task.error,
    )


def _task_changes(batch: Batch, old: Task, new: Task, *, forgiven: bool) -> w.TaskRow:
    code, text, outcome = _parked(new)
    return w.TaskRow(
        batch.time(new.due_at),
        batch.time(new.resumes_at),
        new.attempt,
        new.leased_by,
        batch.now if new.leased_by and new.attempt != old.attempt else None,
        new.failures,
        forgiven,
        new.lost_by,
        new.lost_dead,
        new.ending,
        code,
        text,
        outcome,
        new.error,
        new.name,
    )


def _parked(task: Task) -> tuple[str, str, str] | tuple[None, None, None]:
    parked = task.parked
    return (parked.code, parked.text, parked.outcome) if parked else (None, None, None)


def _results(batch: Batch, number: int, before: Snapshot, after: Snapshot) -> None:
    old = before.results
    if after.results is old:
        return
    for position, result in enumerate(after.results, start=1):
        if position > len(old):
            kept = (result.state, result.visit, result.source, result.value, result.revision, result.undone)
            batch["results"].append(w.ResultRow(number, position, *kept))
        elif result.undone != old[position - 1].undone:
            batch["results_undone"].append(w.ResultUndone(result.undone, number, position))


def _undo(batch: Batch, number: int, before: Snapshot, after: Snapshot) -> None:
    old = before.undo
    if after.undo is old:
        return
    for i, entry in enumerate(after.undo):
        if i >= len(old):
            task = entry.task[len(after.run_id) :]
            kept = (entry.position, entry.state, entry.visit, task, entry.revision, entry.status)
            batch["undo"].append(w.UndoRow(number, *kept))
        elif entry.status != old[i].status:
            batch["undo_changes"].append(w.UndoChange(entry.status, number, entry.position))


def _paused(batch: Batch, command: c.Pause, after: Snapshot) -> None:
    batch["pauses"].append(w.PauseRow(command.actor, command.reason, after.run_id))


def _resumed(batch: Batch, _command: c.Resume, after: Snapshot) -> None:
    batch["pauses"].append(w.PauseRow(None, None, after.run_id))


def _kept(batch: Batch, command: c.KeepEvent, after: Snapshot) -> None:
    batch["inbox"].append(_event(after.run_id, command, command.payload, command.actor, "waiting"))


def _noted(batch: Batch, command: c.NoteEvent, after: Snapshot) -> None:
    """One that was taken at once: only its key is remembered."""
    if command.dedup_key is not None:
        batch["inbox"].append(_event(after.run_id, command, "", "", command.fate))


def _event(run_id: str, command: c.KeepEvent | c.NoteEvent, payload: str, actor: str, fate: str) -> w.InboxRow:
    return w.InboxRow(
        run_id=run_id,
        number=command.number,
        name=command.name,
        payload=payload,
        actor=actor,
        source=command.source,
        dedup_key=command.dedup_key,
        fate=fate,
    )


def _taken(batch: Batch, command: c.TakeEvent, after: Snapshot) -> None:
    batch["inbox_changes"].append(w.InboxChange(command.fate, after.run_id, command.number))


def _opened(batch: Batch, command: c.OpenApproval, after: Snapshot) -> None:
    gate = command.gate
    batch["approvals"].append(
        w.ApprovalRow(
            task=gate.task,
            run_id=after.run_id,
            state=gate.state,
            roles=_json(gate.roles),
            need=gate.need,
            digest=gate.digest,
            shows=gate.shows,
            not_starter=gate.not_starter,
            opened_at=batch.time(gate.opened_at),
            expires_at=batch.time(gate.expires_at),
        )
    )


def _counted(batch: Batch, command: c.CountVote, _after: Snapshot) -> None:
    vote = command.vote
    batch["votes"].append(w.VoteRow(command.task, vote.actor, vote.approved, vote.reason, batch.time(vote.at)))


def _widened(batch: Batch, command: c.WidenGate, after: Snapshot) -> None:
    assert after.gate is not None, "a gate that was widened is open"
    batch["approvals_widened"].append(w.ApprovalWidened(_json(after.gate.roles), command.task))


def _closed(batch: Batch, command: c.CloseApproval, _after: Snapshot) -> None:
    batch["approvals_closed"].append(w.ApprovalClosed(command.outcome, command.task))


_TOLD: Final[Mapping[type[c.Command], Callable[[Batch, Any, Snapshot], None]]] = {
    c.Pause: _paused,
    c.Resume: _resumed,
    c.KeepEvent: _kept,
    c.NoteEvent: _noted,
    c.TakeEvent: _taken,
    c.OpenApproval: _opened,
    c.CountVote: _counted,
    c.WidenGate: _widened,
    c.CloseApproval: _closed,
}
"""Commands that say more than the snapshots do."""


def _json(value: Any) -> str:  # noqa: ANN401  any JSON value
    return _ENCODER.encode(value).decode()


_ENCODER: Final = Encoder(order="deterministic")
