"""The human gate: opening, verdicts, quorum, expiry, escalation (SEMANTICS, "Approvals")."""

import hashlib
import json
from datetime import datetime
from typing import Any

from saga_engine import errors
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain import moving
from saga_engine.domain.definition.facts import Approval
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Gate
from saga_engine.domain.definition.values import Verdict
from saga_engine.domain.draft import Draft
from saga_engine.domain.snapshot import OpenGate, Snapshot, Task, Vote


def open_gate(draft: Draft, task: Task) -> bool:
    """Fix what is shown and its digest, start the clock. False: the shown step has no result, so the gate is parked."""
    approval = approval_of(draft)
    shown = next((r for r in reversed(draft.run.results) if r.source == named(approval.shows) and not r.undone), None)
    if shown is None:
        draft.park(task, "W16", f"the approval shows {named(approval.shows)}, which has no result in this run")
        return False
    gate = OpenGate(
        task=task.name,
        roles=(approval.role,),
        need=approval.quorum,
        digest=digest(task.name, draft.run.state, approved_target(draft), shown.value),
        shows=shown.value,
        opened_at=draft.now,
        expires_at=draft.now + approval.expires,
        not_starter=approval.not_starter,
        state=draft.run.state,
    )
    draft.emit(c.OpenApproval(gate))
    draft.timer(draft.run.state, "expired", approval.expires)
    if approval.escalate is not None:
        draft.timer(draft.run.state, "escalate", approval.escalate[1])
    return True


def digest(task: str, state: str, approved: str, shown: str) -> str:
    """sha256 of what a person decides on: task, state, where approval leads, the shown result. Canonical JSON."""
    seen = json.dumps(
        [task, state, approved, json.loads(shown)], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(seen.encode()).hexdigest()


def approval_of(draft: Draft) -> Approval[Any]:
    """The approval of the current state."""
    activity = draft.chart.activity(draft.run.state)
    assert isinstance(activity, Gate), f"{draft.run.state} is not a gate"
    approval: Approval[Any] = activity.approval
    return approval


def approved_target(draft: Draft) -> str:
    """Where approval leads."""
    return draft.chart.ways(draft.run.state, "approved")[0].target


def verdict(draft: Draft, given: e.VerdictGiven) -> None:
    """Count a person's answer, or refuse it: wrong state, other digest, no member, second answer, too late."""
    gate = draft.run.gate
    if gate is None:
        raise _nothing_to_decide(draft.run)
    _refuse(draft, gate, given)
    draft.emit(c.CountVote(gate.task, Vote(given.actor, given.approved, given.reason, draft.now)))


def decided(run: Snapshot) -> datetime | None:
    """When the votes at the open gate came to suffice; None where they do not, or nothing may leave now."""
    if run.gate is None or run.paused or not _suffice(run.gate):
        return None
    return run.gate.votes[-1].at


def conclude(draft: Draft) -> bool:
    """Leave an open gate whose votes suffice: one rejection rejects, the quorum approves."""
    gate = draft.run.gate
    assert gate is not None, "only an open gate has votes"
    rejections = [vote for vote in gate.votes if not vote.approved]
    votes = tuple(rejections) or gate.votes
    outcome = "rejected" if rejections else "approved"
    value = Verdict(
        approved=not rejections,
        actors=tuple(vote.actor for vote in votes),
        reason="; ".join(vote.reason for vote in votes if vote.reason),
        decided_at=votes[-1].at,
        digest=gate.digest,
    )
    _close(draft, gate, outcome, value.model_dump_json())
    return True


def expire(draft: Draft) -> None:
    """Nobody decided in time."""
    gate = draft.run.gate
    assert gate is not None, "a gate's timers are closed with it"
    _close(draft, gate, "expired", None)


def escalate(draft: Draft, timer: Task) -> None:
    """Nobody decided for long: a second role may, too."""
    second = approval_of(draft).escalate
    gate = draft.run.gate
    assert second is not None, "only a gate that names a second role starts this timer"
    assert gate is not None, "a gate's timers are closed with it"
    draft.emit(c.CloseTask(timer.name), c.WidenGate(gate.task, second[0]))


def _close(draft: Draft, gate: OpenGate, outcome: str, value: str | None) -> None:
    task = draft.run.task(gate.task)
    assert task is not None, "an open gate has its task"
    if value is not None:
        draft.emit(c.AddResult(task.state, task.visit, f"verdict:{task.state}", value))
    timers = [timer.name for timer in draft.run.tasks if timer.outcome in ("expired", "escalate")]
    draft.emit(c.CloseApproval(gate.task, outcome), *map(c.CloseTask, timers))
    moving.take(draft, outcome, None, task)


def _refuse(draft: Draft, gate: OpenGate, given: e.VerdictGiven) -> None:
    run = draft.run
    if not set(gate.roles) & set(given.roles):
        role = " or ".join(gate.roles)
        text = f"{given.actor} is not in role {role}; ask somebody who is, or add {given.actor} to it in the settings"
        raise errors.NotInRole(text, actor=given.actor, role=role, run=run.run_id)
    if gate.not_starter and given.actor == run.starter:
        raise errors.NotAllowed(f"{given.actor} started this run; its approval asks for somebody else")
    if given.digest != gate.digest:
        raise errors.Conflict("what you were shown is not what waits now; look again and decide on that")
    if draft.now >= gate.expires_at:
        raise errors.Conflict(f"the approval expired at {_time(gate.expires_at)}")
    for vote in gate.votes:
        if vote.actor == given.actor:
            raise _already(run, vote)
    if _suffice(gate):  # and acts when the run is resumed
        raise _already(run, gate.votes[-1])


def _suffice(gate: OpenGate) -> bool:
    return len(gate.votes) >= gate.need or any(not vote.approved for vote in gate.votes)


def _nothing_to_decide(run: Snapshot) -> errors.SagaError:
    """Who decided already and when, or that the gate is not open yet."""
    verdicts = [r for r in run.results if r.source.startswith("verdict:")]
    if any(task.kind == "gate" and not task.parked for task in run.tasks):
        return errors.Conflict("the gate is not open: it opens when the state's entering action has ended")
    if not verdicts:
        return errors.Conflict(f"nothing waits for an approval; the run is in {run.state}")
    last = Verdict.model_validate_json(verdicts[-1].value)
    return _already(run, Vote(", ".join(last.actors), last.approved, last.reason, last.decided_at))


def _already(run: Snapshot, vote: Vote) -> errors.AlreadyDecided:
    answer = "approved" if vote.approved else "rejected"
    reason = vote.reason or "no reason given"
    return errors.AlreadyDecided(
        run=run.run_id, verdict=answer, actor=vote.actor, at=_time(vote.at), reason=reason, state=run.state
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
