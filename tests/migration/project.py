"""A project as a user has one: a folder with saga.toml and migrate_table, a store, connections, and workers."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from saga_engine.settings import Settings, actor, load
from saga_engine.store import journal
from tests.migration.points import Points
from tests.support.nursery import CHECKOUT, Forked, Nursery

SAGA: Final = "migrate_table"
LOOK_SECONDS: Final = 0.03
WAIT_SECONDS: Final = 60.0
"""Longer than anything here takes on a busy machine."""
BEFORE: Final = "runtime.action.before"
"""The failpoint before the step of a state is called."""
SETTINGS: Final = """\
store = "{store}"
workflows = "workflows"

[connections]
{connections}

[roles]
dba = ["{actor}"]

[limits]
poll_seconds = 0.1
"""


class Project:
    """See above. Everything goes through its ``engine``, as the command line does."""

    def __init__(self, folder: Path, nursery: Nursery, store: str, connections: Mapping[str, str]) -> None:
        self.folder = folder
        self._nursery = nursery
        (folder / "workflows").mkdir(parents=True)
        shutil.copy(CHECKOUT / "workflows" / f"{SAGA}.py", folder / "workflows")
        named = "\n".join(f'{name} = "{url}"' for name, url in connections.items())
        text = SETTINGS.format(store=store, connections=named, actor=actor(Settings()))
        (folder / "saga.toml").write_text(text)
        self.workers: list[Forked] = []
        self.engine = self.opened()

    def opened(self) -> Engine:
        """Another engine on the same store, as another process would have it."""
        settings = load(self.folder)
        return Engine(settings=settings, registry=registry.load(settings.workflows))

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.engine.close()

    # --- acting

    def start(self, source: str, target: str, table: str, key: str | None = None, **more: Any) -> str:
        """Start a migration; its run id."""
        given = {"source": source, "target": target, "table": table, **more}
        return self.engine.start(SAGA, given, key=key).id

    def worker(self, concurrency: int = 2, points: Points | None = None) -> Forked:
        """Fork a worker. With *points* it kills itself there (``points.KillOnce``)."""
        order = {"folder": str(self.folder), "concurrency": concurrency, "points": points}
        worker = Forked(self._nursery, int(self._nursery.ask(work=order)))
        self.workers.append(worker)
        return worker

    def approve(self, run: str) -> None:
        """Approve what the run waits for, as somebody does who has looked at it."""
        self.engine.approve(run, shown=self._digest(run), reason="looked at it")

    def reject(self, run: str) -> None:
        self.engine.reject(run, shown=self._digest(run), reason="not today")

    def dies_in(self, state: str, point: str = BEFORE, at: int = 1) -> None:
        """Let a worker go on until it is in *state*, where it is killed at the *at*-th hit of the failpoint *point*."""
        worker = self.worker(concurrency=1, points={state: (point, at)})
        end = time.monotonic() + WAIT_SECONDS
        while worker.alive:
            assert time.monotonic() < end, f"the worker did not come to {point} in {state}"
            time.sleep(LOOK_SECONDS)
        assert worker.state() == "killed", (worker.state(), self.log())

    # --- looking

    def get(self, run: str) -> RunView:
        return self.engine.get(run)

    def until(self, run: str, there: Callable[[RunView], bool], seconds: float = WAIT_SECONDS) -> RunView:
        """Wait until the run is *there*."""
        end = time.monotonic() + seconds
        while not there(found := self.engine.get(run)):
            assert time.monotonic() < end, f"after {seconds} s {self.told(run)}"
            time.sleep(LOOK_SECONDS)
        return found

    def ended(self, run: str, seconds: float = WAIT_SECONDS) -> RunView:
        """Wait until the run has ended, and what it had to do at its end is done: files removed, people told."""
        return self.until(run, lambda found: found.ended and not found.tasks, seconds)

    def waiting(self, run: str) -> RunView:
        """Wait until the run waits for its approval."""
        return self.until(run, lambda found: found.status == "waiting")

    def parked(self, run: str, code: str) -> RunView:
        """Wait until the run is parked for the reason *code*."""
        return self.until(run, lambda found: code in [(task.parked or "")[:3] for task in found.tasks])

    def errors(self, run: str) -> list[str]:
        """The errors that the run's journal names, each once, in order."""
        found = [str(line.event["error"]) for line in self.engine.history(run) if line.event.get("error")]
        return list(dict.fromkeys(found))

    def states(self, run: str) -> list[str]:
        """The states that the run has been in, as its journal tells."""
        commands = [command for line in self.engine.history(run) for command in line.commands]
        return [command["target"] for command in commands if command["kind"] == "Move"]

    def told(self, run: str) -> str:
        """All that a person would look at, for the message of an assertion."""
        found = self.engine.get(run)
        tasks = [(t.name, t.kind, t.state, t.parked, t.error, t.crashes, t.leased_by) for t in found.tasks]
        return f"{found.name} is {found.status} in {found.state}: {tasks}; {self.errors(run)}; {self.folder}/worker.log"

    def log(self) -> str:
        """What the workers have logged."""
        return (self.folder / "worker.log").read_text()

    def broken_at(self, run: str) -> int | None:
        """The first revision at which the journal has a gap or was changed."""
        with self.engine.store.read() as db:
            return journal.verify(db, run)

    def left_over(self) -> list[str]:
        """Folders of exports that are still there."""
        return sorted(path.name for path in (self.folder / ".saga" / "exports").glob("*"))

    def live(self) -> dict[str, str]:
        """The runs that have not ended, with their statuses."""
        return {line.id: line.status for line in self.engine.find(live=True, limit=100).items}

    def statuses(self, runs: list[str]) -> dict[str, int]:
        """How many of the runs have which status."""
        return dict(Counter(self.engine.get(run).status for run in runs))

    def _digest(self, run: str) -> str:
        [approval] = self.engine.approvals(run)
        return approval.digest
