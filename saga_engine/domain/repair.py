"""What a person does to a run that waits for one: retry, skip, resolve, pause, resume."""

from datetime import datetime

from saga_engine import errors
from saga_engine.domain import attempts, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import source_of
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import ACTIONS, Task


def retry(draft: Draft, asked: e.RetryRequested) -> None:
    """Try again, with a new budget, what is parked; without anything parked, what backs off."""
    parked = _parked(draft)
    backing_off = [t for t in draft.run.tasks if t.kind in ACTIONS and t.failures and t.leased_by is None and not t.ending]
    if not parked and not backing_off:
        raise errors.Conflict("nothing to retry: no task is parked and none backs off")
    for task in parked or backing_off:
        _again(draft, task)


def skip(draft: Draft, asked: e.SkipRequested) -> None:
    """Go on without what is parked: a person has taken it over."""
    parked = _parked(draft)
    if not parked:
        raise errors.Conflict("nothing to skip: no task is parked")
    for task in parked:
        _without(draft, task)


def resolve(draft: Draft, found: e.Resolved) -> None:
    """Go on with what a person found out about a step, or an undo, in doubt."""
    task = next((task for task in _parked(draft) if task.kind in ("step", "undo") and not _way_parked(task)), None)
    if task is None:
        raise errors.Conflict("nothing to resolve: no step and no undo is parked in doubt")
    if task.kind == "undo":
        _undo_found(draft, task, found)
    elif found.done:
        attempts.step_done(draft, task, found.value)
    else:
        _not_done(draft, task, found)


def pause(draft: Draft, asked: e.PauseRequested) -> str:
    """Hold the run; a note where it is held already."""
    _refuse_ended(draft)
    if draft.run.paused:
        return "the run is paused already"
    draft.emit(c.Pause(asked.actor, asked.reason))
    return ""


def resume(draft: Draft, asked: e.ResumeRequested) -> str:
    """Let the run go on; what arrived meanwhile acts now, in order of arrival."""
    _refuse_ended(draft)
    if not draft.run.paused:
        return "the run is not paused"
    draft.emit(c.Resume())
    return ""


def _refuse_ended(draft: Draft) -> None:
    if draft.run.ended:
        raise errors.RunEnded(run=draft.run.run_id, status=draft.run.status, state=draft.run.state)


def _parked(draft: Draft) -> list[Task]:
    """What is set aside. Of an ended run only a notice can be: the run itself is never begun again."""
    parked = [task for task in draft.run.tasks if task.parked]
    if not parked:
        _refuse_ended(draft)
    return parked


def _way_parked(task: Task) -> bool:
    """The work is done, only the way on could not be chosen."""
    return task.parked is not None and task.parked.outcome not in ("", "retry", "leave", "park")


def _again(draft: Draft, task: Task) -> None:
    if _way_parked(task):
        _choose_again(draft, task)
    elif task.kind in ("event", "timer") or (task.parked is not None and task.parked.outcome == "leave"):
        draft.emit(c.CloseTask(task.name))
    else:
        entry = draft.run.entry(task.name)
        if entry is not None and entry.status == "dropped":
            draft.emit(c.SetUndo(entry.position, "started"))
        draft.emit(c.SetDue(task.name, _due(draft, task)))


def _due(draft: Draft, task: Task) -> datetime | None:
    """A gate is not due but opened again."""
    return draft.now if task.kind in ACTIONS else None


def _choose_again(draft: Draft, task: Task) -> None:
    """The outcome was kept: ask for its way once more, past a spent budget."""
    assert task.parked is not None, "only a parked task has an outcome to take again"
    subject = _subject(draft, task) if task.parked.outcome == "then" else None
    moving.take(draft, task.parked.outcome, subject, task, forced=True)


def _subject(draft: Draft, task: Task) -> object:
    source = source_of(draft.chart, task.state)
    stored = next(r for r in reversed(draft.run.results) if (r.state, r.visit, r.source) == (task.state, task.visit, source))
    return draft.chart.parse(source, stored.value)


def _without(draft: Draft, task: Task) -> None:
    leave = task.parked is not None and task.parked.outcome == "leave"
    if task.kind == "undo" and not leave:
        draft.emit(c.SetUndo(task.about, "skipped"), c.CloseTask(task.name))
    elif task.kind == "event":
        forget = [t for t in draft.run.tasks if t.outcome == "forget" and t.about == task.about]
        draft.emit(*[c.CloseTask(t.name) for t in (task, *forget)], c.TakeEvent(task.about, "skipped"))
    elif leave or task.kind in ("leaving", "entering", "timer"):
        draft.emit(c.CloseTask(task.name))
    elif task.kind == "step" and _may_skip(draft, task):
        moving.take(draft, "then", None, task)
    else:
        raise errors.Conflict(
            f"{task.state} cannot be skipped: what follows needs its result. "
            "Mend the cause and `saga retry`, say what happened with `saga resolve`, or `saga rollback`"
        )


def _may_skip(draft: Draft, task: Task) -> bool:
    """Nothing can depend on a step that returns nothing; a pivot in doubt has to be found out about."""
    run = draft.chart.run_of(task.state)
    return run.result is None and run.safety != "pivot" and not _way_parked(task)


def _undo_found(draft: Draft, task: Task, found: e.Resolved) -> None:
    if found.done:
        draft.emit(c.SetUndo(task.about, "undone"), c.CloseTask(task.name))
    else:
        draft.emit(c.SetDue(task.name, draft.now))


def _not_done(draft: Draft, task: Task, found: e.Resolved) -> None:
    """The step took no effect: try it again, but let a person choose between that and a rollback at a pivot."""
    entry = draft.run.entry(task.name)
    assert entry is not None, "a step is on the undo stack"
    if draft.chart.run_of(task.state).safety == "pivot":
        draft.emit(c.SetUndo(entry.position, "dropped"))
        draft.park(task, "W22", f"{found.actor} found that it took no effect ({found.evidence}); retry, or roll back")
    else:
        draft.emit(c.SetDue(task.name, draft.now))
