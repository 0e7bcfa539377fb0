"""A Step for unit tests: no engine and no store, but real connections, and effects that take place exactly once."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast, overload

from pydantic import BaseModel

from saga_engine.domain.definition.facts import MISSING, I_co, M, N, Step
from saga_engine.domain.definition.functions import hints
from saga_engine.domain.definition.values import Connection, Origin, Outcome, R
from saga_engine.errors import AttemptEnded, SettingsError
from saga_engine.ledger import connect, effect, schema, undo
from saga_engine.ledger.heads import Key

if TYPE_CHECKING:
    import sqlalchemy

I = TypeVar("I", bound=BaseModel)  # noqa: E741  reads as "input" next to R
STORE: Final = "saga_engine.testing"
"""Whose effects these are, in the ledger."""
RESULT_BYTES_MAX: Final = 1024 * 1024


class Progress(NamedTuple):
    """One call of ``progress``."""

    done: int
    total: int | None
    unit: str


@dataclass
class World:
    """What all steps of a test share: targets, results, and who has written where."""

    connections: Mapping[str, str]
    results: dict[object, object] = field(default_factory=dict)
    engines: dict[str, sqlalchemy.Engine] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)
    files: Path | None = None

    def engine(self, name: str) -> sqlalchemy.Engine:
        """Open a connection by its name; ``SettingsError`` where the test has not given it."""
        if name not in self.connections:
            raise SettingsError(f"there is no connection called {name}; known: {', '.join(self.connections) or 'none'}")
        if name not in self.engines:
            self.engines[name] = connect.open_target(name, self.connections[name])
            weakref.finalize(self, self.engines[name].dispose)
        return self.engines[name]

    def folder(self) -> Path:
        """A place for files, which goes with the test."""
        if self.files is None:
            self.files = Path(tempfile.mkdtemp(prefix="saga-step-"))
            weakref.finalize(self, shutil.rmtree, self.files, ignore_errors=True)
        return self.files

    def newest(self, source: object) -> object:
        """See ``facts.Results``."""
        return self.results.get(source, MISSING)


@dataclass
class Logged:
    """Lines that the step has logged: level, event, fields."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def info(self, event: str, **fields: object) -> None:
        """See ``facts.Log``."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """See ``facts.Log``."""
        self.lines.append(("warning", event, fields))


class Given(Generic[I, R]):
    """Half a sentence: ``step.given(export)`` wants ``.returns(…)``."""

    def __init__(self, of: UnitStep[I], source: object) -> None:
        self._of = of
        self._source = source

    def returns(self, value: R) -> UnitStep[I]:
        """Let ``step.of(source)`` be *value*, for this step and those made from it."""
        self._of.world.results[self._source] = value
        return self._of


class UnitStep(Step[I_co]):
    """One attempt of one step, with what it did: ``heartbeats``, ``progressed``, ``kept`` (its checkpoint), ``logged``.

    Set ``cancelled`` to ask it to stop, ``gone`` to take its lease away.
    """

    def __init__(self, given: I_co, world: World, key: str, attempt: int) -> None:
        super().__init__(given, world)
        self.world = world
        self.run_id = "0" * 32
        self.key = key
        self.attempt = attempt
        self.logged = Logged()
        self.log = self.logged
        self.heartbeats = 0
        self.progressed: list[Progress] = []
        self.kept: BaseModel | None = None
        self.gone = False
        self._cancelled = False
        self._opened: set[str] = set()

    @overload
    def given(self, source: Origin[R]) -> Given[I_co, R]: ...
    @overload
    def given(self, source: Callable[[Step[I_co]], M]) -> Given[I_co, M]: ...
    def given(self, source: object) -> Given[I_co, Any]:
        """Begin to say what an earlier step, an event or an approval has come to."""
        return Given(self, source)

    def again(self) -> UnitStep[I_co]:
        """The next attempt of the same step: same key, same checkpoint."""
        following = UnitStep(self.input, self.world, self.key, self.attempt + 1)
        following.kept = self.kept
        return following

    def following(self, key: str) -> UnitStep[I_co]:
        """The first attempt of another step of the same run."""
        return UnitStep(self.input, self.world, key, 1)

    def undo(
        self,
        work: Callable[[Step[I_co], Outcome[R]], None],
        was: Outcome[R],
        *,
        verify: Callable[[Step[I_co]], bool] | None = None,
    ) -> None:
        """Undo the step as the engine does: its targets closed, *work* called, *verify* asked, the end recorded.

        A step that has written to targets and of whom no part is in effect is not undone but only verified.
        """
        undoing = _Undoing(self.input, self.world, self.key, self.attempt)
        keys = [(self.world.engine(name), undoing.in_ledger) for name, key in self.world.touched if key == self.key]
        for engine, key in keys:
            undo.begin_undo(engine, key)
        if not keys or any(undo.applied(engine, key, 1) for engine, key in keys):
            work(undoing, was)
        for engine, key in keys:
            undo.finish_undo(engine, key, None if verify is None else lambda: verify(undoing))

    @property
    def in_ledger(self) -> Key:
        """What the ledger knows this attempt by."""
        return Key(STORE, self.key, self.attempt)

    @property
    def cancelled(self) -> bool:
        """What the test has set."""
        return self._cancelled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        """Ask the step to stop, or no more."""
        self._cancelled = value

    def heartbeat(self) -> None:
        """Count it; ``AttemptEnded`` once the test has set ``gone``."""
        self.heartbeats += 1
        if self.gone:
            raise AttemptEnded

    def progress(self, done: int, total: int | None = None, unit: str = "") -> None:
        """Keep it in ``progressed``."""
        self.heartbeat()
        self.progressed.append(Progress(done, total, unit))

    def checkpoint(self, value: BaseModel) -> None:
        """Keep it for ``again``."""
        self.heartbeat()
        self.kept = value

    def last_checkpoint(self, kind: type[M]) -> M | None:
        """Return what was kept, through JSON as the engine would."""
        return None if self.kept is None else kind.model_validate_json(self.kept.model_dump_json())

    def folder(self) -> Path:
        """See ``facts.Step``."""
        return self.world.folder() / self.run_id

    def effect(self, connection: Connection, work: Callable[[sqlalchemy.Connection], N], part: str = "") -> N:
        """The real thing, with a ledger in the target; it is made where there is none."""
        self.heartbeat()
        engine = self.world.engine(connection)
        if connection not in self._opened:
            schema.create(engine)
            effect.open_head(engine, self.in_ledger)
            self._opened.add(connection)
            self.world.touched.add((connection, self.key))
        model = hints(work).get("return")

        def parse(text: str) -> N:
            parsed = (
                model.model_validate_json(text) if isinstance(model, type) and issubclass(model, BaseModel) else None
            )
            return cast("N", parsed)

        return effect.apply(engine, self.in_ledger, part, work, parse, limit=RESULT_BYTES_MAX)

    @contextmanager
    def connect(self, connection: Connection) -> Iterator[sqlalchemy.Connection]:
        """A connection of the test's own."""
        self.heartbeat()
        with connect.session(self.world.engine(connection), self.key) as db:
            yield db


class _Undoing(UnitStep[I_co]):
    """The same key going backward."""

    def effect(self, connection: Connection, work: Callable[[sqlalchemy.Connection], N], part: str = "") -> N:
        """Call *work* if *part* is in effect; without a part, if any is."""
        if (connection, self.key) not in self.world.touched:
            return cast("N", None)
        return cast("N", undo.undo_part(self.world.engine(connection), self.in_ledger, part or None, work))


def step(
    input: I,  # noqa: A002  the word of the API
    *,
    connections: Mapping[str, str] | None = None,
    key: str = "test.1",
    attempt: int = 1,
) -> UnitStep[I]:
    """Make a step that has *input*; *connections* are URLs by name, *key* is its step key."""
    return UnitStep(input, World(connections or {}), key, attempt)
