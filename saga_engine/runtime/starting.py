"""How a run begins: input validated, key looked up, first decision recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import ids, look
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.payload import as_json, storable, usable_key, validated
from saga_engine.runtime.places import beginning
from saga_engine.runtime.views import RunView
from saga_engine.store import inspect, pruned, trouble
from saga_engine.store.connect import retrying
from saga_engine.store.entry import Entry, NewRun, Pinned
from saga_engine.store.record import record

if TYPE_CHECKING:
    import sqlalchemy as sa


TRIES_MAX = 4
"""How often a start whose outcome is unknown, or that lost a race for its key, looks again."""


def start(
    door: Door, saga: Saga[Any, Any] | str, given: BaseModel | Mapping[str, Any], key: str | None, actor: str
) -> RunView:
    """Record a new run, in one transaction, and give it back; with a key that is known, that run."""
    chart = door.registry.newest(saga) if isinstance(saga, str) else door.registry.chart_of(saga)
    value = validated(chart.saga.input, given, f"{chart.name} cannot start with this input")
    text = as_json(value, f"the input of {chart.name}", door.limits.input_bytes_max)
    storable(actor, "actor")
    if key is not None:
        usable_key(key, "run key")
    before = Snapshot(ids.new_run_id(), chart.name, chart.version, chart.digest, text, actor)
    pinned = Pinned(door.pin(chart), chart.saga.queue)

    def write(db: sa.Connection, *, again: bool) -> str | look.Begun:
        known = _known(db, before, key, again=again)
        if known:
            return known
        now = door.store.clock(db)
        event = e.RunStarted(actor)
        decision = decide(chart, before, event, now, door.budget)
        head = beginning(chart, decision.after, now)
        if place is not None and head is not None:
            decision = place.leased(decision, head)
        new = NewRun(ids.tag_of(before.run_id), key, pinned)
        record(db, [Entry(before, event, decision, new)], now)
        holders = place.holders(now) if place is not None else {}
        return look.Begun(decision.after, now, inspect.neighbours(db, new.tag), holders)

    place, recorded, begins = door.place(pinned), None, False
    try:
        found = _certain(door, write)
        recorded = found if isinstance(found, str) else found.run.run_id
    finally:
        if place is not None:
            begins = place.settle(recorded)
    if not begins:
        door.store.tell_due()
    return look.run(door, found) if isinstance(found, str) else look.begun(door, chart, found, key)


def _certain(door: Door, write: Callable[..., str | look.Begun]) -> str | look.Begun:
    """The start inserts the same id and key again after an unknown outcome, or a race for the key: unique keys tell."""
    doubt: errors.OutcomeUnknown | None = None
    for number in range(TRIES_MAX):
        try:
            return retrying(door.store, partial(write, again=number > 0))
        except errors.OutcomeUnknown as error:
            doubt = error
        except errors.StoreError as error:
            if doubt is None:
                raise
            raise doubt from error  # it may be there: nobody may say that nothing was changed
        except trouble.DUPLICATE:
            if number == TRIES_MAX - 1 and doubt is None:
                raise
    assert doubt is not None, "the last try returns, or raises, or ends in doubt"
    raise doubt


def _known(db: sa.Connection, run: Snapshot, key: str | None, *, again: bool) -> str | None:
    """The run that is there already: an earlier one with the key, or *again* this very start."""
    if again and inspect.row_of(db, run.run_id) is not None:
        return run.run_id
    row = inspect.by_key(db, key) if key is not None else None
    if row is None:
        _refuse_pruned(db, key)
        return None
    differs = [
        what
        for what, same in (
            ("saga", row.saga == run.saga),
            ("version", row.version == run.version),
            ("input", row.input == run.input),
        )
        if not same
    ]
    if differs:
        raise errors.KeyTaken(key=key, run=ids.short(row.saga, row.tag), difference=" and ".join(differs))
    return str(row.id)


def _refuse_pruned(db: sa.Connection, key: str | None) -> None:
    """A key of a run that was pruned is spent: nobody could tell any more whether this is the same start."""
    gone = pruned.by_key(db, key) if key is not None else None
    if gone is not None:
        raise errors.KeyPruned(key=key, run=gone.run_id, status=gone.status)
