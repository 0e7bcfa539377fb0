"""The Step that user code gets: one running attempt, with its hands in the store and in the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
from saga_engine.ledger.traces import left_traces
from saga_engine.runtime.life import host
from saga_engine.runtime.targets import Targets
from saga_engine.settings import Exports
from saga_engine.store import effects, hosts, tasks
from saga_engine.store.connect import Store, retrying
from saga_engine.store.tasks import Lease

if TYPE_CHECKING:
    import sqlalchemy as sa

NOTE_SECONDS: Final = 0.5
"""How often an attempt writes a sign of life at most; a checkpoint is always written."""
TOUCHES_MAX: Final = 3

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

    noted: float = 0.0
    """When it last wrote to its row in the store."""

    @property
    def lease(self) -> Lease:
        """The task's name and the attempt."""
        return self.task.name, self.task.attempt

    @property
    def who(self) -> tuple[str, int, str]:
        """What every report of it begins with."""
        return self.task.name, self.task.attempt, self.incarnation


@dataclass(frozen=True, slots=True)
class Hands:
    """What attempts share: the store, the targets, this store's name in ledgers, the limit of a result in bytes."""

    store: Store
    targets: Targets
    store_uuid: str
    result_bytes_max: int
    exports: Exports


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
        self._before: dict[str, effects.Kept] = {}
        """What the run kept of each connection before this attempt touched it."""
        self._kept: dict[str, str] = {}
        self._unsaid: dict[str, str] = {}

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
        """Show how far the attempt is; written at most every half a second."""
        self._sign(progress=canonical({"done": done, "total": total, "unit": unit}))

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

    def folder(self) -> Path:
        """The folder of this run's files; not shared between hosts, it binds the run to this one."""
        self.heartbeat()
        of, store = self._of, self._hands.store
        if not self._hands.exports.shared:
            bound = retrying(store, lambda db: hosts.bind(db, self.run_id, host(), of.incarnation, of.lease))
            if bound is None:
                of.gone.set()
                raise errors.AttemptEnded
            if bound != host():
                raise errors.SagaError(f"the files of this run are on {bound}; start a worker there")
        return self._hands.exports.dir.absolute() / self.run_id

    def effect(self, connection: Connection, work: Callable[[sa.Connection], N], part: str = "") -> N:
        """Exactly once for each part."""
        engine, key = self._hands.targets.engine(connection), self._opened_key(connection)
        model = model_of(work)

        def parse(text: str) -> Any:  # noqa: ANN401  what the annotation of *work* says
            return None if model is None else model.model_validate_json(text)

        self.heartbeat()
        result: N = ledger_effect.apply(engine, key, part, work, parse, limit=self._hands.result_bytes_max)
        self._sign()
        return result

    @contextmanager
    def connect(self, connection: Connection) -> Iterator[sa.Connection]:
        """A connection to read with."""
        self.heartbeat()
        with session(self._hands.targets.engine(connection), f"{self.key} attempt {self.attempt}") as db:
            yield db

    def _sign(self, **hints: str) -> None:
        """A sign of life, in the store too, unless it has had one just now; the newest hints go with the next."""
        self._unsaid.update(hints)
        if monotonic() - self._of.noted < NOTE_SECONDS:
            self.heartbeat()
        else:
            self._note()

    def _note(self, **hints: str) -> None:
        """Write hints to the task's row, fenced. They are hints: a store that is away does not fail the step."""
        self.heartbeat()
        of, store = self._of, self._hands.store
        hints, self._unsaid = {**self._unsaid, **hints}, {}
        of.noted = monotonic()
        try:
            counts = retrying(store, lambda db: tasks.note(db, of.incarnation, of.lease, store.clock(db), **hints))
        except errors.StoreError as error:
            self.log.warning("attempt.hint_lost", reason=str(error))
            return
        self._require(counts)

    def _require(self, counts: object) -> None:
        """Stop here where the store says that this attempt counts no more."""
        if not counts:
            self._of.gone.set()
            raise errors.AttemptEnded

    def _opened_key(self, connection: str) -> Key:
        """The key of this attempt in a target: recorded in the store, then raised in the target, once for each."""
        engine = self._hands.targets.engine(connection)
        if connection not in self._kept:
            kept = self._before.setdefault(connection, self._touch(connection, engine))
            ledger_effect.open_head(engine, self._key(kept.ledger), kept.tasks)
            self._kept[connection] = kept.ledger
        return self._key(self._kept[connection])

    def _key(self, ledger: str) -> Key:
        task = self._of.task
        return Key(self._hands.store_uuid, self.key, self.attempt, ledger, f"{task.state} {task.visit}")

    def _touch(self, connection: str, engine: sa.Engine) -> effects.Kept:
        """Note in the store, before the first ledger write, that this step uses the target."""
        found = identity(engine)
        if found is None:
            raise errors.LedgerMissing(connection=connection)
        seen = effects.Touch(self.run_id, self.key, connection, found)
        kept = self._touched_for_sure(seen)
        self._require(kept)
        assert kept is not None, "an attempt that counts no more was refused"
        return kept

    def _touched_for_sure(self, seen: effects.Touch) -> effects.Kept | None:
        """After an unknown outcome the same question is asked again, under the same lock: the answer tells."""
        of, store = self._of, self._hands.store
        for _ in range(TOUCHES_MAX - 1):
            try:
                return retrying(store, lambda db: effects.touch(db, seen, of.incarnation, of.lease))
            except errors.OutcomeUnknown:
                continue
        return retrying(store, lambda db: effects.touch(db, seen, of.incarnation, of.lease))


class UndoStep(LiveStep):
    """A step going backward: its key is that of the step being undone, its effects are undos of parts."""

    def begin(self) -> dict[str, str]:
        """Close the heads of every target that the step touched; ``{connection: ledger uuid}``."""
        for connection in self._touched():
            engine = self._hands.targets.engine(connection)
            with self._hands.store.read() as db:
                kept = effects.known(db, self.run_id, connection)
            assert kept is not None, "a step has touched it"
            ledger_undo.begin_undo(engine, self._undo_key(connection), kept.tasks)
        return self._touched()

    def never_applied(self) -> bool:
        """True when no part ever took effect in any target: no earlier attempt of this undo has begun either."""
        return not any(left_traces(self._hands.targets.engine(name), self._undo_key(name)) for name in self._touched())

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
        self._sign()
        return result  # type: ignore[return-value]  # None where the part was not in effect

    def _touched(self) -> dict[str, str]:
        if not self._kept:
            with self._hands.store.read() as db:
                self._kept.update(effects.touched(db, self.key))
        return self._kept

    def _undo_key(self, connection: str) -> Key:
        return self._key(self._touched()[connection])
