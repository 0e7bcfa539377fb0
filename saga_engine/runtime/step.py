"""The Step that user code gets: one running attempt, with its hands in the store and in the targets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event as Flag
from time import monotonic
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain.chart import Chart, Recorded
from saga_engine.domain.codec import canonical
from saga_engine.domain.definition.facts import Log, Step
from saga_engine.domain.definition.functions import model_of
from saga_engine.domain.definition.values import Connection
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.ledger import effect as ledger_effect
from saga_engine.ledger import undo as ledger_undo
from saga_engine.ledger.connect import session
from saga_engine.ledger.heads import Key
from saga_engine.ledger.schema import identity
from saga_engine.runtime.targets import Targets
from saga_engine.store import effects, tasks
from saga_engine.store.connect import Store, retrying

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel | None)


@dataclass(slots=True)
class Attempt:
    """One lease of one task, as its worker knows it. ``ends`` is set when nobody wants the result any more."""

    run: Snapshot
    task: Task
    chart: Chart
    incarnation: str
    ends: Flag = field(default_factory=Flag)
    gone: Flag = field(default_factory=Flag)
    """The lease is lost: nothing of this attempt counts any more."""
    started: float = field(default_factory=monotonic)
    heard: float = field(default_factory=monotonic)
    """When it last gave a sign of life, on the worker's own clock."""
    timed_out: bool = False

    @property
    def lease(self) -> tuple[str, int]:
        """The task's name and the attempt."""
        return self.task.name, self.task.attempt


@dataclass(frozen=True, slots=True)
class Hands:
    """What attempts share: the store, the targets, this store's name in ledgers, the limit of a result in bytes."""

    store: Store
    targets: Targets
    store_uuid: str
    result_bytes_max: int


class LiveStep(Step[Any]):
    """A step, or a notice, going forward."""

    def __init__(self, attempt: Attempt, hands: Hands, key: str) -> None:
        super().__init__(
            attempt.chart.saga.input.model_validate_json(attempt.run.input), Recorded(attempt.chart, attempt.run)
        )
        self.run_id = attempt.run.run_id
        self.attempt = attempt.task.attempt
        self.key = key
        self.log: Log = structlog.get_logger().bind(run=self.run_id, state=attempt.task.state, attempt=self.attempt)
        self._of = attempt
        self._hands = hands
        self._opened: set[str] = set()
        self._kept: dict[str, str] = {}

    @property
    def cancelled(self) -> bool:
        """True once nobody wants this attempt's result."""
        return self._of.ends.is_set() or self._of.gone.is_set()

    def heartbeat(self) -> None:
        """Say "still alive"; raises ``AttemptEnded`` once this attempt no longer counts. Costs no statement."""
        self._of.heard = monotonic()
        if self._of.gone.is_set():
            raise errors.AttemptEnded

    def progress(self, done: int, total: int | None = None, unit: str = "") -> None:
        """Show how far the attempt is."""
        self._note(progress=canonical({"done": done, "total": total, "unit": unit}))

    def checkpoint(self, value: BaseModel) -> None:
        """Keep *value* for the next attempt."""
        text = canonical(value.model_dump(mode="json"))
        if len(text.encode()) > self._hands.result_bytes_max:
            raise errors.PayloadTooLarge(
                what="the checkpoint", size=len(text.encode()), limit=self._hands.result_bytes_max
            )
        self._note(checkpoint=text)

    def last_checkpoint(self, kind: type[M]) -> M | None:
        """What an earlier attempt kept."""
        with self._hands.store.read() as db:
            text = tasks.checkpoint_of(db, self._of.task.name)
        return None if text is None else kind.model_validate_json(text)

    def effect(self, connection: Connection, work: Callable[[sa.Connection], N], part: str = "") -> N:
        """Exactly once for each part."""
        engine, key = self._hands.targets.engine(connection), self._opened_key(connection)
        model = model_of(work)

        def parse(text: str) -> Any:  # noqa: ANN401  what the annotation of *work* says
            return None if model is None else model.model_validate_json(text)

        self.heartbeat()
        result: N = ledger_effect.apply(engine, key, part, work, parse, limit=self._hands.result_bytes_max)
        self._note()
        return result

    @contextmanager
    def connect(self, connection: Connection) -> Iterator[sa.Connection]:
        """A connection to read with."""
        self.heartbeat()
        with session(self._hands.targets.engine(connection), f"{self.key} attempt {self.attempt}") as db:
            yield db

    def _note(self, **hints: str) -> None:
        """Write hints to the task's row, fenced; they are a sign of life that the store sees too."""
        self.heartbeat()
        of, store = self._of, self._hands.store
        counts = retrying(
            store,
            lambda db: tasks.note(db, of.incarnation, of.lease, store.clock(db), **hints),
        )
        if not counts:
            of.gone.set()
            raise errors.AttemptEnded

    def _opened_key(self, connection: str) -> Key:
        """The key of this attempt in a target: recorded in the store, then raised in the target, once for each."""
        engine = self._hands.targets.engine(connection)
        ledger = self._touch(connection, engine)
        key = Key(self._hands.store_uuid, self.key, self.attempt, ledger)
        if connection not in self._opened:
            ledger_effect.open_head(engine, key)
            self._opened.add(connection)
        return key

    def _touch(self, connection: str, engine: sa.Engine) -> str:
        """Note in the store, before the first ledger write, that this step uses the target; return its ledger's uuid."""
        if connection in self._kept:
            return self._kept[connection]
        found = identity(engine)
        if found is None:
            raise errors.LedgerMissing(connection=connection)
        seen = effects.Touch(self.run_id, self.key, connection, found)
        of = self._of
        kept = retrying(self._hands.store, lambda db: effects.touch(db, seen, of.incarnation, of.lease))
        if kept is None:
            of.gone.set()
            raise errors.AttemptEnded
        self._kept[connection] = kept
        return kept


