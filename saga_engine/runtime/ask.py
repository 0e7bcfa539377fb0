"""What people and programs ask of a run: each becomes one event, delivered, and a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Run, Undo
from saga_engine.domain.definition.values import Event
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import Snapshot, UndoEntry
from saga_engine.domain.whys.people import payload
from saga_engine.runtime import closing
from saga_engine.runtime.deliver import Door, Found
from saga_engine.runtime.payload import as_json, refuse_unstorable, usable_key, validated
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.views import Reply
from saga_engine.runtime.views_operate import PlannedUndo, RollbackPlan
from saga_engine.store import trouble
from saga_engine.store.runs import EventKey

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
    dedup_key, tries, key = sender.dedup_key, 1, None
    if dedup_key is not None:
        usable_key(dedup_key, "event key")
        tries, key = RACES_MAX, EventKey(sender.source, dedup_key)
    for _ in range(tries):
        found = door.find(run, key)
        received = _received(door, found, event, given, sender)
        if found.arrived:
            note = f"an event with the key {dedup_key} has arrived already"
            return reply(found, Decision((), found.run, note))
        try:
            return reply(found, _noted(door.deliver(found.run.run_id, received, found), dedup_key))
        except trouble.DUPLICATE:
            if dedup_key is None:
                raise
    raise errors.Conflict(f"the event key {dedup_key} is being used by another sender; send it again")


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
    before, chart = found.run, found.chart
    if asked.to is not None:
        known_state(chart, asked.to)
    pivot = closing.parked_pivot(chart, before)
    if pivot is None:
        return reply(found, door.deliver(before.run_id, asked, found))
    _refuse_before_closing(door, replace(asked, unapplied=True), found)
    proved = replace(asked, unapplied=closing.pivot_unapplied(door, targets, before, pivot))
    return reply(found, _of_what_was_seen(door, found, proved))


def plan(door: Door, targets: Targets, run: str, asked: e.RollbackRequested) -> RollbackPlan:
    """What a rollback would undo now, in order. Decides as ``rollback`` does, and closes and records nothing."""
    found = door.find(run)
    before, chart = found.run, found.chart
    if asked.to is not None:
        known_state(chart, asked.to)
    pivot = closing.parked_pivot(chart, before)
    unapplied = pivot is not None and closing.nothing_applied(door, targets, before, pivot)
    decision = door.would(replace(asked, unapplied=unapplied), found)
    after = decision.after
    # With nothing to undo the same decision goes through the rolling-back state and out of it.
    via = next((command.target for command in decision.commands if isinstance(command, c.Move)), after.state)
    left = [entry for entry in before.undo if entry.is_left]
    floor = max((x.position for x in left if x.state == asked.to), default=0) if asked.to else after.rollback_floor
    never = {entry.position for entry in after.undo if entry.status == "dropped"}
    undone = [entry for entry in reversed(left) if entry.position >= floor and entry.position not in never]
    return RollbackPlan(
        run_id=before.run_id,
        run=found.name,
        saga=before.saga,
        state=before.state,
        via=via,
        ends_in=after.rollback_to or (chart.ways(via, "then")[0].target if via == after.state else after.state),
        steps=tuple(_planned(entry, undo) for entry in undone if (undo := chart.run_of(entry.state).undo)),
        note=decision.note,
    )


def _planned(entry: UndoEntry, undo: Undo) -> PlannedUndo:
    return PlannedUndo(
        position=entry.position,
        state=entry.state,
        visit=entry.visit,
        outcome="done" if entry.status == "done" else "in doubt",
        undo=named(undo.work),
    )


def known_state(chart: Chart, state: str) -> None:
    """Raise ``StateNotFound`` for a state that the saga does not have."""
    if state not in chart.rows:
        raise errors.StateNotFound(saga=chart.name, state=state, states=", ".join(chart.rows))


def skip(door: Door, targets: Targets, run: str, asked: e.SkipRequested, *, dry_run: bool) -> Reply:
    """Go on without what is parked. What an undo leaves in effect is closed first: nothing is added to it."""
    found = door.find(run)
    decision = door.would(asked, found)
    if dry_run:
        return reply(found, decision)
    _refuse_before_closing(door, asked, found)
    closed = closing.close_skipped(door, targets, found.run)
    decision = _of_what_was_seen(door, found, asked)
    return reply(found, _with(decision, closed.note))


def resolve(door: Door, targets: Targets, run: str, found: e.Resolved, result: Mapping[str, Any] | None) -> Reply:
    """Say what a parked step or undo really did; a result is validated like one that came back."""
    read = door.find(run)
    before, chart = read.run, read.chart
    parked = next((task for task in before.tasks if task.parked and task.kind == "step"), None)
    activity = chart.activity(parked.state) if parked else None
    value = "null"
    if found.done and isinstance(activity, Run) and activity.result is not None:
        refusal = f"{chart.name}: say what came of the step as its result {activity.result.__name__}"
        given = validated(activity.result, result or {}, refusal)
        value = as_json(given, f"the result of {named(activity.work)}", door.limits.result_bytes_max)
    found = replace(found, value=value)
    _refuse_before_closing(door, found, read)
    closed = closing.close_done(door, targets, before) if found.done else closing.Closed()
    decision = _of_what_was_seen(door, read, found)
    return reply(read, _with(_with(decision, closed.note), closing.settle(targets, before, closed)))


def _refuse_before_closing(door: Door, asked: e.Request, found: Found) -> None:
    """Nothing is closed for a word that would be refused: there would be no way forward behind it."""
    refuse_unstorable(asked)
    door.would(asked, found)


def _of_what_was_seen(door: Door, found: Found, asked: e.Request) -> Decision:
    """Record what a person says of what is parked: by now something else may be."""
    seen = _parked(found.run)

    def ask(chart: Chart, run: Snapshot, now: datetime) -> Decision:
        if _parked(run) != seen:
            raise errors.Conflict("the run has moved meanwhile; look again", run=run.run_id)
        return decide(chart, run, asked, now, door.budget)

    return door.decided(found.run.run_id, asked, ask, found)


def _parked(run: Snapshot) -> set[tuple[str, int]]:
    """The attempts that wait for a person."""
    return {(task.name, task.attempt) for task in run.tasks if task.parked}


def _with(decision: Decision, note: str) -> Decision:
    return Decision(decision.commands, decision.after, "; ".join(filter(None, (decision.note, note))))


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
