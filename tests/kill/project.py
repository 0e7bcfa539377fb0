"""A project as a user has one: a folder with saga.toml, a store, a target, workers; and what is asked about it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from saga_engine.settings import load
from saga_engine.store import journal
from tests.kill import votes
from tests.kill.workers import Command
from tests.support.nursery import LOOK_SECONDS, WAIT_SECONDS, Forked, Nursery

WORKFLOWS: Final = Path(__file__).parent / "workflows"
SETTINGS: Final = """\
store = "{store}"
workflows = "{workflows}"

[connections]
dw = "{target}"

[roles]
dba = [{people}]

[limits]
"""
LIMITS: Final = {"poll_seconds": 0.1, "grace_seconds": 2.0}
PEOPLE: Final = [votes.person(process, thread) for process in range(4) for thread in range(4)]
ID: Final = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "int GENERATED ALWAYS AS IDENTITY"}
GOING: Final = ["out", "home", "hotel", "car"]


class Project:
    """See above. Everything goes through its ``engine``, as the command line does."""

    def __init__(
        self, folder: Path, nursery: Nursery, store: str, target: str, workflows: Path = WORKFLOWS, **limits: float
    ) -> None:
        self.folder = folder
        self.nursery = nursery
        folder.mkdir(parents=True)
        people = ", ".join(f'"{person}"' for person in PEOPLE)
        text = SETTINGS.format(store=store, workflows=workflows, target=target, people=people)
        bounds = "".join(f"{name} = {value}\n" for name, value in {**LIMITS, **limits}.items())
        (folder / "saga.toml").write_text(text + bounds)
        self.processes: list[Forked | Command] = []
        settings = load(folder)
        # At the default limits: with a short lease PostgreSQL ends a session that makes a schema on a busy machine.
        Engine(store).close()
        self.engine = Engine(settings=settings, registry=registry.load(settings.workflows))
        assert not self.engine.registry.broken, self.engine.registry.broken
        self.engine.targets.make_ledger("dw")
        self.target = self.engine.targets.engine("dw")
        with self.target.begin() as db:
            kind = ID[db.dialect.name]
            db.execute(sa.text(f"CREATE TABLE booked (id {kind}, run text, what text, pid int)"))
            db.execute(sa.text(f"CREATE TABLE taken_back (id {kind}, run text, what text)"))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.engine.close()

    # --- acting

    def start(self, saga: str, **given: Any) -> str:
        """Start a run; its id."""
        return self.engine.start(saga, {"folder": str(self.folder), **given}).id

    def worker(
        self, points: str = "", *, concurrency: int = 2, until_idle: bool = False, planted: Sequence[str] = ()
    ) -> Forked:
        """Fork a worker."""
        order = {
            "folder": str(self.folder), "points": points, "concurrency": concurrency,
            "until_idle": until_idle, "planted": list(planted),
        }  # fmt: skip
        worker = Forked(self.nursery, int(self.nursery.ask(work=order)))
        self.processes.append(worker)
        return worker

    def command(self, *arguments: str, points: str = "", **environment: str) -> Command:
        """Start ``saga worker``."""
        command = Command(self.folder, *arguments, points=points, **environment)
        self.processes.append(command)
        return command

    # --- looking

    def until(self, run: str, there: Callable[[RunView], bool], seconds: float = WAIT_SECONDS) -> RunView:
        """Wait until the run is *there*."""
        end = time.monotonic() + seconds
        while not there(found := self.engine.get(run)):
            assert time.monotonic() < end, f"after {seconds} s {self.told(run)}"
            time.sleep(LOOK_SECONDS)
        return found

    def ended(self, run: str, seconds: float = WAIT_SECONDS) -> RunView:
        """Wait until the run has ended."""
        return self.until(run, lambda found: found.ended, seconds)

    def parked(self, run: str, code: str) -> RunView:
        """Wait until the run is parked for the reason *code*."""
        return self.until(run, lambda found: code in [(task.parked or "")[:3] for task in found.tasks])

    def seen(self, run: str, attempt: int, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until the attempt of a run has said that it has begun; what it said."""
        end = time.monotonic() + seconds
        while True:
            for line in self.lines():
                if (line["run"], line["attempt"]) == (run, attempt):
                    return line
            assert time.monotonic() < end, f"no attempt {attempt} within {seconds} s: {self.told(run)}"
            time.sleep(LOOK_SECONDS / 2)

    def lines(self) -> list[dict[str, Any]]:
        """What attempts have said, in order."""
        file = self.folder / "seen"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def booked(self) -> dict[str, list[str]]:
        """What is booked, for each run, in order."""
        return self._rows("SELECT run, what FROM booked ORDER BY id")

    def taken_back(self) -> dict[str, list[str]]:
        """What was taken back, for each run, in order."""
        return self._rows("SELECT run, what FROM taken_back ORDER BY id")

    def _rows(self, query: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        with self.target.connect() as db:
            for run, what in db.execute(sa.text(query)):
                found[run].append(what)
        return dict(found)

    def events(self, run: str, kind: str) -> list[dict[str, Any]]:
        """The events of that kind in the journal."""
        return [line.event for line in self.engine.history(run) if line.kind == kind]

    def check_journal(self, run: str) -> None:
        """Gap-free, and nothing in it was changed."""
        with self.engine.store.read() as db:
            assert journal.verify(db, run) is None, self.told(run)

    def store_rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """What the store says."""
        with self.engine.store.read() as db:
            return [tuple(row) for row in db.execute(sa.text(query), values)]

    def task(self, run: str) -> dict[str, Any]:
        """The row of the run's one open step."""
        [row] = self.store_rows(
            "SELECT attempt, failures, crashes, leased_by, lost_by, parked_code FROM saga_tasks "
            "WHERE run_id = :run AND kind = 'step'",
            run=run,
        )
        return dict(zip(("attempt", "failures", "crashes", "leased_by", "lost_by", "parked_code"), row, strict=True))

    def told(self, run: str) -> str:
        """All that a person would look at, for the message of an assertion."""
        found = self.engine.get(run)
        tasks = [(t.name, t.kind, t.state, t.parked, t.error, t.crashes, t.leased_by) for t in found.tasks]
        log = self.folder / "worker.log"
        end = log.read_text()[-3000:] if log.exists() else ""
        return f"{found.name} is {found.status} in {found.state}: {tasks}\n{log}:\n{end}"
