"""What a person says of an effect closes its heads in the targets first, so that nothing lands behind their word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from saga_engine import errors
from saga_engine.domain.chart import Chart
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.ledger import strays
from saga_engine.ledger.heads import Key
from saga_engine.ledger.undo import applied
from saga_engine.ledger.void import shut, void
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.targets import Targets, plain_errors
from saga_engine.store import runs
from saga_engine.store.connect import reading

NAMED_MAX: Final = 5
"""So many parts are named in an error."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What was closed of the step whose undo is parked."""

    heads: Mapping[str, Key] = field(default_factory=dict)
    """To be settled, by connection."""
    left: tuple[str, ...] = ()
    """Connections in which they could not be closed."""

    @property
    def note(self) -> str:
        """What is to be said of those; else empty."""
        return f"not closed in {', '.join(self.left)}: a late attempt could still write there" if self.left else ""


def parked_pivot(chart: Chart, run: Snapshot) -> Task | None:
    """The pivot that is an effect and waits for a person: its targets can tell whether it took effect."""
    parked = next((task for task in run.tasks if task.kind == "step" and task.parked), None)
    return parked if parked is not None and _is_effect_pivot(chart, parked) else None


def nothing_applied(door: Door, targets: Targets, run: Snapshot, pivot: Task) -> bool:
    """Whether no part of it is in effect, as it looks now; a late attempt may still write."""
    for name, key in _keys(door, run, pivot.name, pivot.attempt).items():
        with _said_plainly(name, run):
            if applied(targets.engine(name), key, 1):
                return False
    return True


def pivot_unapplied(door: Door, targets: Targets, run: Snapshot, pivot: Task) -> bool:
    """Close its heads where nothing was applied: from then on it cannot take effect any more."""
    if not nothing_applied(door, targets, run, pivot):
        return False  # looked at everywhere first: a head that is closed here could not go forward there
    closed = []
    for name, key in _keys(door, run, pivot.name, pivot.attempt).items():
        with _said_plainly(name, run):
            closed.append(void(targets.engine(name), key))
    return all(closed)


def close_done(door: Door, targets: Targets, run: Snapshot) -> Closed:
    """Close the heads of a parked undo that is done, as a person says who looked.

    ``Conflict`` where a late attempt of the step could write until now, and parts are in effect: they may have come
    after the look. Nothing can come any more then, so the same is taken when it is said again.
    """
    undo = _parked_undo(run)
    heads: dict[str, Key] = {}
    left = []
    for name, key in _heads(door, run, undo, 0).items():
        with _said_plainly(name, run):
            try:
                token, parts = shut(targets.engine(name), key, NAMED_MAX + 1)
            except (errors.LedgerMissing, errors.LedgerChanged):
                left.append(name)  # as after another database was put there: nothing of this can be looked at
                continue
        if parts:
            named = ", ".join(repr(part.part) for part in parts[:NAMED_MAX]) + (", …" if len(parts) > NAMED_MAX else "")
            raise errors.Conflict(
                f"until now a late attempt could write to {name}, and parts of the step are in effect there: {named}. "
                "Nothing can come any more: look once more, and say it again",
                run=run.run_id,
            )
        heads[name] = replace(key, token=token)
    return Closed(heads, tuple(left))


def close_skipped(door: Door, targets: Targets, run: Snapshot) -> Closed:
    """Close what a parked undo leaves in effect, to late attempts of the step and of the undo, wherever it can be."""
    undo = _parked_undo(run)
    left = []
    for name, key in _heads(door, run, undo, 1).items():
        try:
            with _said_plainly(name, run):
                shut(targets.engine(name), key, 1)
        except errors.SagaError:
            left.append(name)
    return Closed(left=tuple(left))


def settle(targets: Targets, run: Snapshot, closed: Closed) -> str:
    """Record in the ledgers that nothing of what was closed is in effect; a note where that was not possible."""
    left = []
    for name, key in closed.heads.items():
        try:
            with _said_plainly(name, run):
                strays.settle(targets.engine(name), key)
        except errors.SagaError:
            left.append(name)
    return f"not noted in the ledger of {', '.join(left)}: saga reconcile will name it" if left else ""


def _parked_undo(run: Snapshot) -> Task | None:
    """The undo that waits for a person: there is one at a time."""
    return next((task for task in run.tasks if task.kind == "undo" and task.parked), None)


@contextmanager
def _said_plainly(name: str, run: Snapshot) -> Iterator[None]:
    try:
        with plain_errors(name):
            yield
    except errors.Superseded as error:
        raise errors.Conflict(f"{error}; look again", run=run.run_id) from None


def _heads(door: Door, run: Snapshot, undo: Task | None, more: int) -> Mapping[str, Key]:
    """The heads of the step whose undo is parked: held by its newest attempt, or by *more* than that."""
    entry = next((entry for entry in run.undo if undo and entry.position == undo.about), None)
    if undo is None or entry is None:
        return {}
    return _keys(door, run, entry.task, max(undo.attempt + more, 1), f"{entry.state} {entry.visit}")


def _keys(door: Door, run: Snapshot, task: str, token: int, step: str | None = None) -> Mapping[str, Key]:
    touched = reading(door.store, lambda db: runs.ledgers(db, run.run_id)).get(task, {})
    store = door.store_uuid() if touched else ""
    return {name: Key(store, task, token, ledger, step) for name, ledger in touched.items()}


def _is_effect_pivot(chart: Chart, task: Task) -> bool:
    step = chart.run_of(task.state)
    return step.safety == "pivot" and step.promise == "effect"
