"""W03, W06 and W09: what somebody outside has to bring: a verdict, an event, the end of a pause."""

import json
from typing import Any

from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Wait
from saga_engine.domain.definition.values import Event
from saga_engine.domain.snapshot import OpenGate, Task, WaitingEvent
from saga_engine.domain.whys import offers
from saga_engine.domain.whys.reason import Cause, Offer, View, shown


def paused(view: View) -> list[Cause]:
    """W09: a person holds the run."""
    if not view.run.paused:
        return []
    hold = view.around.paused
    who = f"paused by {hold.actor} since {view.at(hold.since)}" if hold else "paused"
    why = f": {hold.reason}" if hold and hold.reason else ""
    offer = offers.resume(view, "lets it go on; what arrived meanwhile acts now, in order of arrival")
    brief = f"resume (paused by {hold.actor})" if hold else "resume"
    return [Cause("W09", brief, f"the run is {who}{why}", tuple(_held_back(view)), (offer, *offers.ways_back(view)))]


def _held_back(view: View) -> list[str]:
    due = [task for task in view.run.tasks if not task.ending and task.outcome != "forget"]
    lines = [
        f"{view.what(task)} is held since the pause; it was due at {view.at(when)}"
        for task in due
        if (when := task.resumes_at)
    ]
    running = [task for task in view.run.tasks if task.leased_by is not None]
    lines += [f"attempt {task.attempt} of {view.what(task)} runs on and will be recorded" for task in running]
    return lines + [f"the event {event.name} by {event.actor} has arrived" for event in view.run.inbox]


# --- approvals


def approval(view: View, gate: OpenGate) -> Cause:
    """W03: who may answer, how many have, until when, and what happens then."""
    have = [vote.actor for vote in gate.votes if vote.approved]
    roles, state = " or ".join(gate.roles), view.run.state
    expired = view.targets(state, "expired")
    sentence = (
        f"waits for the approval of {roles}: {len(have)} of {gate.need} given, asked at {view.at(gate.opened_at)}; "
        f"expires {view.ahead(gate.expires_at)}{expired}"
    )
    may = _may_answer(view, gate)
    lines = [f"may answer: {', '.join(may)}" if may else f"nobody may answer: no member of {roles} is left who has not"]
    if 0 < len(may) < gate.need - len(have):
        lines.append(f"needed: {gate.need - len(have)} more, and only {len(may)} may still answer")
    lines += [
        f"{'approved' if vote.approved else 'rejected'} by {vote.actor} at {view.at(vote.at)}"
        + (f": {vote.reason}" if vote.reason else "")
        for vote in gate.votes
    ]
    lines.append(f"shown: {shown(gate.shows)}")
    return Cause("W03", f"approval by {roles} ({len(have)}/{gate.need})", sentence, tuple(lines), _answers(view, may))


def _may_answer(view: View, gate: OpenGate) -> list[str]:
    members = {member for role in gate.roles for member in view.around.roles.get(role, ())}
    answered = {vote.actor for vote in gate.votes}
    return sorted(members - answered - ({view.run.starter} if gate.not_starter else set()))


def _answers(view: View, may: list[str]) -> tuple[Offer, ...]:
    state, run = view.run.state, view.around.run
    if not may:
        add = Offer(
            "saga check", "names the role and where its members are written: [roles] in the settings", outside=True
        )
        return (add, *offers.ways_back(view))
    return (
        Offer(
            f"saga approve {run} --reason …",
            f"shows what is decided on and asks{view.targets(state, 'approved')}",
        ),
        Offer(f"saga reject {run} --reason …", f"one rejection is enough{view.targets(state, 'rejected')}"),
        *offers.ways_back(view),
    )


# --- events


def event(view: View, task: Task) -> Cause:
    """W06: which event, until when; and what is in the inbox instead."""
    wanted = _wanted(view)
    since = f" since {view.at(view.around.entered_at)}" if view.around.entered_at else ""
    ends = [timer.due_at for timer in view.run.tasks if timer.outcome == "timed_out" and timer.due_at is not None]
    then = view.targets(view.run.state, "timed_out", "failed")
    until = f"; gives up {view.ahead(min(ends))}{then}" if ends else ""
    name = wanted.name if wanted else "an event"
    sentence = f"{task.state} waits for {name if wanted is None else f'the event {name}'}{since}{until}"
    lines = [_near_miss(view, wanted, waiting) for waiting in view.run.inbox] or ["no other event waits for this run"]
    return Cause("W06", f"event {name}" if wanted else name, sentence, tuple(lines), _sends(view, wanted))


def _wanted(view: View) -> Event[Any] | None:
    activity = view.chart.activity(view.run.state) if view.chart else None
    return activity.event if isinstance(activity, Wait) else None


def _near_miss(view: View, wanted: Event[Any] | None, waiting: WaitingEvent) -> str:
    """An event that has arrived and was not taken: another name, a guard that says no, a pause."""
    said = f"the event {waiting.name} by {waiting.actor} has arrived and waits"
    ways = view.chart.ways(view.run.state, f"event:{waiting.name}") if view.chart else ()
    listed = ways or (wanted is not None and waiting.name == wanted.name)
    if not listed:
        return f"{said} for a state that takes it"
    if view.run.paused:
        return f"{said} for the resume"
    guards = " and ".join(named(way.guard) for way in ways if way.guard)
    return f"{said}: {guards} said no to {shown(waiting.payload)}"


def _sends(view: View, wanted: Event[Any] | None) -> tuple[Offer, ...]:
    if wanted is None or view.chart is None:
        return offers.ways_back(view)
    command = f"saga send {view.around.run} {wanted.name} --data '{payload(wanted)}'"
    return (
        Offer(command, f"is what it waits for{view.targets(view.run.state, 'then')}"),
        *offers.ways_back(view),
    )


def payload(wanted: Event[Any]) -> str:
    """The fields that a payload must have, with … for each value."""
    required = [name for name, field in wanted.payload.model_fields.items() if field.is_required()]
    return "{" + ", ".join(f"{json.dumps(name)}: …" for name in required) + "}"
