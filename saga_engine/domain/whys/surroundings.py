"""What ``why`` is told beside the run itself: rows of workers, leases, settings and the keeper, read in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from saga_engine.domain.chart import Budget


@dataclass(frozen=True, slots=True)
class Holder:
    """The incarnation that holds a task."""

    id: str
    host: str
    pid: int
    renewed_at: datetime
    lease_until: datetime
    ended_at: datetime | None = None
    """Set once: it left in order, was found dead, or its lease ran out."""
    is_gone: bool = False
    """Its process is not there any more; nobody has written down yet that it has ended."""

    @property
    def process(self) -> str:
        """The process, for a person who has to find it."""
        return f"{self.host} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A saga that a worker has in memory; *digest* is of its table."""

    saga: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A live worker that serves the run's queue. *broken*: files that it could not load, and why."""

    host: str
    pid: int
    slots: int
    busy: int
    loaded: tuple[Loaded, ...] = ()
    broken: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def process(self) -> str:
        """The process, for a person who has to find it."""
        return f"{self.host} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the row of an open task says beyond the snapshot: hints of its attempts, and who holds it."""

    holder: Holder | None = None
    leased_at: datetime | None = None
    timeout_at: datetime | None = None
    heard_at: datetime | None = None
    """The last heartbeat, progress, checkpoint or effect of the running attempt."""
    progress: str = ""
    """As it is shown to people: ``12/40 chunks``."""
    progressed_at: datetime | None = None
    checkpoint_at: datetime | None = None
    crashes: int = 0
    same_error: int = 0
    """How many other runs have a task whose last error says the same."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Who paused the run."""

    actor: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding of the keeper, which looks further than the run's rows; or of a worker, of what it holds."""

    code: str
    evidence: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything around one run at one moment. *now* is the store's clock."""

    now: datetime
    run: str
    """The name of the run as people type it."""
    queue: str = "default"
    host: str = ""
    """Where the run's files are; "" where it has none that only one host reaches."""
    entered_at: datetime | None = None
    """When the run came to its state."""
    workers: tuple[Worker, ...] | None = None
    """The live workers that serve the run's queue, on its host; None where nobody looked, as for a list."""
    tasks: Mapping[str, Attempt] = field(default_factory=lambda: MappingProxyType({}))
    """By the task's name; what is missing is taken as unknown."""
    paused: Hold | None = None
    roles: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    findings: tuple[Kept, ...] = ()
    budget: Budget = field(default_factory=Budget)
