"""What an attempt may ask of the engine: a few questions to the store, and the targets.

``StoreHands`` answers on the spot. In a process of its own an attempt has ``isolation.child.PipeHands``, which ask
the worker, and the worker asks these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic

from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.life import host
from saga_engine.runtime.targets import Targets
from saga_engine.settings import Exports
from saga_engine.store import effects, hosts, tasks
from saga_engine.store.connect import Store, certain, glancing, retrying
from saga_engine.store.effects import Kept


class Hands(ABC):
    """What attempts share: the targets, this store's name in ledgers, the limit of a result in bytes, the questions.

    A question about an attempt is fenced by it; ``False`` and ``None`` for one that no longer counts. All but
    ``cancelled`` and ``heard`` may raise a ``StoreError``.
    """

    def __init__(self, targets: Targets, store_uuid: str, result_bytes_max: int, exports: Exports) -> None:
        self.targets = targets
        self.store_uuid = store_uuid
        self.result_bytes_max = result_bytes_max
        self.exports = exports

    @abstractmethod
    def cancelled(self, attempt: Attempt, /) -> bool:
        """Whether nobody wants the result of the attempt any more."""

    @abstractmethod
    def heard(self, attempt: Attempt, /) -> bool:
        """Take a sign of life; False once the lease is gone. Costs no statement."""

    @abstractmethod
    def counts(self, attempt: Attempt, /) -> bool:
        """Whether the attempt still counts in the store, asked under a lock."""

    @abstractmethod
    def note(self, attempt: Attempt, /, hints: dict[str, str]) -> bool:
        """Write hints (checkpoint, progress) to the task's row, with a sign of life; False: it counts no more."""

    @abstractmethod
    def checkpoint(self, attempt: Attempt, /) -> str | None:
        """What an earlier attempt of the task kept, as JSON."""

    @abstractmethod
    def bind(self, attempt: Attempt, /) -> str | None:
        """Bind the run to this host, unless it is bound already; the host it is bound to."""

    @abstractmethod
    def touch(self, attempt: Attempt, /, key: str, connection: str, ledger: str) -> Kept | None:
        """Note that the step *key* uses the target; what the run keeps of it."""

    @abstractmethod
    def known(self, attempt: Attempt, /, connection: str) -> Kept | None:
        """What the run keeps of a target; None where it has never touched it."""

    @abstractmethod
    def touched(self, key: str) -> dict[str, str]:
        """``{connection: ledger uuid}`` of the targets that the step *key* has used."""


class StoreHands(Hands):
    """The answers of a process that has the store open. Threads share them."""

    def __init__(
        self, store: Store, targets: Targets, store_uuid: str, result_bytes_max: int, exports: Exports
    ) -> None:
        super().__init__(targets, store_uuid, result_bytes_max, exports)
        self._store = store

    def cancelled(self, attempt: Attempt, /) -> bool:
        """Set by the worker's loop. That the step knows it is kept: what it returns now may be half of its work."""
        attempt.told = attempt.told or attempt.ends or attempt.gone
        return attempt.told

    def heard(self, attempt: Attempt, /) -> bool:
        """Keep the moment; the worker's loop looks at it."""
        attempt.heard = monotonic()
        return not attempt.gone

    def counts(self, attempt: Attempt, /) -> bool:
        """One look at the task's row, locked."""
        with self._store.write() as db:
            return tasks.still_held(db, attempt.incarnation, attempt.lease)

    def note(self, attempt: Attempt, /, hints: dict[str, str]) -> bool:
        """One fenced update."""
        store, me, lease = self._store, attempt.incarnation, attempt.lease
        return retrying(store, lambda db: tasks.note(db, me, lease, store.clock(db), **hints))

    def checkpoint(self, attempt: Attempt, /) -> str | None:
        """One look at the task's row."""
        with self._store.glance() as db:
            return tasks.checkpoint_of(db, attempt.task.name)

    def bind(self, attempt: Attempt, /) -> str | None:
        """One transaction; run and tasks are locked in its order."""
        of, run_id = attempt, attempt.run.run_id
        return certain(self._store, lambda db: hosts.bind(db, run_id, host(), of.incarnation, of.lease))

    def touch(self, attempt: Attempt, /, key: str, connection: str, ledger: str) -> Kept | None:
        """After an unknown outcome the same question is asked again, under the same lock: the answer tells."""
        seen = effects.Touch(attempt.run.run_id, key, connection, ledger)
        return certain(self._store, lambda db: effects.touch(db, seen, attempt.incarnation, attempt.lease))

    def known(self, attempt: Attempt, /, connection: str) -> Kept | None:
        """One look."""
        return glancing(self._store, lambda db: effects.known(db, attempt.run.run_id, connection))

    def touched(self, key: str) -> dict[str, str]:
        """One look."""
        with self._store.glance() as db:
            return effects.touched(db, key)

    def crashed(self, attempt: Attempt, runner: str) -> None:
        """Free the task: it is known that the process *runner* died with it, one crash more."""
        store, me, lease = self._store, attempt.incarnation, attempt.lease
        retrying(store, lambda db: tasks.release_crashed(db, me, lease, store.clock(db), runner))

    def hand_back(self, attempt: Attempt) -> None:
        """Free the task, of which nothing has run; nothing is counted."""
        store, me, lease = self._store, attempt.incarnation, attempt.lease
        retrying(store, lambda db: tasks.release(db, me, [lease], store.clock(db)))
