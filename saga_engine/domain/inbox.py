"""Events from outside: taken now, kept for later, dropped or refused (SEMANTICS, "Events")."""

from datetime import datetime

from saga_engine import errors
from saga_engine.domain import attempts, moving
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.table import Wait
from saga_engine.domain.draft import Draft, Halted
from saga_engine.domain.machine import Way
from saga_engine.domain.snapshot import Parked, Task, WaitingEvent


def receive(draft: Draft, event: e.EventReceived) -> None:
    """Do with an arriving event what the state, or else the event's own declaration, says."""
    if draft.run.ended:
        raise errors.RunEnded(run=draft.run.run_id, status=draft.run.status, state=draft.run.state)
    if event.name not in draft.chart.events:
        raise _not_accepted(draft, event.name)
    if takes(draft, event.name) and not _acts_now(draft):
        keep(draft, event)
    elif not _try(draft, event):
        _unhandled(draft, event)


def waiting(draft: Draft) -> list[tuple[datetime, WaitingEvent]]:
    """The waiting events that the state lists and may take now, each with the time of its arrival, the oldest first."""
    if not _acts_now(draft):
        return []
    parked = {task.about for task in draft.run.tasks if task.kind == "event"}
    listed = [event for event in draft.run.inbox if event.number not in parked and takes(draft, event.name)]
    return [(_arrived(draft, event), event) for event in listed]


def offer(draft: Draft, event: WaitingEvent, *, forced: bool = False) -> bool:
    """Let the state take a waiting event; False where its guards say no. *forced*: past a spent budget."""
    try:
        way = _way(draft, event.name, event.payload, forced=forced)
    except Halted as halted:
        _park(draft, event.number, halted)
        return True
    if way is None:
        return False
    forget = [c.CloseTask(task.name) for task in forget_timers(draft, event.number)]
    draft.emit(c.TakeEvent(event.number, "taken"), *forget)
    _go(draft, way, event.name, event.payload)
    return True


def again(draft: Draft, parked: Task) -> None:
    """A person wants a parked event tried again: past a spent budget, and as soon as the state may take it."""
    draft.emit(c.CloseTask(parked.name))
    event = next(event for event in draft.run.inbox if event.number == parked.about)
    if _acts_now(draft):
        offer(draft, event, forced=True)


def takes(draft: Draft, name: str) -> bool:
    """True when the current state lists the event, whatever its guards say."""
    return _waits_for(draft, name) or bool(draft.chart.ways(draft.run.state, f"event:{name}"))


def keep(draft: Draft, event: e.EventReceived) -> None:
    """Let an accepted event wait, for a bounded time and among a bounded number."""
    if len(draft.run.inbox) >= draft.budget.inbox:
        raise errors.Conflict(
            f"{len(draft.run.inbox)} events wait for this run already; send it again when some are taken"
        )
    number = draft.revision
    draft.emit(c.KeepEvent(number, event.name, event.payload, event.actor, event.source, event.dedup_key))
    draft.timer(draft.run.state, "forget", draft.budget.deferred, about=number)


def _acts_now(draft: Draft) -> bool:
    """Not while paused, entering, or at a pivot in doubt: nothing leaves the state then."""
    return draft.run.open and not draft.run.paused and not attempts.pivot_in_doubt(draft)


def _try(draft: Draft, event: e.EventReceived) -> bool:
    """Let the state take an arriving event. Where its guard raises it waits, and is parked when it is offered."""
    try:
        way = _way(draft, event.name, event.payload)
    except Halted:
        keep(draft, event)
        return True
    if way is None:
        return False
    draft.emit(c.NoteEvent(draft.revision, event.name, event.source, event.dedup_key, "taken"))
    _go(draft, way, event.name, event.payload)
    return True


def _way(draft: Draft, name: str, payload: str, *, forced: bool = False) -> Way | str | None:
    """The edge that takes the event, or "then" where the state waits for it. Raises ``Halted`` (W14, W16)."""
    subject = draft.parse(f"event:{name}", payload)
    way = draft.choose(draft.chart.ways(draft.run.state, f"event:{name}"), subject)
    spent = moving.over_budget(draft, way.target) if way and not forced else ""
    if spent:
        raise Halted("W14", spent)
    return way or ("then" if _waits_for(draft, name) else None)


def _waits_for(draft: Draft, name: str) -> bool:
    """Not once the event has come and only the way on could not be chosen."""
    activity = draft.chart.activity(draft.run.state)
    if not isinstance(activity, Wait) or activity.event.name != name:
        return False
    return any(task.kind == "wait" and not task.parked for task in draft.run.tasks)


def _go(draft: Draft, way: Way | str, name: str, payload: str) -> None:
    """Keep the payload as a result and leave; where a wait's own guards or budgets say no, its task is parked."""
    draft.emit(c.AddResult(draft.run.state, draft.run.visit, f"event:{name}", payload))
    if isinstance(way, Way):
        moving.move(draft, way.target, f"event:{name}")
        return
    task = next(task for task in draft.run.tasks if task.kind == "wait")
    moving.take(draft, "then", draft.parse(f"event:{name}", payload), task)


def _park(draft: Draft, number: int, halted: Halted) -> None:
    """A guard raised, or a budget is spent: the event waits, and a task beside the line says why."""
    task = Task(draft.task_name(), "event", draft.run.state, draft.run.visit, 0, about=number)
    draft.emit(c.AddTask(task), c.Park(task.name, Parked(halted.code, str(halted))))


def forget_timers(draft: Draft, number: int) -> list[Task]:
    """The timer that ends a waiting event's time to live."""
    return [task for task in draft.run.tasks if task.outcome == "forget" and task.about == number]


def _arrived(draft: Draft, event: WaitingEvent) -> datetime:
    """Its time to live began when it arrived, never later than now: it may have been another length then."""
    ends_at = next(task.due_at for task in forget_timers(draft, event.number))
    assert ends_at is not None, "timers run while the run is not paused"
    return min(ends_at - draft.budget.deferred, draft.now)


def _unhandled(draft: Draft, event: e.EventReceived) -> None:
    match draft.chart.events[event.name].unhandled:
        case "reject":
            raise _not_accepted(draft, event.name)
        case "ignore":
            draft.emit(c.NoteEvent(draft.revision, event.name, event.source, event.dedup_key, "ignored"))
        case _:
            keep(draft, event)


def _not_accepted(draft: Draft, name: str) -> errors.NotAccepted:
    taken = [known for known in draft.chart.events if takes(draft, known)]
    return errors.NotAccepted(
        run=draft.run.run_id, state=draft.run.state, event=name, takes=", ".join(taken) or "no event at all"
    )
