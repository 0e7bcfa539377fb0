"""One world: workers, clients, a clock, and everything that may go wrong, all of it decided by one seed.

Whatever crosses the boundary of a transaction may be stopped there: then others go on, on top of it, for as long as
the dice say, and the clock may leap beyond its lease; or it dies there. So every interleaving of transactions that
nests can happen, to the engine's own code. Each seed has faults of its own kind and measure, for a uniform mixture
hides what only a rare mixture shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from saga_engine import errors
from saga_engine.domain.definition.facts import Step
from saga_engine.domain.snapshot import Snapshot
from saga_engine.runtime import starting
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.targets import Targets
from saga_engine.runtime.worker import Worker
from saga_engine.settings import Limits, Settings
from saga_engine.store import runs
from saga_engine.testing.check import Told
from tests.simulation import databases, sagas
from tests.simulation.audit import Audit
from tests.simulation.process import Crash, Process

START: Final = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)
LIMITS: Final = Limits(
    lease_seconds=60, renew_seconds=30, poll_seconds=60, grace_seconds=10, transitions_max=12, inbox_max=3
)
SETTINGS: Final = Settings(store="sqlite:///simulated.db", connections={databases.TARGET: "env:NOWHERE"}, limits=LIMITS)
IMAGES: Final = databases.images(list(sagas.REGISTRY))
WORKERS: Final = 2
DEPTH_MAX: Final = 2
"""So many may be stopped in the middle of something at once."""
BEYOND_LEASE: Final = 70.0
LEAPS: Final = (0.0, 0.0, 0.0, 5.0, BEYOND_LEASE, BEYOND_LEASE, 200.0)
"""Seconds that a stop lasts at least: none, within the lease, beyond it, beyond a timeout too."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How probable each is at each of its occasions."""

    crash: float
    pause: float
    lost: float
    away: float
    failure: float
    term: float

    @classmethod
    def thrown(cls, dice: Random) -> Faults:
        return cls(
            crash=dice.choice((0, 0, 0.005, 0.02)),
            pause=dice.choice((0.02, 0.06, 0.15)),
            lost=dice.choice((0, 0, 0.05, 0.2)),
            away=dice.choice((0, 0, 0.05)),
            failure=dice.choice((0, 0.05, 0.25)),
            term=dice.choice((0, 0, 0.05)),
        )


