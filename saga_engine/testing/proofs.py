"""What must be true of a run, read from its history and from the ledgers: everything that is not, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from saga_engine.domain import commands as c
from saga_engine.domain.evolve import evolve, settled
from saga_engine.domain.snapshot import Snapshot, UndoEntry
from saga_engine.ledger.traces import Standing

TAKEN_BACK: Final = ("undone", "dropped")
"""undone: its undo has ended, or it has none · dropped: it was never started."""


def not_compensated(run: Snapshot, history: Iterable[tuple[c.Command, ...]]) -> list[str]:
    """Why *run* has not taken back all it did, last started first; empty where it has."""
    wrong = [] if run.ended else [f"it has not ended: it is in {run.state} ({run.status})"]
    if run.status in ("completed", "failed"):
        wrong.append(f"it ended {run.status}, without a rollback")
    wrong += [f"{_named(entry)} is {entry.status}" for entry in run.undo if entry.status not in TAKEN_BACK]
    return wrong + list(_out_of_order(run, history))


def left_in(connection: str, run: Snapshot, standing: Mapping[str, Standing]) -> list[str]:
    """What the ledger of *connection* says of the steps of *run* that are not undone there."""
    of = {entry.task: _named(entry) for entry in run.undo}
    wrong = []
    for task, head in standing.items():
        if head.in_effect:
            parts = ", ".join(map(repr, head.in_effect))
            wrong.append(f"{of.get(task, task)} is still in effect in {connection}: part {parts}")
        elif head.status == "undoing":
            wrong.append(f"the undo of {of.get(task, task)} has not ended in {connection}")
    return wrong


def gaps(run: Snapshot, told: Sequence[int]) -> list[str]:
    """Where the numbers of the journal's lines are not those up to the run's revision."""
    wrong = [f"line {after} follows line {before}" for before, after in pairwise([0, *told]) if after != before + 1]
    if (told or [0])[-1] != run.revision:
        wrong.append(f"the run is at revision {run.revision}, its journal ends with {(told or [0])[-1]}")
    return wrong


def differs(run: Snapshot, history: Iterable[tuple[c.Command, ...]]) -> list[str]:
    """Where the stored run is not what replaying the commands of a whole journal makes of it."""
    again = Snapshot(run.run_id, run.saga, run.version, run.digest, run.input, run.starter)
    for commands in history:
        for command in commands:
            again = evolve(again, command)
        again = settled(again)
    return [
        f"{name} is {is_now!r}, its journal makes it {was!r}"
        for name, is_now, was in zip(_facts(run), _facts(run).values(), _facts(again).values(), strict=True)
        if is_now != was
    ]


def _facts(run: Snapshot) -> dict[str, object]:
    """What only decisions change. Attempts and leases are changed by workers, which no journal tells."""
    return {
        "state": run.state,
        "status": run.status,
        "transitions": run.transitions,
        "visits": dict(run.visits),
        "open tasks": sorted((task.name, task.kind, task.position) for task in run.tasks),
        "results": sorted((r.state, r.visit, r.source, r.value, r.undone) for r in run.results),
        "undo stack": sorted((entry.position, entry.task, entry.status) for entry in run.undo),
        "waiting events": sorted(event.number for event in run.inbox),
        "votes": [] if run.gate is None else [(vote.actor, vote.approved) for vote in run.gate.votes],
    }


def _out_of_order(run: Snapshot, history: Iterable[tuple[c.Command, ...]]) -> Iterator[str]:
    """Undos that did not take the step that was started last."""
    states = {entry.position: _named(entry) for entry in run.undo}
    standing: set[int] = set()
    for commands in history:
        for command in commands:
            if isinstance(command, c.PushUndo):
                standing.add(command.position)
            elif isinstance(command, c.SetUndo) and command.status != "done":
                later = [states[position] for position in sorted(standing) if position > command.position]
                if later and command.status == "undone":
                    yield f"{states[command.position]} was undone before {', '.join(later)}, which started later"
                standing.discard(command.position)


def _named(entry: UndoEntry) -> str:
    return entry.state if entry.visit == 1 else f"{entry.state} (visit {entry.visit})"
