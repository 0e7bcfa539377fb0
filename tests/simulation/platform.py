"""What a simulated process stands on: time, chance, threads, queues, death locks. All of it is the world's.

The engine itself is the real one. It asks its modules for these names, and finds here others of the same name.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import structlog
from structlog.typing import EventDict

from saga_engine import failpoints
from saga_engine.ledger import transaction as ledger_transaction
from saga_engine.runtime import (
    chaining,
    claiming,
    deliver,
    draining,
    gathering,
    hands,
    ids,
    incarnation,
    keeper,
    outfit,
    slots,
    solitude,
    step,
    undecided,
    worker,
)
from saga_engine.store import retry

if TYPE_CHECKING:
    from tests.simulation.world import World

HOST: Final = "sim"


@dataclass(frozen=True, slots=True)
class Life:
    """A death lock. Whether its process is dead, the world knows."""

    path: Path = Path("/sim")
    device: int = 1
    inode: int = 1
    boot_id: str = ""

    @classmethod
    def begin(cls, _directory: Path) -> Life:
        return cls()

    def end(self) -> None:
        pass


class Threads:
    """Attempts wait for their turn; ``slots`` hands in what is to be called."""

    def __init__(self, world: World) -> None:
        self._world, self._process = world, world.running

    def submit(self, call: Any, under_way: int) -> None:  # noqa: ARG002  the real one's signature
        attempt = call.args[0]
        attempt.started = attempt.heard = self._world.monotonic()  # its class has bound the clock of the machine
        self._world.starts(self._process, attempt.task.name)
        self._process.attempts.append(call)

    def close(self, seconds: float) -> None:
        pass


class Isolation:
    """A child of a simulated process could do nothing that its threads cannot: every attempt runs on one."""

    def begin(self, life_file: str) -> None:
        pass

    def parts(self, chart: Any) -> bool:  # noqa: ARG002
        return True

    def tidy(self) -> None:
        pass

    def process(self, attempt: Any, *, suspect: bool, alone: bool) -> None:  # noqa: ARG002  the real one's signature
        return None

    def close(self) -> None:
        pass


class Thread:
    """The thread that renews the lease: the world calls it when its time has come."""

    def __init__(self, world: World, target: Any) -> None:
        self._process = world.running
        self._target = target

    def start(self) -> None:
        self._process.lives(self._target.__self__)

    def join(self) -> None:
        pass


class Queue:
    """Where attempts report. Whoever waits at an empty one lets the world go on meanwhile, in a drain only."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, timeout: float = 0.0) -> Any:
        if not self._items:
            self._world.waits(timeout)
        return self.get_nowait()

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items


class Keeper(keeper.Keeper):
    """Findings are told to people only, and old rows hurt nobody; both would cost more than all else of a round."""

    def find(self) -> None:
        pass

    def sweep(self) -> None:
        pass


@contextmanager
def installed(world: World) -> Iterator[None]:
    """The world is what the engine stands on, inside the block."""
    time = SimpleNamespace(monotonic=world.monotonic, sleep=world.sleeps, time_ns=world.time_ns)
    dice = SimpleNamespace(uniform=world.dice.uniform)
    secrets = SimpleNamespace(token_hex=world.token, randbits=world.dice.getrandbits)
    names: list[tuple[Any, dict[str, Any]]] = [
        (worker, {"monotonic": world.monotonic, "sleep": world.sleeps}),
        (outfit, {"host": _host, "os": world.system}),
        (draining, {"os": world.system}),
        (
            slots,
            {
                "monotonic": world.monotonic,
                "os": world.system,
                "Threads": lambda: Threads(world),
                "Isolation": lambda *_: Isolation(),
                "SimpleQueue": lambda: Queue(world),
            },
        ),
        (claiming, {"monotonic": world.monotonic, "random": dice, "Keeper": Keeper}),
        (solitude, {"monotonic": world.monotonic}),
        (undecided, {"monotonic": world.monotonic}),
        (chaining, {"monotonic": world.monotonic}),
        (gathering, {"monotonic": world.monotonic}),
        (step, {"monotonic": world.monotonic, "host": _host}),
        (hands, {"monotonic": world.monotonic, "host": _host}),
        (keeper, {"monotonic": world.monotonic, "row_is_dead": world.is_known_dead}),
        (deliver, {"time": time, "random": dice}),
        (ids, {"time": time, "secrets": secrets}),
        (retry, {"time": time, "random": dice}),
        (ledger_transaction, {"time": time, "random": dice}),
        (
            incarnation,
            {
                "monotonic": world.monotonic,
                "secrets": secrets,
                "host": _host,
                "Life": Life,
                "Thread": lambda target, **_: Thread(world, target),
            },
        ),
    ]
    with ExitStack() as stack:
        for module, found in names:
            stack.enter_context(patch.multiple(module, **found))
        stack.enter_context(failpoints.switched_on(world.hit))
        stack.enter_context(nearly_silent())
        yield


@contextmanager
def nearly_silent() -> Iterator[None]:
    """What a simulated process logs nobody reads; but that it can decide nothing of a run is a defect of the engine."""
    before = structlog.get_config()
    structlog.configure(
        processors=[_heard],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _heard(_logger: object, _level: str, said: EventDict) -> EventDict:
    assert said["event"] != "run.undecidable", f"nothing can be decided of a run: {said['error']}"
    raise structlog.DropEvent


def _host() -> str:
    return HOST