class UndoStep(LiveStep):
    """A step going backward: its key is that of the step being undone, its effects are undos of parts."""

    def begin(self) -> dict[str, str]:
        """Close the heads of every target that the step touched; ``{connection: ledger uuid}``."""
        for connection in self._touched():
            engine = self._hands.targets.engine(connection)
            ledger_undo.begin_undo(engine, self._undo_key(connection))
            self._opened.add(connection)
        return self._touched()

    def nothing_applied(self) -> bool:
        """True when no part is in effect in any target."""
        return not any(
            ledger_undo.applied(self._hands.targets.engine(name), self._undo_key(name), 1) for name in self._touched()
        )

    def finish(self, verify: Callable[[], bool]) -> bool:
        """Record in every target that the step is undone, once *verify* has said so; False where it touched none."""
        for connection in self._touched():
            ledger_undo.finish_undo(self._hands.targets.engine(connection), self._undo_key(connection), verify)
        return bool(self._touched())

    def effect(self, connection: Connection, work: Callable[[sa.Connection], N], part: str = "") -> N:
        """Call *work* if *part* is in effect (without a part: any is), and mark it as undone with it."""
        self.heartbeat()
        if connection not in self._touched():
            return None  # type: ignore[return-value]  # nothing was ever applied there: there is nothing to undo
        engine = self._hands.targets.engine(connection)
        result = ledger_undo.undo_part(engine, self._undo_key(connection), part or None, work)
        self._note()
        return result  # type: ignore[return-value]  # None where the part was not in effect

    def _touched(self) -> dict[str, str]:
        if not self._kept:
            with self._hands.store.read() as db:
                self._kept.update(effects.touched(db, self.key))
        return self._kept

    def _undo_key(self, connection: str) -> Key:
        return Key(self._hands.store_uuid, self.key, self.attempt, self._touched()[connection])
