"""How each shape is played by a client that may be killed, what it may end with, and whether it did."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from saga_engine.domain.definition.saga import Saga
from saga_engine.errors import Conflict
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.registry import Registry
from saga_engine.runtime.views import RunView
from saga_engine.settings import Settings
from saga_engine.settings.values import Limits
from saga_engine.store import inspect, journal
from saga_engine.testing.kills.forks import Tell
from saga_engine.testing.kills.play import Play
from tests.kill.shapes import sagas

PERSON: Final = "ann"
LOOK_SECONDS: Final = 0.005
LOOK_SECONDS_MAX: Final = 0.2
"""Between two looks at a run that waits for the clock, the first and the last."""
WAIT_SECONDS: Final = 200.0
ID: Final = {
    "sqlite": "INTEGER PRIMARY KEY",
    "postgresql": "bigint GENERATED ALWAYS AS IDENTITY",
    "mysql": "bigint AUTO_INCREMENT PRIMARY KEY",
    "mariadb": "bigint AUTO_INCREMENT PRIMARY KEY",
}
"""The order of the deeds, for each kind of target."""
LIMITS: Final = (("poll_seconds", 0.05), ("grace_seconds", 2.0))

DEEDS: Final = sa.text("SELECT deed FROM deeds WHERE run = :run ORDER BY id")
ASKED_ONCE: Final = ("RunStarted", "EventReceived", "VerdictGiven", "CancelRequested", "RollbackRequested")

End = tuple[str, str, tuple[str, ...]]
"""State, status, deeds."""

TRIP: Final = ("+out", "+home", "+hotel", "+car")
BACK: Final = ("-hotel", "-home", "-out")


@dataclass(frozen=True)
class Shape:
    """A saga, what a client does about its runs whenever they wait, and the ends that are right."""

    saga: Saga[Any, Any]
    ends: Callable[[int], Sequence[End]]
    """By the number in the run's input."""
    client: Callable[[Engine, RunView, Tell], None] = lambda _engine, _run, _tell: None
    limits: tuple[tuple[str, float], ...] = LIMITS
    concurrency: int = 2


@dataclass(frozen=True)
class ShapePlay(Play):
    """One shape in a store and a target."""

    shape: Shape
    store: str
    target: str
    lease: Mapping[str, float]

    def open(self) -> Engine:
        return self._engine(create=False)

    def make(self) -> None:
        """Make store, ledger and table; what is there stays."""
        with self._engine(create=True) as engine:
            self._make_target(engine)

    def _make_target(self, engine: Engine) -> None:
        engine.targets.make_ledger("dw")
        with engine.targets.engine("dw").begin() as db:
            kind = ID[db.dialect.name]
            db.execute(sa.text(f"CREATE TABLE IF NOT EXISTS deeds (id {kind}, run varchar(40), deed varchar(40))"))

    def act(self, engine: Engine, key: str, tell: Tell) -> None:
        number = int(key.rpartition("-")[2])
        run = engine.start(self.shape.saga, sagas.Given(number=number), key=key, actor=PERSON)
        tell(["RunStarted", run.id])
        end, pause = time.monotonic() + WAIT_SECONDS, LOOK_SECONDS
        while not run.ended:
            assert time.monotonic() < end, f"{key} waits for {run.waiting_on}"
            self.shape.client(engine, run, tell)
            engine.work(until_idle=True, concurrency=self.shape.concurrency)
            before, run = run, engine.get(run.id)
            # Nothing moves where a timer is not due, or somebody's lease has not run out.
            pause = LOOK_SECONDS if run.revision != before.revision else min(2 * pause, LOOK_SECONDS_MAX)
            if not run.ended and run.revision == before.revision:
                time.sleep(pause)

    def problems(self, engine: Engine, key: str, told: Sequence[Any]) -> list[str]:
        """The single door to the checks."""
        found = self._run(engine, key)
        return [*self._end(engine, found), *_acknowledged(engine, found.id, told), *_chain(engine, found.id)]

    def story(self, engine: Engine, key: str) -> Any:
        """All that store and target hold of a run, to be compared."""
        found = self._run(engine, key)
        lines = [line.model_dump(mode="json") for line in engine.history(found.id)]
        return [found.model_dump(mode="json"), lines, self._deeds(engine, found.id)]

    def _run(self, engine: Engine, key: str) -> RunView:
        with engine.store.read() as db:
            row = inspect.by_key(db, key)
        assert row is not None, f"{key} has ended, and is not there"
        return engine.get(row.id)

    def _end(self, engine: Engine, run: RunView) -> list[str]:
        end = (run.state, run.status, tuple(self._deeds(engine, run.id)))
        right = self.shape.ends(run.input["number"])
        wrong = [] if end in right else [f"it ended as {end}; right would be {right}"]
        return wrong + [f"it has ended and has open tasks: {run.tasks}" for _ in run.tasks[:1]]

    def _deeds(self, engine: Engine, run: str) -> list[str]:
        with engine.targets.engine("dw").connect() as db:
            return list(db.execute(DEEDS, {"run": run}).scalars())

    def _engine(self, *, create: bool) -> Engine:
        return Engine(settings=self._settings, registry=self._registry, create=create)

    @cached_property
    def _registry(self) -> Registry:
        return Registry([self.shape.saga])

    @cached_property
    def _settings(self) -> Settings:
        return Settings(
            store=self.store,
            connections={"dw": self.target},
            roles={"dba": (PERSON,)},
            limits=Limits(**{**dict(self.shape.limits), **self.lease}),  # type: ignore[arg-type]  # numbers all
        )


