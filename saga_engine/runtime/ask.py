"""What people and programs ask of a run: each becomes one event, delivered, and a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain import unwind
from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Run
from saga_engine.domain.definition.values import Event
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, Task, UndoEntry
from saga_engine.domain.whys.people import payload
from saga_engine.ledger.heads import Key
from saga_engine.ledger.undo import applied
from saga_engine.ledger.void import void
from saga_engine.runtime.deliver import Door, Found
from saga_engine.runtime.payload import as_json, refuse_unstorable, usable_key, validated
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.views import Reply
from saga_engine.runtime.views_operate import PlannedUndo, RollbackPlan
from saga_engine.store import inspect, runs, trouble
from saga_engine.store.connect import reading

if TYPE_CHECKING:
    import sqlalchemy as sa

RACES_MAX = 3
"""How often a send that lost the race for its event key looks again: the winner's row is there then."""


def deliver(door: Door, run: str, event: e.Request, *, dry_run: bool = False) -> Reply:
    """Deliver a request and say where the run was and is; a *dry_run* decides and records nothing."""
    found = door.find(run)
    decision = door.would(event, found) if dry_run else door.deliver(found.run.run_id, event, found)
    return reply(found, decision)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends an event, from where, and the event key, if it has one."""

    actor: str
    source: str
    dedup_key: str | None


def send(door: Door, run: str, event: Event[Any] | str, given: BaseModel | Mapping[str, Any], sender: Sender) -> Reply:
    """Validate the payload and deliver the event; one whose event key is known is answered, not delivered."""
    dedup_key, tries = sender.dedup_key, 1
    if dedup_key is not None:
        usable_key(dedup_key, "event key")
        tries = RACES_MAX
    for _ in range(tries):
        found, known = reading(door.store, partial(_looked, door, run, sender))
        received = _received(door, found, event, given, sender)
        if known:
            note = f"an event with the key {dedup_key} has arrived already"
            return reply(found, Decision((), found.run, note))
        try:
            return reply(found, _noted(door.deliver(found.run.run_id, received, found), dedup_key))
        except trouble.DUPLICATE:
            if dedup_key is None:
                raise
    raise errors.Conflict(f"the event key {dedup_key} is being used by another sender; send it again")


def _looked(door: Door, run: str, sender: Sender, db: sa.Connection) -> tuple[Found, bool]:
    """The run, and whether it knows the event key already."""
    found = door.find_in(db, run)
    key = sender.dedup_key
    return found, key is not None and inspect.event_known(db, found.run.run_id, sender.source, key)


def _received(
    door: Door, found: Found, event: Event[Any] | str, given: BaseModel | Mapping[str, Any], sender: Sender
) -> e.EventReceived:
    """The event with its payload, as the definition of the run has it."""
    chart, run_id = found.chart, found.run.run_id
    name = event if isinstance(event, str) else event.name
    if name not in chart.events:
        raise errors.EventNotFound(saga=chart.name, event=name, events=", ".join(chart.events) or "none")
    try:
        value = validated(chart.events[name].payload, given, f"{name} cannot be sent with this payload")
    except errors.BadInput as error:
        takes = payload(chart.events[name])
        raise errors.PayloadRefused(str(error), run=run_id, event=name, takes=takes) from None
    text = as_json(value, f"the payload of {name}", door.limits.event_bytes_max)
    received = e.EventReceived(name, text, sender.actor, sender.source, sender.dedup_key)
    refuse_unstorable(received)
    return received


def rollback(door: Door, targets: Targets, run: str, asked: e.RollbackRequested) -> Reply:
    """Roll back. From a parked pivot this first proves, in the target, that the pivot took no effect."""
    found = door.find(run)
    before = found.run
    if asked.to is not None:
        known_state(found.chart, asked.to)
    proved = replace(asked, unapplied=_pivot_unapplied(door, targets, before))
    return reply(found, door.deliver(before.run_id, proved))


def plan(door: Door, run: str, to: str | None, actor: str) -> RollbackPlan:
    """What a rollback would undo now, in order. Decides as ``rollback`` does, and records nothing."""
    found = door.find(run)
    before, chart = found.run, found.chart
    if to is not None:
        known_state(chart, to)
    decision = door.would(e.RollbackRequested(actor, to), found)
    after = decision.after
    # With nothing to undo the same decision goes through the rolling-back state and out of it.
    via = next((command.target for command in decision.commands if isinstance(command, c.Move)), after.state)
    floor = unwind.floor_of(after)
    left = [entry for entry in after.undo if entry.status in ("started", "done") and entry.position >= floor]
    return RollbackPlan(
        run_id=before.run_id,
        run=found.name,
        saga=before.saga,
        state=before.state,
        via=via,
        ends_in=after.rollback_to or (chart.ways(via, "then")[0].target if via == after.state else after.state),
        steps=tuple(_planned(chart, entry) for entry in reversed(left)),
        note=decision.note,
    )


def _planned(chart: Chart, entry: UndoEntry) -> PlannedUndo:
    undo = chart.run_of(entry.state).undo
    return PlannedUndo(
        position=entry.position,
        state=entry.state,
        visit=entry.visit,
        outcome="done" if entry.status == "done" else "in doubt",
        undo=named(undo.work) if undo else "",
    )


def known_state(chart: Chart, state: str) -> None:
    """Raise ``StateNotFound`` for a state that the saga does not have."""
    if state not in chart.rows:
        raise errors.StateNotFound(saga=chart.name, state=state, states=", ".join(chart.rows))


def resolve(door: Door, run: str, found: e.Resolved, result: Mapping[str, Any] | None) -> Reply:
    """Say what a parked step really did; its result is validated like one that came back."""
    read = door.find(run)
    before, chart = read.run, read.chart
    parked = next((task for task in before.tasks if task.parked and task.kind == "step"), None)
    activity = chart.activity(parked.state) if parked else None
    value = "null"
    if found.done and isinstance(activity, Run) and activity.result is not None:
        refusal = f"{chart.name}: say what came of the step as its result {activity.result.__name__}"
        given = validated(activity.result, result or {}, refusal)
        value = as_json(given, f"the result of {named(activity.work)}", door.limits.result_bytes_max)
    return reply(read, door.deliver(before.run_id, replace(found, value=value), read))


def reply(found: Found, decision: Decision) -> Reply:
    """Where the run was and is. It reads nothing: once this is recorded nobody may hear that the store is away."""
    after = decision.after
    return Reply(
        run_id=after.run_id,
        run=found.name,
        source=found.run.state,
        state=after.state,
        status=after.status,
        paused=after.paused,
        revision=after.revision,
        changed=bool(decision.commands),
        note=decision.note,
    )


def _noted(decision: Decision, dedup_key: str | None) -> Decision:
    """Without an event key a repeated send counts again, and the reply says so."""
    note = "" if dedup_key is not None else "sent without an event key: sending it again would count again"
    return Decision(decision.commands, decision.after, note)


def _known(door: Door, run_id: str, source: str, dedup_key: str) -> bool:
    return reading(door.store, lambda db: inspect.event_known(db, run_id, source, dedup_key))


def _pivot_unapplied(door: Door, targets: Targets, run: Snapshot) -> bool:
    """Close a parked effect step's heads where nothing was applied: from then on it cannot take effect any more."""
    parked = next((task for task in run.tasks if task.kind == "step" and task.parked), None)
    if parked is None or not _is_effect_pivot(door, run, parked):
        return False
    touched = reading(door.store, lambda db: runs.ledgers(db, run.run_id)).get(parked.name, {})
    store = door.store_uuid()
    keys = {name: Key(store, parked.name, parked.attempt, ledger) for name, ledger in touched.items()}
    if any(applied(targets.engine(name), key, 1) for name, key in keys.items()):
        return False  # looked at everywhere first: a head that is closed here could not go forward there
    return all([void(targets.engine(name), key) for name, key in keys.items()])  # noqa: C419  every head is closed


def _is_effect_pivot(door: Door, run: Snapshot, task: Task) -> bool:
    step = door.chart(run).run_of(task.state)
    return step.safety == "pivot" and step.promise == "effect"
