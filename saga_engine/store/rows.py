"""What a decision writes: the difference between the snapshot before and the snapshot after, as rows by statement."""

from saga_engine.domain import commands as c
from saga_engine.domain import line
from saga_engine.domain.events import AttemptLost
from saga_engine.domain.snapshot import Snapshot, Task, UndoEntry
from saga_engine.store import written as w
from saga_engine.store.entry import Entry, Head, NewRun, Pinned, line_hash
from saga_engine.store.told import TOLD, as_json
from saga_engine.store.written import Batch


def collect(batch: Batch, entry: Entry, head: Head) -> Head:
    """Add the rows that one entry writes to *batch*, of the run with that *head*; return what its head becomes."""
    number, pinned = head.number, head.pinned
    assert entry.decision.after.ended or entry.decision.after.tasks, (
        f"{entry.run_id} would be live without an open task: nobody would look again"
    )
    before, after, commands = entry.before, entry.decision.after, entry.decision.commands
    event = line.event_text(after.run_id, entry.event)
    told = line.commands_text(after.run_id, after.revision, batch.at, entry.event, commands)
    digest = line_hash(head.journal_hash, after.revision, batch.at, event, told)
    batch["journal"].append(w.JournalRow(number, after.revision, batch.now, event, told, digest))
    if entry.new:
        batch["runs"].append(_new_run(batch, entry.new, number, after, digest))
    else:
        batch["run_changes"].append(_run_changes(batch, before, after, digest))
    _tasks(batch, entry, pinned)
    _results(batch, number, before, after)
    _undo(batch, number, before, after)
    for command in commands:
        told_by = TOLD.get(type(command))
        if told_by is not None:
            told_by(batch, command, after)
    return Head(number, after.revision, digest, pinned)


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
        rests_in=rests_in(after),
        open=after.open,
        revision=after.revision,
        transitions=after.transitions,
        visits=as_json(after.visits),
        paused=after.paused,
        cancelling=after.cancelling,
        rollback_to=after.rollback_to,
        rollback_floor=after.rollback_floor,
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
        rests_in(after),
        after.open,
        after.revision,
        after.transitions,
        as_json(after.visits),
        after.paused,
        after.cancelling,
        after.rollback_to,
        after.rollback_floor,
        batch.now if moved else None,
        batch.now,
        batch.now if ended else None,
        digest,
        after.run_id,
    )


def rests_in(run: Snapshot) -> str | None:
    """The state where it waits or is parked."""
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
    """What became of a step is written when it is over: while it is open, its task tells that it was started."""
    had, has = _open_steps(before), _open_steps(after)
    old = before.undo
    if after.undo is old and had <= has:
        return
    for i, entry in enumerate(after.undo):
        was = old[i] if i < len(old) else None
        if _told(entry, has) and (was is None or was.status == "started"):
            continue
        if was is None or was.status != entry.status or _told(was, had):
            suffix = entry.task[len(after.run_id) :]
            kept = (entry.position, entry.state, entry.visit, suffix, entry.revision, entry.status)
            batch["undo"].append(w.UndoRow(number, *kept))


def _open_steps(run: Snapshot) -> set[str]:
    return {task.name for task in run.tasks if task.kind == "step"}


def _told(entry: UndoEntry, open_steps: set[str]) -> bool:
    """The task tells it."""
    return entry.status == "started" and entry.task in open_steps
