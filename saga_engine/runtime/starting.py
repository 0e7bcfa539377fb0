"""How a run begins: input validated, key looked up, first decision recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.chart import Chart
from saga_engine.domain.codec import canonical
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import ids
from saga_engine.runtime.deliver import Door
from saga_engine.store import definitions, inspect, trouble
from saga_engine.store.connect import retrying
from saga_engine.store.record import record
from saga_engine.store.rows import Entry, NewRun, Pinned

if TYPE_CHECKING:
    import sqlalchemy as sa


TRIES_MAX = 3
"""How often a start whose outcome is unknown, or that lost a race for its key, looks again."""


def start(
    door: Door, saga: Saga[Any, Any] | str, given: BaseModel | Mapping[str, Any], key: str | None, actor: str
) -> str:
    """Record a new run and return its id; with a key that is known, the id of that run."""
    chart = door.registry.newest(saga) if isinstance(saga, str) else door.registry.chart_of(saga)
    text = _input(chart, given, door.limits.input_bytes_max)
    run_id = ids.new_run_id()

    def write(db: sa.Connection) -> str:
        known = _known(db, run_id, key, chart, text)
        if known:
            return known
        now = door.store.clock(db)
        pinned = Pinned(definitions.register(db, [chart])[chart.digest], chart.saga.queue)
        before = Snapshot(run_id, chart.name, chart.version, chart.digest, text, actor)
        event = e.RunStarted(actor)
        decision = decide(chart, before, event, now, door.budget)
        record(db, [Entry(before, event, decision, NewRun(ids.tag_of(run_id), key, pinned))], now)
        return run_id

    return _certain(door, write)


def _certain(door: Door, write: Callable[[sa.Connection], str]) -> str:
    """The start inserts the same id and key again after an unknown outcome, or a race for the key: unique keys tell."""
    for _ in range(TRIES_MAX):
        try:
            return retrying(door.store, write)
        except (errors.OutcomeUnknown, trouble.DUPLICATE):
            continue
    return retrying(door.store, write)


def _known(db: sa.Connection, run_id: str, key: str | None, chart: Chart, text: str) -> str | None:
    """The run that is there already: this very start, or an earlier one with the key."""
    if inspect.row_of(db, run_id) is not None:
        return run_id
    row = inspect.by_key(db, key) if key is not None else None
    if row is None:
        return None
    differs = [
        what
        for what, same in (
            ("saga", row.saga == chart.name),
            ("version", row.version == chart.version),
            ("input", row.input == text),
        )
        if not same
    ]
    if differs:
        raise errors.KeyTaken(key=key, run=ids.short(row.saga, row.tag), difference=" and ".join(differs))
    return str(row.id)


def _input(chart: Chart, given: BaseModel | Mapping[str, Any], most: int) -> str:
    """The validated input as canonical JSON."""
    model = chart.saga.input
    try:
        value = given if isinstance(given, model) else model.model_validate(dict(given))
    except ValidationError as error:
        raise errors.BadInput(f"{chart.name} cannot start with this input: {plain(error)}") from None
    text = canonical(value.model_dump(mode="json"))
    if len(text.encode()) > most:
        raise errors.PayloadTooLarge(what=f"the input of {chart.name}", size=len(text.encode()), limit=most)
    return text


def plain(error: ValidationError) -> str:
    """What is wrong with each field, without the values, which may be secrets."""
    return "; ".join(f"{'.'.join(map(str, x['loc'])) or 'input'}: {x['msg']}" for x in error.errors(include_url=False))
