"""What is well and what is not: settings, store, durability, workers, runs, sagas, connections.

Each part is looked at by itself: one that cannot be, is a problem and keeps no other from being told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from saga_engine import errors
from saga_engine.domain.check import check
from saga_engine.domain.whys.reason import counted
from saga_engine.runtime import ids, look, opening
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.reconcile import stray_runs
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.views import Symptom
from saga_engine.settings import Settings
from saga_engine.store import inspect, migrate
from saga_engine.store.connect import Store

LEDGER_ROWS: Final = 1_000
"""So many rows of a ledger are looked at, of the youngest runs."""
NAMED_MAX: Final = 20
"""How many runs one kind of symptom names."""
SKEW_MAX: Final = timedelta(seconds=5)
"""How far the clocks of this host and of the store may be apart."""
DURABLE: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "sqlite": {"synchronous": ("2", "3")},
    "postgresql": {
        "fsync": ("on",),
        "full_page_writes": ("on",),
        "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    },
}
"""The values with which an acknowledged commit survives a crash. SQLite: 2 is FULL, 3 EXTRA."""

Symptoms = Iterator[Symptom]


def examine(settings: Settings, registry: Registry) -> list[Symptom]:
    """Everything that is known of this installation, in the order in which it should be mended."""
    found = list(_part("sagas", lambda: _sagas(settings, registry)))
    store: list[Store] = []
    door: Door | None = None
    targets = Targets(settings)
    try:
        found += _part("store", lambda: _store(settings, store))
        if store and _is_usable(store[0]):
            door = Door(store[0], registry, settings.limits)
            found += _part("workers", partial(_workers, door))
            found += _part("runs", partial(_runs, door))
        for name in sorted(settings.connections):
            found += _part("connection", partial(_connection, targets, name))
            if door is not None:
                found += _part("ledger", partial(_ledger, door, targets, name))
    finally:
        targets.close()
        for opened in store:
            opened.close()
    return found


def _is_usable(store: Store) -> bool:
    """Whether there is a schema to look at; what is wrong with it was said."""
    try:
        migrate.check(store)
    except errors.StoreError:
        return False
    return True


def _part(area: str, look_at: Callable[[], Symptoms]) -> Symptoms:
    """What *look_at* finds; an error ends it, and is what was found."""
    try:
        yield from look_at()
    except errors.SagaError as error:
        # Doctor itself is no help to somebody who reads what it says.
        hint = "" if error.next_command == "saga doctor" else error.next_command
        yield Symptom(area=area, state="problem", text=str(error), next=hint)


def _ok(area: str, text: str) -> Symptom:
    return Symptom(area=area, state="ok", text=text)


def _sagas(settings: Settings, registry: Registry) -> Symptoms:
    if not settings.workflows.exists():
        yield Symptom(area="sagas", state="warning", text=f"{settings.workflows} does not exist", next="saga init")
    for file, reason in registry.broken.items():
        yield Symptom(area="sagas", state="problem", text=f"{file} cannot be loaded: {reason}", next="saga check")
    for chart in registry:
        found = [finding.severity for finding in check(chart.saga, settings.roles)]
        name = f"{chart.name} v{chart.version}"
        if found:
            text = f"{name}: {counted(found.count('error'), 'error')}, {counted(found.count('warning'), 'warning')}"
            yield Symptom(
                area="sagas", state="problem" if "error" in found else "warning", text=text, next="saga check"
            )
        else:
            yield _ok("sagas", name)


def _store(settings: Settings, opened: list[Store]) -> Symptoms:
    """*opened* takes the store, for the parts that follow."""
    store = opening.unchecked(settings, create=False)
    opened.append(store)
    has, wanted = migrate.current(store), migrate.head()
    migrate.check(store)
    yield _ok("store", f"{store.url} opens, schema {has} is {'current' if has == wanted else 'another'}")
    with store.read() as db:
        found, now = inspect.durability(db), store.clock(db)
    bad = {name: found[name] for name, good in DURABLE[store.dialect].items() if found[name] not in good}
    told = ", ".join(f"{name} {value}" for name, value in found.items())
    if bad:
        text = f"{', '.join(f'{name} is {value}' for name, value in bad.items())}: an acknowledged step can be lost"
        yield Symptom(area="durability", state="problem", text=text, next="set it right in the database's settings")
    else:
        yield _ok("durability", told)
    skew = abs(now - datetime.now(UTC))
    if skew > SKEW_MAX:
        text = f"the clocks of this host and of the store are {skew.total_seconds():.0f} s apart"
        yield Symptom(area="clock", state="warning", text=text, next="let both follow the same time server")


def _workers(door: Door) -> Symptoms:
    workers = look.workers(door)
    for worker in workers:
        who = f"{worker.host} pid {worker.pid}"
        if not worker.alive:
            text = f"{who} is gone; what it held is taken over by the next worker that looks"
            yield Symptom(area="workers", state="warning", text=text, next="saga worker")
        for file, reason in worker.broken.items():
            text = f"{who} could not load {file}: {reason}"
            yield Symptom(area="workers", state="problem", text=text, next="mend the file, restart the worker")
    alive = [worker for worker in workers if worker.alive]
    if alive:
        busy, slots = sum(worker.busy for worker in alive), sum(worker.slots for worker in alive)
        yield _ok("workers", f"{len(alive)} alive, {busy} of {slots} slots busy")
    else:
        yield Symptom(area="workers", state="warning", text="no worker is alive, so nothing moves", next="saga worker")


def _runs(door: Door) -> Symptoms:
    with door.store.read() as db:
        pinned, taskless = inspect.pinned(db), inspect.taskless(db, NAMED_MAX)
        notices = inspect.parked_notices(db, NAMED_MAX)
        parked = sum(n for (_, _, status), n in inspect.counts(db).items() if status == "parked")
    for row in taskless:
        text = f"{_name(row)} is live and has no open task: its rows were changed by hand, or a backup is incomplete"
        yield Symptom(area="runs", state="problem", text=text, next=f"saga history {_name(row)}")
    for row in notices:
        text = f"{_name(row)} has ended, and a notice about it failed for good: {row.parked_text}"
        yield Symptom(area="runs", state="warning", text=text, next=f"saga retry {_name(row)}")
    for saga, version, digest, count in pinned:
        if door.registry.by_digest(digest) is None:
            told = f"{counted(count, 'live run')} of {saga} v{version} ({digest[:12]})"
            text = f"{told} cannot go on: that definition is not loaded here"
            yield Symptom(area="runs", state="warning", text=text, next="saga check --against-store")
    if parked:
        yield Symptom(area="runs", state="warning", text=f"{parked} wait for a person", next="saga status")
    live = sum(count for *_, count in pinned)
    yield _ok("runs", f"{live} live")


def _name(row: Any) -> str:  # noqa: ANN401  a row of saga_runs
    return ids.short(row.saga, row.tag)


def _connection(targets: Targets, name: str) -> Symptoms:
    uuid = targets.ledger(name)
    if uuid is None:
        text = f"{name} answers; it has no ledger, which effect steps need"
        yield Symptom(area="connection", state="warning", text=text, next=f"saga db ledger {name}")
        return
    yield _ok("connection", f"{name} answers, ledger {uuid}")
    if weak := targets.not_durable(name):
        told = ", ".join(f"{setting} is {value}" for setting, value in weak.items())
        text = f"{name}: {told}: an effect that was committed can be lost with the server"
        yield Symptom(area="connection", state="warning", text=text, next="set it right in the database's settings")


def _ledger(door: Door, targets: Targets, name: str) -> Symptoms:
    """What the ledger knows of this store's youngest runs: those that the store does not know are a backup's work."""
    if targets.ledger(name) is None:
        return
    unknown = stray_runs(door, targets, name, LEDGER_ROWS)
    if unknown:
        shown = ", ".join(unknown[:NAMED_MAX])
        text = f"{name} knows {len(unknown)} runs of this store that the store has not: it is an older backup: {shown}"
        yield Symptom(area="ledger", state="problem", text=text, next="saga reconcile --all --dry-run")
