"""What a decision writes: the difference between the snapshot before and the snapshot after, as rows by statement."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from saga_engine.domain import codec
from saga_engine.domain import commands as c
from saga_engine.domain.events import AttemptLost
from saga_engine.domain.snapshot import OpenGate, Snapshot, Task
from saga_engine.store.entry import Entry, NewRun, Pinned, line_hash

Batch = dict[str, list[dict[str, Any]]]
"""Rows to write, by the name of the statement."""


def collect(batch: Batch, entry: Entry, pinned: Pinned, previous: bytes, now: datetime) -> None:
    """Add the rows that one entry writes to *batch*, chained to the journal line whose hash is *previous*."""
    before, after, commands = entry.before, entry.decision.after, entry.decision.commands
    event, told = codec.dump(entry.event), codec.dump(commands)
    digest = line_hash(previous, after.revision, now, event, told)
    batch["journal"].append(
        {
            "run_id": after.run_id,
            "revision": after.revision,
            "at": now,
            "event": event,
            "commands": told,
            "hash": digest,
        }
    )
    if entry.new:
        batch["runs"].append(_new_run(entry.new, after, digest, now))
    else:
        batch["run_changes"].append(_run_changes(before, after, digest, now))
    _pauses(batch, commands, after)
    _tasks(batch, entry, pinned, now)
    _results(batch, before, after)
    _undo(batch, before, after)
    _inbox(batch, commands, after)
    _approvals(batch, commands, after)


def _moving_part(after: Snapshot, digest: bytes, now: datetime) -> dict[str, Any]:
    return {
        "state": after.state,
        "status": after.status,
        "open": after.open,
        "revision": after.revision,
        "transitions": after.transitions,
        "visits": json.dumps(dict(after.visits), separators=(",", ":"), sort_keys=True),
        "paused": after.paused,
        "cancelling": after.cancelling,
        "rollback_to": after.rollback_to,
        "updated_at": now,
        "journal_hash": digest,
    }


def _new_run(new: NewRun, after: Snapshot, digest: bytes, now: datetime) -> dict[str, Any]:
    fixed = {
        "id": after.run_id,
        "tag": new.tag,
        "saga": after.saga,
        "version": after.version,
        "input": after.input,
        "definition": new.pinned.definition,
        "queue": new.pinned.queue,
        "run_key": new.run_key,
        "starter": after.starter,
        "created_at": now,
        "entered_at": now,
        "ended_at": now if after.ended else None,
    }
    return {**fixed, **_moving_part(after, digest, now)}


def _run_changes(before: Snapshot, after: Snapshot, digest: bytes, now: datetime) -> dict[str, Any]:
    moved = before.transitions != after.transitions
    ended = after.ended and not before.ended
    return {
        "run": after.run_id,
        **_moving_part(after, digest, now),
        "entered_at_new": now if moved else None,
        "ended_at_new": now if ended else None,
    }


def _pauses(batch: Batch, commands: Sequence[c.Command], after: Snapshot) -> None:
    for command in commands:
        if isinstance(command, c.Pause):
            batch["pauses"].append({"run": after.run_id, "by": command.actor, "why": command.reason})
        elif isinstance(command, c.Resume):
            batch["pauses"].append({"run": after.run_id, "by": None, "why": None})


def _tasks(batch: Batch, entry: Entry, pinned: Pinned, now: datetime) -> None:
    old = {task.name: task for task in entry.before.tasks}
    new = {task.name: task for task in entry.decision.after.tasks}
    forgiven = _forgiven(entry)
    batch["tasks_gone"] += [{"ta": name} for name in old if name not in new]
    for name, task in new.items():
        if name not in old:
            batch["tasks"].append(_new_task(task, entry.run_id, pinned, now))
        elif task is not old[name] and task != old[name]:
            batch["task_changes"].append(_task_changes(old[name], task, now, forgiven=name in forgiven))


def _forgiven(entry: Entry) -> set[str]:
    """The tasks of which an attempt reported, or on which a person decided: from now on they are not suspect.

    That a worker was lost proves nothing of the kind, and a pause decides on nothing.
    """
    if isinstance(entry.event, AttemptLost):
        return set()
    decided = (c.SetDue, c.EndAttempt, c.Park)
    return {command.task for command in entry.decision.commands if isinstance(command, decided)}


def _task_part(task: Task) -> dict[str, Any]:
    """What decisions change. The attempt is one of it: a task can be recorded already leased."""
    parked = task.parked
    return {
        "due_at": task.due_at,
        "resumes_at": task.resumes_at,
        "attempt": task.attempt,
        "leased_by": task.leased_by,
        "failures": task.failures,
        "lost_by": task.lost_by,
        "lost_dead": task.lost_dead,
        "ending": task.ending,
        "error": task.error,
        "parked_code": parked and parked.code,
        "parked_text": parked and parked.text,
        "parked_outcome": parked and parked.outcome,
    }


def _new_task(task: Task, run_id: str, pinned: Pinned, now: datetime) -> dict[str, Any]:
    return {
        "name": task.name,
        "run_id": run_id,
        "kind": task.kind,
        "state": task.state,
        "visit": task.visit,
        "position": task.position,
        "queue": pinned.queue,
        "host": pinned.host,
        "definition": pinned.definition,
        "outcome": task.outcome,
        "about": task.about,
        "crashes": 0,
        "leased_at": now if task.leased_by else None,
        **_task_part(task),
    }


def _task_changes(old: Task, new: Task, now: datetime, *, forgiven: bool) -> dict[str, Any]:
    leased_at = now if new.leased_by and new.attempt != old.attempt else None
    return {"ta": new.name, "forgiven": forgiven, "leased_at_new": leased_at, **_task_part(new)}


def _results(batch: Batch, before: Snapshot, after: Snapshot) -> None:
    for position, result in enumerate(after.results, start=1):
        if position > len(before.results):
            batch["results"].append(
                {
                    "run_id": after.run_id,
                    "position": position,
                    "state": result.state,
                    "visit": result.visit,
                    "source": result.source,
                    "value": result.value,
                    "revision": result.revision,
                    "undone": result.undone,
                }
            )
        elif result.undone != before.results[position - 1].undone:
            batch["results_undone"].append({"r": after.run_id, "po": position, "undone": result.undone})


def _undo(batch: Batch, before: Snapshot, after: Snapshot) -> None:
    for i, entry in enumerate(after.undo):
        if i >= len(before.undo):
            batch["undo"].append(
                {
                    "run_id": after.run_id,
                    "position": entry.position,
                    "state": entry.state,
                    "visit": entry.visit,
                    "task": entry.task,
                    "revision": entry.revision,
                    "status": entry.status,
                }
            )
        elif entry.status != before.undo[i].status:
            batch["undo_changes"].append({"r": after.run_id, "po": entry.position, "status": entry.status})


def _inbox(batch: Batch, commands: Sequence[c.Command], after: Snapshot) -> None:
    for command in commands:
        match command:
            case c.KeepEvent():
                batch["inbox"].append(_event_row(after.run_id, command, command.payload, command.actor, "waiting"))
            case c.NoteEvent(dedup_key=key, fate=fate) if key is not None:
                batch["inbox"].append(_event_row(after.run_id, command, "", "", fate))
            case c.TakeEvent(number=number, fate=fate):
                batch["inbox_changes"].append({"r": after.run_id, "nu": number, "fate": fate})
            case _:
                pass


def _event_row(run_id: str, command: c.KeepEvent | c.NoteEvent, payload: str, actor: str, fate: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "number": command.number,
        "name": command.name,
        "payload": payload,
        "actor": actor,
        "source": command.source,
        "dedup_key": command.dedup_key,
        "fate": fate,
    }


def _approvals(batch: Batch, commands: Sequence[c.Command], after: Snapshot) -> None:
    for command in commands:
        match command:
            case c.OpenApproval(gate=gate):
                batch["approvals"].append(_new_gate(gate, after.run_id))
            case c.CountVote(task=task, vote=vote):
                batch["votes"].append(
                    {"task": task, "actor": vote.actor, "approved": vote.approved, "reason": vote.reason, "at": vote.at}
                )
            case c.WidenGate(task=task):
                assert after.gate is not None, "a gate that was widened is open"
                batch["approvals_widened"].append({"ta": task, "roles": json.dumps(after.gate.roles)})
            case c.CloseApproval(task=task, outcome=outcome):
                batch["approvals_closed"].append({"ta": task, "outcome": outcome})
            case _:
                pass


def _new_gate(gate: OpenGate, run_id: str) -> dict[str, Any]:
    return {
        "task": gate.task,
        "run_id": run_id,
        "state": gate.state,
        "roles": json.dumps(gate.roles),
        "need": gate.need,
        "digest": gate.digest,
        "shows": gate.shows,
        "not_starter": gate.not_starter,
        "opened_at": gate.opened_at,
        "expires_at": gate.expires_at,
        "outcome": None,
    }
