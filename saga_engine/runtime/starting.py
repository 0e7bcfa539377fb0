"""How a run begins: input validated, key looked up, first decision recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import ids, run_views
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.payload import as_json, storable, usable_key, validated
from saga_engine.runtime.places import Place, beginning
from saga_engine.runtime.views import RunView
from saga_engine.store import inspect, pruned, trouble
from saga_engine.store.connect import alone, glancing, retrying
from saga_engine.store.entry import Entry, Head, Heads, NewRun, Pinned
from saga_engine.store.entry import beginning as chained_to
from saga_engine.store.record import Numbered, numbered, record, record_at_once

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
    place, recorded, begins = door.place(pinned), None, False
    one = _Start(door, chart, before, NewRun(ids.tag_of(before.run_id), key, pinned), place)
    try:
        found = one.certain()
        recorded = found if isinstance(found, str) else found.run.run_id
    finally:
        if place is not None:
            begins = place.settle(recorded, one.heads.get(before.run_id))
    if not begins:
        door.store.tell_due()
    return run_views.run(door, found) if isinstance(found, str) else run_views.begun(door, chart, found, key)


class _Start:
    """One start, tried until it is certain. What it finds is the id of a run that is there, or a new run."""

    def __init__(self, door: Door, chart: Chart, before: Snapshot, new: NewRun, place: Place | None) -> None:
        self.heads: Heads = {}
        """Of the run, once it is written."""
        self._door, self._store, self._chart = door, door.store, chart
        self._before, self._new, self._place = before, new, place

    def certain(self) -> str | run_views.Begun:
        """After an unknown outcome, or a race for the key, the same id and key are inserted again: unique keys tell."""
        doubt: errors.OutcomeUnknown | None = None
        for number in range(TRIES_MAX):
            try:
                found = self._write_at_once() if self._store.has_round_trips and number == 0 else None
                return found or retrying(self._store, partial(self._write, again=number > 0))
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

    def _write(self, db: sa.Connection, *, again: bool) -> str | run_views.Begun:
        """In one transaction."""
        known = _known(db, self._before, self._new.run_key, again=again)
        if known:
            return known
        now = self._store.clock(db)
        entry = self._entry(now)
        record(db, [entry], now, self.heads)
        return self._begun(entry, now, inspect.neighbours(db, self._new.tag))

    def _write_at_once(self) -> str | run_views.Begun | None:
        """By a look and one statement; None where that is not enough for what it writes: nothing is written then."""
        seen = glancing(self._store, self._look)
        if isinstance(seen, str):
            return seen
        now, numbered = seen
        entry, run_id = self._entry(now), self._before.run_id
        self.heads[run_id] = Head(numbered.number, 0, chained_to(run_id), self._new.pinned)
        written = alone(self._store, lambda db: record_at_once(db, [entry], now, self.heads, now))
        return self._begun(entry, now, numbered.neighbours) if written else None

    def _look(self, db: sa.Connection) -> str | tuple[datetime, Numbered]:
        known = _known(db, self._before, self._new.run_key, again=False)
        return known or (self._store.clock(db), numbered(db, self._new.tag))

    def _entry(self, now: datetime) -> Entry:
        event = e.RunStarted(self._before.starter)
        decision = decide(self._chart, self._before, event, now, self._door.budget)
        head = beginning(self._chart, decision.after, now)
        if self._place is not None and head is not None:
            decision = self._place.leased(decision, head)
        return Entry(self._before, event, decision, self._new)

    def _begun(self, entry: Entry, now: datetime, neighbours: tuple[str, ...]) -> run_views.Begun:
        holders = self._place.holders(now) if self._place is not None else {}
        return run_views.Begun(entry.decision.after, now, neighbours, holders)


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