class World:
    """See above. ``run`` is the id of its one run."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.limits = LIMITS
        self.faults = Faults.thrown(self.dice)
        self.now = START
        self.calm = True
        self.depth = 0
        self.current: Process | None = None
        self.processes: list[Process] = []
        self.lives: dict[str, Process] = {}
        self.told: list[Told] = []
        self.visits: Callable[[], bool] = lambda: False
        """Lets a client come by, who may do something; says whether one did."""
        self.objects: Callable[[], None] = lambda: None
        """Lets a client cancel the run, or roll it back."""
        self.audit = Audit()
        self.callee = sagas.Callee()
        self.system: Any = SimpleNamespace(getpid=lambda: len(self.lives))
        self.store = databases.SimulatedStore(self, IMAGES.store)
        self.door = Door(self.store, sagas.REGISTRY, LIMITS)
        self.door._pins.update(IMAGES.pins)
        self.targets = Targets(SETTINGS)
        self.target = self.targets._open[databases.TARGET] = databases.target(self, IMAGES.target)
        sagas.Now.world = self

    def at_rest(self) -> bool:
        """The run has ended, and nothing of it is open."""
        [(over, left)] = self.store.connection.execute(
            "SELECT ended_at IS NOT NULL, (SELECT count(*) FROM saga_tasks) FROM saga_runs"
        )
        return bool(over) and not left

    def start(self) -> str:
        """Start the run, whatever saga it is of."""
        return starting.start(self.door, self.dice.choice(sagas.NAMES), {}, None, "ann").id

    def settles(self) -> None:
        """A worker with room, in the process that is about to start the run (``runtime.places``)."""
        self.hires()
        (process,) = self.processes
        if not process.dead:
            self.does(process, "round", process._round)

    def look(self, run: str) -> Snapshot:
        """The run as it is stored."""
        with self.store.read() as db:
            found = runs.load_one(db, run)
        assert found is not None
        return found

    def gate_is_open(self) -> bool:
        """Somebody is asked for a verdict."""
        [(gates,)] = self.store.connection.execute("SELECT count(*) FROM saga_approvals WHERE outcome IS NULL")
        return bool(gates)

    # --- time and chance

    def clock(self) -> datetime:
        """The database's own: no two questions get the same answer."""
        self.now += timedelta(milliseconds=1)
        return self.now

    def monotonic(self) -> float:
        return (self.now - START).total_seconds() + 1000.0

    def time_ns(self) -> int:
        return int(self.now.timestamp()) * 10**9

    def leaps(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def starts(self, process: Process, task: str) -> None:
        """An attempt begins: nobody who lives, as the store knows it, may be at the same task."""
        for other in self.processes:
            if other is process or other.dead or other.worker is None or other.life is None:
                continue
            if task in [name for name, _ in other.worker._slots.held()] and not self._has_ended(other.life.id):
                self.audit.held_twice.append(f"{task} is begun by {process.name} while {other.name} is at it")

    def _has_ended(self, incarnation: str) -> bool:
        """Raw: this is no question of the engine's."""
        rows = self.store.connection.execute("SELECT ended_at FROM saga_incarnations WHERE id = ?", (incarnation,))
        return any(ended_at is not None for (ended_at,) in rows)

    def sleeps(self, seconds: float) -> None:
        self.leaps(seconds)
        self.boundary()

    def token(self, count: int) -> str:
        return f"{self.dice.getrandbits(8 * count):0{2 * count}x}"

    def chance(self, probability: float) -> bool:
        """Whether a fault happens now; never in calm times, nor to the tests themselves."""
        if self.calm or self.current is None or not probability:
            return False
        return self.dice.random() < probability

    # --- where something may go wrong

    def boundary(self, *, overtaken: float = 0.05) -> None:
        """Between two transactions of whoever runs now. *overtaken*: how probable, once stopped, it is to be so."""
        process = self.current
        if process is None:
            return
        self.hit("boundary")
        if self.depth < DEPTH_MAX and self.chance(self.faults.pause):
            self._stop(process, overtaken)
        if process.dead:
            raise Crash

    def hit(self, name: str) -> None:
        """A failpoint: here a process may die. After a COMMIT in a target it may be stopped, too."""
        if self.current is None:
            return
        if self.current.dead or self.chance(self.faults.crash):
            self.dies(self.current)
            raise Crash
        if name.startswith("ledger.") and name.endswith(".after_commit"):
            self.boundary(overtaken=0.4)

    def _stop(self, process: Process, overtaken: float) -> None:
        """Others go on meanwhile: of other processes alone (SIGSTOP), or its own threads too."""
        whole = self.dice.random() < 0.7
        process.stopped += whole
        self.depth += 1
        if self.dice.random() < overtaken:
            # What is rare otherwise: it sleeps through a takeover, a person's no, and the whole rollback.
            self.leaps(BEYOND_LEASE)
            self.objects()
            steps = 25
        else:
            self.leaps(self.dice.choice(LEAPS))
            steps = self.dice.choice((1, 2, 4, 8, 25))
        for _ in range(steps):
            self.goes_on()
        self.depth -= 1
        process.stopped -= whole

    def fate_of_commit(self) -> str:
        """What becomes of a COMMIT, and whether anybody hears."""
        if not self.chance(self.faults.lost):
            return "kept"
        return self.dice.choice(("kept, not told", "not kept, not told"))

    def is_away(self) -> bool:
        """Whether the store does not answer."""
        return self.chance(self.faults.away)

    def acts(self, step: Step[Any]) -> None:
        """What a step does besides: it takes its time, looks whether anybody wants it, fails."""
        self.boundary(overtaken=0.2)
        kind = 0.0 if self.calm else self.dice.random()
        if kind > 0.9:
            step.checkpoint(sagas.Value(n=1))
        elif kind > 0.6:
            step.heartbeat()
        if step.cancelled and kind > 0.5:
            raise errors.AttemptEnded
        if self.chance(self.faults.failure):
            raise ValueError("bad luck")

    # --- processes

    @property
    def running(self) -> Process:
        """Whose code runs now."""
        assert self.current is not None
        return self.current

    def is_known_dead(self, row: Any) -> bool:
        """What a death lock tells."""
        process = self.lives.get(row.id)
        return process is not None and process.known_dead and process.life is not None and process.life.id == row.id

    def dies(self, process: Process) -> None:
        process.dead = True
        process.known_dead = process.known_dead or self.dice.random() < 0.5

    def workers(self) -> list[Process]:
        return [process for process in self.processes if not process.dead]

    def hires(self) -> None:
        """One more worker, if it gets that far."""
        process = Process(f"worker {len(self.processes)}", self)
        self.processes.append(process)
        self.does(process, "round", lambda: self._begins(process))

    def _begins(self, process: Process) -> None:
        process.worker = Worker(self.door, self.targets, SETTINGS, databases.STORE, slots=2, queues=("default",))
        process.begins()

    def does(self, process: Process, thread: str, call: Callable[[], None]) -> None:
        """Let a thread of a process do something, to its end or to that of its process."""
        before, self.current = self.current, process
        process.busy.add(thread)
        try:
            call()
        except Crash:
            pass
        except errors.StoreError:  # nothing of a worker may let one out but its first and its last act: it exits
            self.dies(process)
        finally:
            process.busy.discard(thread)
            self.current = before

    def waits(self, seconds: float) -> None:
        """Whoever runs waits at its queue: in a drain for the attempts, else the world will come back to it."""
        process = self.running
        if not process.draining:
            return
        if process.attempts:
            call = process.attempts[0]
            self.does(process, "attempt", lambda: process._attempt(call))
        else:
            self.leaps(max(seconds, 1.0))

    def goes_on(self) -> bool:
        """One thing happens; False where nothing could but the passing of time, and that passes."""
        if self.visits():
            return True
        if len(self.workers()) < WORKERS and (self.calm or len(self.processes) < 3 * WORKERS):
            self.hires()
            return True
        actors = [(process, *actor) for process in self.processes for actor in process.actors()]
        urgent = [actor for actor in actors if actor[1] == "renew"]
        if urgent and (self.calm or self.dice.random() < 0.6):  # else the thread that renews gets no turn
            self.does(*urgent[0])
        elif actors:
            process, thread, call = self.dice.choice(actors)
            if thread == "round" and self.chance_of(self.faults.term):
                call = process.drains
            self.does(process, thread, call)
        else:
            self.leaps(self.rests())
            return False
        return True

    def chance_of(self, probability: float) -> bool:
        """The same for what no process does to itself."""
        return not self.calm and probability > 0 and self.dice.random() < probability

    def rests(self) -> float:
        """Seconds until somebody wants to go on."""
        wakes = [wake for process in self.processes for wake in process.wakes()]
        rest = max(0.001, min(wakes, default=self.monotonic() + LIMITS.lease_seconds) - self.monotonic())
        [(first, held)] = self.store.connection.execute("SELECT min(due_at), count(leased_by) FROM saga_tasks")
        if held or not first or self.calm or self.dice.random() < 0.7:
            return rest
        # Nobody holds anything: to poll until something is due would only show that polls find nothing.
        due = datetime.fromisoformat(first).replace(tzinfo=UTC) - self.now
        return max(rest, due.total_seconds())
