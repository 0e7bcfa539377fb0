"""What a person does to a run that waits for one: retry, skip, resolve, reconcile, pause, resume."""

from collections.abc import Callable
from datetime import datetime

from saga_engine import errors
from saga_engine.domain import attempts, inbox, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import source_of
from saga_engine.domain.draft import Draft, Halted
from saga_engine.domain.snapshot import ACTIONS, Task
from saga_engine.domain.values import ENDINGS


def retry(draft: Draft) -> None:
    """Try again, with a new budget, what is parked; without anything parked, what backs off."""
    parked = _parked(draft)
    backing_off = [task for task in draft.run.tasks if _backs_off(task)]
    if not parked and not backing_off:
        raise errors.Conflict("nothing to retry: no task is parked and none backs off")
    _each(draft, parked or backing_off, _again)


def skip(draft: Draft) -> None:
    """Go on without what is parked: a person has taken it over."""
    parked = _parked(draft)
    if not parked:
        raise errors.Conflict("nothing to skip: no task is parked")
    _each(draft, parked, _without)


def resolve(draft: Draft, found: e.Resolved) -> None:
    """Go on with what a person found out about a step, or an undo, in doubt."""
    task = next((task for task in _parked(draft) if _in_doubt(task)), None)
    if task is None:
        raise errors.Conflict("nothing to resolve: no step and no undo of this state is parked in doubt")
    if task.kind == "undo":
        _undo_found(draft, task, found)
    elif found.done:
        _refuse_other_result(draft, task, found)
        attempts.step_done(draft, task, found.value)
    else:
        _not_done(draft, task, found)


def reconcile(draft: Draft, found: e.Reconciled) -> str:
    """Go on from what a target's ledger knows of a step, or an undo; a note where the store knows it already."""
    _refuse_ended(draft)
    task = draft.run.task(found.task)
    if task is None or task.kind not in ("step", "undo"):
        raise errors.Conflict(f"{found.task} is not open any more; look again with `saga reconcile --dry-run`")
    if task.leased_by is not None:
        raise errors.Conflict(f"attempt {task.attempt} of {task.state} runs at this moment; wait for its end")
    if found.attempt > task.attempt:
        draft.emit(c.RaiseAttempt(task.name, found.attempt))
    if task.parked is not None and task.parked.code == "W21":
        draft.emit(c.SetDue(task.name, draft.now))
    return "" if draft.commands else "store and ledgers are in step; nothing to do"


def pause(draft: Draft, asked: e.PauseRequested) -> str:
    """Hold the run; a note where it is held already."""
    _refuse_ended(draft)
    if draft.run.paused:
        return "the run is paused already"
    draft.emit(c.Pause(asked.actor, asked.reason))
    return ""


def resume(draft: Draft) -> str:
    """Let the run go on, or the notices of one that ended meanwhile; what arrived acts now, in order of arrival."""
    if not draft.run.paused:
        _refuse_ended(draft)
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


def _backs_off(task: Task) -> bool:
    """It failed and waits to be tried again. A busy target leaves an error and counts no failure."""
    return task.error != "" and task.leased_by is None and task.ending is None


def _way_parked(task: Task) -> bool:
    """The work is done, only the way on could not be chosen."""
    return task.parked is not None and task.parked.outcome not in ("", *ENDINGS)


def _was_left(task: Task) -> bool:
    """The run has left the state, and waits until a person says that the lost attempt has ended."""
    return task.parked is not None and task.parked.outcome == "leave"


def _in_doubt(task: Task) -> bool:
    return task.kind in ("step", "undo") and not _way_parked(task) and not _was_left(task)


def _each(draft: Draft, tasks: list[Task], do: Callable[[Draft, Task], None]) -> None:
    """Do it to each task that is still open: what was done to one may have closed the others."""
    for task in tasks:
        if draft.run.task(task.name) == task:
            do(draft, task)


def _again(draft: Draft, task: Task) -> None:
    if _way_parked(task):
        _choose_again(draft, task)
    elif task.kind == "event":
        inbox.again(draft, task)
    elif task.kind == "timer" or _was_left(task):
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
    try:
        subject = _subject(draft, task) if task.parked.outcome == "then" else None
    except Halted as halted:
        draft.park(task, halted.code, str(halted), task.parked.outcome)
        return
    moving.take(draft, task.parked.outcome, subject, task, at=task.state, forced=True)


def _subject(draft: Draft, task: Task) -> object:
    source = source_of(draft.chart, task.state)
    stored = [r for r in draft.run.results if (r.state, r.visit, r.source) == (task.state, task.visit, source)]
    # A step that a person skipped has no result: its guards were asked about None, and are again.
    return draft.parse(source, stored[-1].value) if stored else None


def _without(draft: Draft, task: Task) -> None:
    if _was_left(task) or task.kind in ("leaving", "entering", "timer"):
        draft.emit(c.CloseTask(task.name))
    elif task.kind == "undo":
        draft.emit(c.SetUndo(task.about, "skipped"), c.CloseTask(task.name))
    elif task.kind == "event":
        gone = [c.CloseTask(t.name) for t in (task, *inbox.forget_timers(draft, task.about))]
        draft.emit(*gone, c.TakeEvent(task.about, "skipped"))
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


def _refuse_other_result(draft: Draft, task: Task, found: e.Resolved) -> None:
    model = draft.chart.run_of(task.state).result
    if model is not None:
        try:
            model.model_validate_json(found.value)
        except ValueError:
            text = f"what follows {task.state} needs its result: give it as {model.__name__}"
            raise errors.BadInput(text) from None
    elif found.value != "null":
        raise errors.BadInput(f"{task.state} returns nothing: leave the result out")


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
