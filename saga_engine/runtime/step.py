"""The Step that user code gets: one running attempt, with its hands in the store and in the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from pydantic import BaseModel

from saga_engine import errors
from saga_engine.domain.chart import Recorded
from saga_engine.domain.codec import canonical
from saga_engine.domain.definition.facts import Log, Step
from saga_engine.domain.definition.functions import model_of
from saga_engine.domain.definition.values import Connection
from saga_engine.domain.finite import refuse_lost
from saga_engine.ledger import effect as ledger_effect
from saga_engine.ledger import undo as ledger_undo
from saga_engine.ledger.connect import session
from saga_engine.ledger.heads import Key
from saga_engine.ledger.schema import identity
from saga_engine.ledger.traces import left_traces
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import Hands
from saga_engine.runtime.life import host
from saga_engine.store.effects import Kept

if TYPE_CHECKING:
    import sqlalchemy as sa

NOTE_SECONDS: Final = 0.5
"""How often an attempt writes a sign of life at most; a checkpoint is always written."""

UNREAD: Final = object()
"""Stands for an input that nobody has asked for yet."""

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel | None)


class LiveStep(Step[Any]):
    """A step, or a notice, going forward."""

    def __init__(self, attempt: Attempt, hands: Hands, key: str) -> None:
        super().__init__(UNREAD, Recorded(attempt.chart, attempt.run))
        self.run_id = attempt.run.run_id
        self.attempt = attempt.task.attempt
        self.key = key
        self.log: Log = structlog.get_logger(run=self.run_id, state=attempt.task.state, attempt=self.attempt)
        self._of = attempt
        self._hands = hands
        self._before: dict[str, Kept] = {}
        """What the run kept of each connection before this attempt touched it."""
        self._kept: dict[str, str] = {}
        self._unsaid: dict[str, str] = {}

    @property
    def input(self) -> Any:  # noqa: ANN401  the model that the saga names
        """What the run was started with; many a step never asks."""
        if self._input is UNREAD:
            self._input = self._of.chart.saga.input.model_validate_json(self._of.run.input)
        return self._input

    @property
    def cancelled(self) -> bool:
        """True once nobody wants this attempt's result."""
        return self._hands.cancelled(self._of)

    def heartbeat(self) -> None:
        """Say "still alive"; raises ``AttemptEnded`` once this attempt no longer counts. Costs no statement."""
        self._require(self._hands.heard(self._of))

    def progress(self, done: int, total: int | None = None, unit: str = "") -> None:
        """Show how far the attempt is; written at most every half a second."""
        self._sign(progress=canonical({"done": done, "total": total, "unit": unit}))

    def checkpoint(self, value: BaseModel) -> None:
        """Keep *value* for the next attempt."""
        text = canonical(value.model_dump(mode="json"))
        refuse_lost(value, text)
        if len(text.encode()) > self._hands.result_bytes_max:
            raise errors.PayloadTooLarge(
                what="the checkpoint", size=len(text.encode()), limit=self._hands.result_bytes_max
            )
        self._note(checkpoint=text)

    def last_checkpoint(self, kind: type[M]) -> M | None:
        """What an earlier attempt kept."""
        text = self._hands.checkpoint(self._of)
        return None if text is None else kind.model_validate_json(text)

    def folder(self) -> Path:
        """The folder of this run's files; not shared between hosts, it binds the run to this one."""
        self.heartbeat()
        if not self._hands.exports.shared:
            bound = self._hands.bind(self._of)
            self._require(bound)
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
        hints, self._unsaid = {**self._unsaid, **hints}, {}
        self._of.noted = monotonic()
        try:
            counts = self._hands.note(self._of, hints)
        except errors.StoreError as error:
            self.log.warning("attempt.hint_lost", reason=str(error))
            return
        self._require(counts)

    def _require(self, counts: object) -> None:
        """Stop here where the store says that this attempt counts no more."""
        if not counts:
            self._of.gone = True
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

    def _touch(self, connection: str, engine: sa.Engine) -> Kept:
        """Note in the store, before the first ledger write, that this step uses the target."""
        found = identity(engine)
        if found is None:
            raise errors.LedgerMissing(connection=connection)
        kept = self._hands.touch(self._of, self.key, connection, found)
        self._require(kept)
        assert kept is not None, "an attempt that counts no more was refused"
        return kept


class UndoStep(LiveStep):
    """A step going backward: its key is that of the step being undone, its effects are undos of parts."""

    def begin(self) -> dict[str, str]:
        """Close the heads of every target that the step touched; ``{connection: ledger uuid}``."""
        for connection in self._touched():
            engine = self._hands.targets.engine(connection)
            kept = self._hands.known(self._of, connection)
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
            self._kept.update(self._hands.touched(self.key))
        return self._kept

    def _undo_key(self, connection: str) -> Key:
        return self._key(self._touched()[connection])