@dataclass(frozen=True)
class MakingPlay(ShapePlay):
    """The same from nothing: store, ledger and table are made in the run, and gone after it."""

    def open(self) -> Engine:
        return self._engine(create=True)

    def make(self) -> None:
        """Nothing is there before."""

    def act(self, engine: Engine, key: str, tell: Tell) -> None:
        self._make_target(engine)
        super().act(engine, key, tell)

    def problems(self, engine: Engine, key: str, told: Sequence[Any]) -> list[str]:
        found = super().problems(engine, key, told)
        for url in (self.store, self.target):
            _wipe(url)
        return found


def _wipe(url: str) -> None:
    """Leave nothing in a database of the test."""
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
        for found in file.parent.glob(f"{file.name}*"):
            found.unlink()
        return
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as db:
        names = db.execute(sa.text("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_)'")).scalars()
        for name in names.all():
            db.execute(sa.text(f'DROP SCHEMA "{name}" CASCADE'))
        db.execute(sa.text("CREATE SCHEMA public"))


def _acknowledged(engine: Engine, run: str, told: Sequence[Any]) -> list[str]:
    """What was acknowledged is in the history; what a client asks for once is there once, acknowledged or not."""
    counted = Counter(line.kind for line in engine.history(run))
    others = {of for _, of in told} - {run}
    lost = [f"{kind} was acknowledged and is not in the history" for kind, _ in told if not counted[kind]]
    twice = [f"{kind} is {counted[kind]} times in the history" for kind in ASKED_ONCE if counted[kind] > 1]
    return [*lost, *twice, *(f"the run {other} was acknowledged and is another one" for other in others)]


def _chain(engine: Engine, run: str) -> list[str]:
    revisions = [line.revision for line in engine.history(run)]
    with engine.store.read() as db:
        broken = journal.verify(db, run)
    gaps = [] if revisions == [*range(1, len(revisions) + 1)] else [f"revisions are {revisions}"]
    return gaps + ([] if broken is None else [f"the history cannot be true from revision {broken} on"])


# --- what clients do


def approves(engine: Engine, run: RunView, tell: Tell) -> None:
    for gate in engine.approvals(run.id):
        engine.approve(run.id, shown=gate.digest, actor=PERSON)
        tell(["VerdictGiven", run.id])


def sends(engine: Engine, run: RunView, tell: Tell) -> None:
    """Three times, with one event key; again, if it was killed before it had heard an answer."""
    if run.state != "ONE":
        for _ in range(3):
            engine.send(run.id, sagas.GO, {}, dedup_key="go", actor=PERSON)
            tell(["EventReceived", run.id])


def cancels(engine: Engine, run: RunView, tell: Tell) -> None:
    if run.state == "GATE":
        engine.cancel(run.id, actor=PERSON)
        tell(["CancelRequested", run.id])


def cancels_in_doubt(engine: Engine, run: RunView, tell: Tell) -> None:
    """Where the pivot has been begun nothing may leave it; where it has not, the run is cancelled."""
    if run.state == "THREE" and run.status != "cancelled":
        try:
            engine.cancel(run.id, actor=PERSON)
        except Conflict:
            return
        tell(["CancelRequested", run.id])


def rolls_back_once(engine: Engine, run: RunView, tell: Tell) -> None:
    """Back to the second step and forward again; then approves."""
    if run.state != "GATE":
        return
    if "RollbackRequested" in [line.kind for line in engine.history(run.id)]:
        approves(engine, run, tell)
    else:
        engine.rollback(run.id, to=sagas.Again.TWO, actor=PERSON)
        tell(["RollbackRequested", run.id])


def _always(*ends: End) -> Callable[[int], Sequence[End]]:
    return lambda _number: ends


def _branches(number: int) -> Sequence[End]:
    return [("DONE", "completed", ("+hotel",)) if number % 2 else ("OTHER", "completed", ("+car",))]


CHUNKS: Final = tuple(f"+chunk {number}" for number in range(sagas.CHUNKS))
NO_CHUNKS: Final = tuple(f"-chunk {number}" for number in reversed(range(sagas.CHUNKS)))
ROUND: Final = ("+out", "+home")

SHAPES: Final = {
    shape.saga.name: shape
    for shape in [
        Shape(sagas.linear, _always(("DONE", "completed", TRIP))),
        Shape(sagas.branch, _branches),
        Shape(sagas.timer, _always(("OTHER", "completed", ("+hotel", "+car")))),
        Shape(sagas.event, _always(("DONE", "completed", ("+hotel", "+car"))), sends),
        Shape(sagas.approval, _always(("DONE", "completed", TRIP)), approves),
        Shape(sagas.rollback, _always(("BACK", "rolled_back", (*TRIP, "-car", *BACK)))),
        Shape(
            sagas.again,
            _always(("DONE", "completed", ("+out", "+home", "+hotel", "-hotel", "+hotel", "+car"))),
            rolls_back_once,
        ),
        Shape(sagas.visit, _always(("DONE", "completed", ROUND * sagas.ROUNDS))),
        Shape(
            sagas.pivot,
            _always(("DONE", "completed", TRIP), ("BACK", "cancelled", (*TRIP[:-1], *BACK))),
            cancels_in_doubt,
        ),
        Shape(sagas.cancel, _always(("BACK", "cancelled", (*TRIP[:-1], *BACK))), cancels),
        Shape(
            sagas.chunked,
            _always(("BACK", "rolled_back", (*CHUNKS, "+car", "-car", *NO_CHUNKS))),
        ),
        Shape(
            sagas.slow,
            _always(("DONE", "completed", TRIP[:-1])),
            limits=(*LIMITS, ("renew_seconds", sagas.SLOW_SECONDS / 3)),
        ),
    ]
}
