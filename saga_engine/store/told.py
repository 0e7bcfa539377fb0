"""Rows of what commands say and snapshots do not: who paused a run, what became of an event, how people voted."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.json import Encoder

from saga_engine.domain import commands as c
from saga_engine.domain.snapshot import Snapshot
from saga_engine.store import written as w
from saga_engine.store.written import Batch


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
            roles=as_json(gate.roles),
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
    batch["approvals_widened"].append(w.ApprovalWidened(as_json(after.gate.roles), command.task))


def _closed(batch: Batch, command: c.CloseApproval, _after: Snapshot) -> None:
    batch["approvals_closed"].append(w.ApprovalClosed(command.outcome, command.task))


TOLD: Final[Mapping[type[c.Command], Callable[[Batch, Any, Snapshot], None]]] = {
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


def as_json(value: Any) -> str:  # noqa: ANN401  any JSON value
    """*value* as a column of text holds it."""
    return _ENCODER.encode(value).decode()


_ENCODER: Final = Encoder(order="deterministic")
