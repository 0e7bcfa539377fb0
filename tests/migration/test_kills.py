"""kill -9 of workers at random moments of many migrations: nothing lost, nothing twice, every run ends.

Two workers go on side by side; whichever is hit is replaced at once. Half of the runs take the place of a table that
is there, half make a new one. Most are approved, some rejected, some have a value of their staging table damaged
behind their back. ``SAGA_TEST_SEED=N`` repeats the choices of a run; the moments are the machine's.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.actions.compare import unequal
from tests.actions.support import Database
from tests.migration.conftest import FreshUrl, Projects
from tests.migration.project import Project
from tests.support.nursery import Forked

ROWS: Final = 3_000
CHUNK_ROWS: Final = 200
CHUNKS: Final = 15
IN_FLIGHT: Final = 4
WORKERS: Final = 2
PAUSE_SECONDS: Final = (0.2, 1.0)
"""Between two kills."""
SHORT_KILLS, LONG_KILLS = 50, 500
END_SECONDS: Final = 90.0
"""For the runs that are left when the kills are over."""
LOOK_SECONDS: Final = 0.05
PAIRS: Final = [
    ("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite"), ("postgresql", "postgresql"),
]  # fmt: skip
FATES: Final = ["approve", "reject", "approve", "damage", "approve"]
AWKWARD: Final = [None, "", "it's", "two\nlines", "tab\there", "back\\slash", "\\N", "NULL", "%s {0}", "日本語", "🙂"]
OLD: Final = [(1, "old", 1), (99_999, "older", 2)]


@dataclass
class Fleet:
    """The runs, the workers, and what was decided."""

    project: Project
    databases: dict[str, Database]
    chance: random.Random
    fates: dict[str, str] = field(default_factory=dict)
    """By run: approve, reject, or damage, which becomes "damaged" when it was."""
    targets: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """By run: source, target, table."""
    workers: list[Forked] = field(default_factory=list)
    kills: int = 0
    retried: int = 0
    """Runs that were parked because workers died with the same task three times (W24), and retried here."""
    turn: deque[tuple[str, str]] = field(default_factory=lambda: deque(PAIRS))

    def begin(self) -> None:
        """Start one more run, between the pair whose turn it is."""
        here, there = self.turn[0]
        self.turn.rotate(-1)
        number = len(self.fates)
        table = f"copy {number}"
        target = self.databases[f"{there} target"]
        if number % 2:
            target.run(f'CREATE TABLE "{table}" (id bigint PRIMARY KEY, name text, amount bigint)')
            target.fill(f'"{table}"', OLD)
        run = self.project.start(
            f"{here}_source", f"{there}_target", "item", target_table=f'"{table}"', chunk_rows=CHUNK_ROWS, key=table
        )
        self.fates[run] = FATES[number % len(FATES)]
        self.targets[run] = (f"{here} source", f"{there} target", table)

    def kill(self) -> None:
        """SIGKILL one of the workers; another takes its place."""
        victim = self.chance.choice(self.workers)
        assert victim.kill() == "killed", self.project.log()
        self.kills += 1
        self.workers.remove(victim)
        self.workers.append(self.project.worker())

    def look(self) -> int:
        """Do what people would do, run by run; how many runs are still live."""
        live = self.project.live()
        for run, status in live.items():
            found = self.project.get(run)
            if status == "parked":
                assert {task.parked for task in found.tasks} <= {None, "W24"}, self.project.told(run)
                self.project.engine.retry(run, reason="its workers were killed by the test")
                self.retried += 1
            elif self.fates[run] == "damage" and found.state in ("EXPORTING", "LOADING") and not found.paused:
                self.project.engine.pause(run, reason="its staging table is damaged behind its back")
            elif found.paused and any(task.leased_by for task in found.tasks):
                continue  # what runs while the run is paused ends first: a validation would not see all of the damage
            elif found.paused and found.state == "VALIDATING":
                self.damage(run)
            elif found.paused:
                self.project.engine.resume(run, reason="paused between two steps: nothing would take it further")
            elif status == "waiting":
                (self.project.reject if self.fates[run] == "reject" else self.project.approve)(run)
        return len(live)

    def forgive(self, run: str) -> None:
        """Let the last notice of an ended run be tried again, where three workers were killed with it."""
        if any(task.parked for task in self.project.get(run).tasks):
            self.project.engine.retry(run, reason="its workers were killed by the test")
            self.retried += 1

    def told(self) -> str:
        """What the kills have met, in one line."""
        return (
            f"{self.kills} kills, {len(self.fates)} runs {dict(Counter(self.fates.values()))}, {self.retried} retried"
        )

    def damage(self, run: str) -> None:
        """Change one value of the staging table, and let the run find out."""
        staging = self.project.get(run).results["PREFLIGHT"]["staging"]["name"]
        target = self.databases[self.targets[run][1]]
        target.run(f"UPDATE \"{staging}\" SET name = 'a value that nobody wrote' WHERE id = 1234")
        self.fates[run] = "damaged"
        self.project.engine.resume(run)


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("SAGA_TEST_SEED") or secrets.randbelow(10**9))


@pytest.fixture
def fleet(store_url: str, fresh_url: FreshUrl, project_of: Projects, seed: int) -> Fleet:
    databases = {
        f"{kind} {end}": Database(fresh_url(kind, end))
        for kind in ("sqlite", "postgresql")
        for end in ("source", "target")
    }
    for name in ("sqlite source", "postgresql source"):
        databases[name].run("CREATE TABLE item (id bigint PRIMARY KEY, name text, amount bigint)")
        databases[name].fill("item", [(i, AWKWARD[i % len(AWKWARD)], 2**53 + i) for i in range(1, ROWS + 1)])
        databases[name].run("CREATE INDEX item_name ON item (name)")
    connections = {name.replace(" ", "_"): database for name, database in databases.items()}
    print(f"seed {seed}")  # noqa: T201  pytest shows it where the test fails
    return Fleet(project_of(store_url, **connections), databases, random.Random(seed))


def kill_at_random(fleet: Fleet, kills: int) -> None:
    """Keep runs in flight, and kill, until there were so many kills; then let every run end in peace."""
    fleet.workers = [fleet.project.worker() for _ in range(WORKERS)]
    next_kill = time.monotonic()
    while fleet.kills < kills:
        if fleet.look() < IN_FLIGHT:
            fleet.begin()
        if time.monotonic() >= next_kill:
            fleet.kill()
            next_kill = time.monotonic() + fleet.chance.uniform(*PAUSE_SECONDS)
        time.sleep(LOOK_SECONDS)
    end = time.monotonic() + END_SECONDS
    while fleet.look():
        assert time.monotonic() < end, [fleet.project.told(run) for run in fleet.project.live()]
        time.sleep(LOOK_SECONDS)
    for run in fleet.fates:
        fleet.forgive(run)
        fleet.project.ended(run)


def check(fleet: Fleet) -> None:
    """Every run has ended as it was decided; all rows are there, once; nothing else is."""
    project = fleet.project
    expected = {
        run: "completed" if fate in ("approve", "damage") else "rolled_back" for run, fate in fleet.fates.items()
    }
    assert {run: project.get(run).status for run in fleet.fates} == expected
    assert {run: project.broken_at(run) for run in fleet.fates} == dict.fromkeys(fleet.fates)
    assert {run: difference(fleet, run) for run in fleet.fates} == dict.fromkeys(fleet.fates, "")
    assert {run: ledger(fleet, run) for run in fleet.fates} == {run: parts(status) for run, status in expected.items()}
    assert [name for name in left_over(fleet) if "staging" in name] == []
    assert project.left_over() == []


def difference(fleet: Fleet, run: str) -> str:
    """What is not as it should be in the target of a run; empty where all is."""
    source, target, table = fleet.targets[run]
    there, was_there = fleet.databases[target], int(table.split()[1]) % 2 == 1
    if fleet.project.get(run).status == "rolled_back":
        names = {name for name in there.tables() if name.startswith(table)}
        rows = there.rows(f'SELECT * FROM "{table}" ORDER BY id') if was_there else OLD
        return "" if rows == OLD and (table in names) == was_there else f"{rows[:3]} {names}"
    wrong = unequal(fleet.databases[source], "item", there, table)
    kept = fleet.project.get(run).results["CUTTING_OVER"]["kept"].removeprefix("public.")
    if was_there and there.rows(f'SELECT * FROM "{kept}" ORDER BY id') != OLD:
        wrong.append(f"the old table is not as it was: {kept}")
    return "; ".join(wrong[:3])


def ledger(fleet: Fleet, run: str) -> dict[str, int]:
    """``{status: rows}`` of the parts that LOADING wrote, and of its chunks, each counted once."""
    database = fleet.databases[fleet.targets[run][1]]
    schema = "" if database.kind == "sqlite" else "saga_ledger."
    rows = database.rows(f"SELECT part, status FROM {schema}saga_ledger_parts WHERE task LIKE '{run}.%' AND part <> ''")
    counted = Counter(status for _, status in rows)
    chunks = [part for part, _ in rows if part.startswith("chunk")]
    return {**counted, "chunks": len(chunks), "names of chunks": len(set(chunks))}


def parts(status: str) -> dict[str, int]:
    """What the ledger must have of a run: staging, its chunks, finish."""
    how = "applied" if status == "completed" else "undone"
    return {how: CHUNKS + 2, "chunks": CHUNKS, "names of chunks": CHUNKS}


def left_over(fleet: Fleet) -> list[str]:
    """All that is in the targets."""
    return sorted(name for end in ("sqlite target", "postgresql target") for name in fleet.databases[end].tables())


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_done_twice_by_50_kills(fleet: Fleet, seed: int) -> None:
    kill_at_random(fleet, SHORT_KILLS)
    check(fleet)
    print(fleet.told())  # noqa: T201
    assert (fleet.kills, set(fleet.fates.values()) >= {"approve", "reject"}) == (SHORT_KILLS, True), seed


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_nothing_is_lost_and_nothing_done_twice_by_500_kills(fleet: Fleet, seed: int) -> None:
    kill_at_random(fleet, LONG_KILLS)
    check(fleet)
    assert (fleet.kills, set(fleet.fates.values()) >= {"approve", "reject", "damaged"}) == (LONG_KILLS, True), seed
