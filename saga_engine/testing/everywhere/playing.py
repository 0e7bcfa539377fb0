"""One process of a test: it starts the run, or goes on with it, is worker and people, and tells how it ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, select

from saga_engine import failpoints
from saga_engine.domain.definition.table import Wait
from saga_engine.errors import SettingsError
from saga_engine.ledger.database import NAME
from saga_engine.ledger.schema import parts
from saga_engine.runtime import engine as runtime
from saga_engine.runtime.views import RunView, TaskView
from saga_engine.store import inspect
from saga_engine.testing.everywhere.scene import PEOPLE, STARTER, Scene
from saga_engine.testing.everywhere.tables import LEDGER
from saga_engine.testing.kills.forks import Tell

STATEMENT: Final = "user.statement"
"""The failpoint behind each statement of the user's that writes."""
READING: Final = ("SELECT", "PRAGMA", "BEGIN", "SHOW", "SET", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "EXPLAIN")
STATEMENT_WORDS: Final = 3
WAIT_SECONDS_MAX: Final = 60.0
"""A run that has not ended after this time is stuck."""
LOOK_SECONDS: Final = 0.02
WATCH_SECONDS: Final = 0.2
"""Between two looks at a run that a worker has at hand."""
MISTAKE: Final = f"{SettingsError.__name__}: "
"""What the error of an attempt begins with that fails for the settings, as it will whenever it is tried again."""


class Stuck(Exception):
    """The run does not end by itself: ``reason``, and the ``code`` of why it is parked, if it is."""

    def __init__(self, run: RunView, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.told = {"state": run.state, "reason": reason, "code": code}


def play(scene: Scene, key: str, points: failpoints.Hook | str, tell: Tell) -> None:
    """Play to the end, with the failpoints as *points* says; tells ``statement``s, where it was, then ``end``."""
    with failpoints.switched_on(points), _statements_told(tell), scene.open() as engine:
        tell({"where": _where(engine, key)})
        try:
            run = _to_its_end(scene, engine, key)
        except Stuck as stuck:
            tell({"stuck": stuck.told})
        else:
            tell({"end": {**_end(run), "parts": _parts(engine, run.id)}})


def _to_its_end(scene: Scene, engine: runtime.Engine, key: str) -> RunView:
    run = engine.start(scene.chart.name, scene.input, key=key, actor=STARTER)
    until = time.monotonic() + WAIT_SECONDS_MAX
    while not _is_at_rest(run):
        parked = next((task for task in run.tasks if task.parked), None)
        if parked is not None and not run.ended:
            raise Stuck(run, f"{parked.parked} {parked.error}".strip(), (parked.parked or "")[:3])
        if mistake := _mistake(run):
            raise Stuck(run, mistake)
        if time.monotonic() > until:
            errors = "; ".join(task.error for task in run.tasks if task.error)
            raise Stuck(run, f"it has not ended within {WAIT_SECONDS_MAX:.0f} s: {errors or run.waiting_on}")
        if not run.ended:
            _people_act(scene, engine, run)
        _work(engine, scene.chart.saga.queue, run.id, until)
        before, run = run, engine.get(run.id)
        if run.revision == before.revision:
            time.sleep(LOOK_SECONDS)
    return run


def _is_at_rest(run: RunView) -> bool:
    """It has ended, and the notices of its end are given, too, or have failed of themselves.

    One whose process was killed is due again, or still leased to the dead: whoever goes on with the run gives it.
    One that fails is tried again for minutes, and tells nothing new.
    """
    return run.ended and not any(task.leased_by or _waits_for_a_worker(task) for task in run.tasks)


def _waits_for_a_worker(task: TaskView) -> bool:
    return task.due_at is not None and task.failures == 0


def _mistake(run: RunView) -> str:
    """What is wrong with the settings, if a task has failed for that."""
    return next((task.error for task in run.tasks if task.error.startswith(MISTAKE)), "")


def _work(engine: runtime.Engine, queue: str, run: str, until: float) -> None:
    """Be a worker until nothing is due, there is a mistake, or it is *until*: what fails and fails is always due."""
    worker = engine.worker(queues=(queue,))
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_SECONDS):
            if time.monotonic() > until or _mistake(engine.get(run)):
                worker.stop()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        worker.run(until_idle=True)
    finally:
        over.set()
        watcher.join()


def _people_act(scene: Scene, engine: runtime.Engine, run: RunView) -> None:
    for gate in engine.approvals(run.id):
        for person in PEOPLE[gate.have : gate.need]:
            engine.approve(run.id, shown=gate.digest, actor=person)
    activity = scene.chart.activity(run.state)
    if isinstance(activity, Wait) and run.status == "waiting":
        name = activity.event.name
        if name not in scene.events:
            raise Stuck(run, f"it waits for the event {name}: give one with --event '{name}={{…}}'", "event")
        engine.send(run.id, name, scene.events[name], actor=STARTER)


def _where(engine: runtime.Engine, key: str) -> dict[str, str] | None:
    """State and kind of what the run was at; None where there is no run yet."""
    with engine.store.read() as db:
        row = inspect.by_key(db, key)
    if row is None:
        return None
    run = engine.get(row.id)
    task = next((task for task in run.tasks if task.kind != "timer"), None)
    return {"state": task.state if task else run.state, "kind": task.kind if task else ""}


def _end(run: RunView) -> dict[str, Any]:
    return {
        "state": run.state,
        "status": run.status,
        "results": json.loads(json.dumps(run.results, default=str)),
        # Without what they say: that may be a time, or an address.
        "notices": sorted(f"{task.kind} of {task.state}: {task.parked or 'it fails'}" for task in run.tasks),
    }


def _parts(engine: runtime.Engine, run: str) -> list[str]:
    """What the ledgers hold of the run: connection, part and status of each part, sorted."""
    found = []
    for name in engine.targets.names:
        with engine.targets.engine(name).connect() as db:
            rows = db.execute(select(parts.c.part, parts.c.status).where(parts.c.task.startswith(f"{run}.")))
            found += [f"{name} {part or '-'} {status}" for part, status in rows]
    return sorted(found)


@contextmanager
def _statements_told(tell: Tell) -> Iterator[None]:
    """Make a failpoint of each statement that the user's code writes with, in connections of the engine's."""

    def behind(db: Connection, _cursor: object, sql: str, *_: object) -> None:
        words = sql.split()
        if NAME in db.get_execution_options() and LEDGER not in sql and words and words[0].upper() not in READING:
            tell({"statement": " ".join(words[:STATEMENT_WORDS])})
            failpoints.hit(STATEMENT)

    event.listen(Engine, "after_cursor_execute", behind)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", behind)
