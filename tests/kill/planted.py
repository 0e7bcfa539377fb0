"""Bugs that a test puts into a worker, to see that it would be caught; and ways to be slow that only widen a race."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import RLock, local
from typing import Any, Final

from sqlalchemy import Connection, Engine

from saga_engine import failpoints
from saga_engine.domain.snapshot import Snapshot
from saga_engine.ledger import effect, transaction
from saga_engine.ledger.heads import Key
from saga_engine.runtime.incarnation import Incarnation
from saga_engine.runtime.isolation import isolation
from saga_engine.store import record
from saga_engine.store.connect import Store
from saga_engine.store.record import Locked
from saga_engine.store.wake import Changes, Ear, Notifications

SLOW_RENEWAL_SECONDS: Final = 2.0


def revision_alone() -> None:
    """The fence of T2 compares revisions only: a claim raises the attempt, not the revision."""

    def unmoved(before: Snapshot, locked: Locked | None) -> bool:
        return locked is not None and locked.head.revision == before.revision

    record._unmoved = unmoved


def slow_renewal() -> None:
    """The worker learns late that its lease is gone, so that its report meets the fence. No bug."""
    renew = Incarnation.renew

    def late(self: Incarnation) -> None:
        time.sleep(SLOW_RENEWAL_SECONDS)
        renew(self)

    Incarnation.renew = late  # type: ignore[method-assign]


def stops_between_transactions() -> None:
    """``stop`` waits until no other thread holds a connection, to store or target, and lets none take one. No bug.

    A reader that is stopped holds up every commit to its SQLite file.
    """
    gate, mine = RLock(), local()

    def gated(transaction: Callable[[Store], AbstractContextManager[Connection]]) -> Any:
        @contextmanager
        def alone(store: Store) -> Iterator[Connection]:
            with gate:
                mine.of_store = (
                    True  # its connection needs no gate of its own: the writer's is kept, and never given back
                )
                try:
                    with transaction(store) as db:
                        yield db
                finally:
                    mine.of_store = False

        return alone

    def taken(engine: Engine) -> Connection:
        if engine.dialect.name != "sqlite" or getattr(mine, "of_store", False):
            return connect(engine)  # a session that only listens holds nobody up, and is never given back
        gate.acquire()
        try:
            db = connect(engine)
        except BaseException:
            gate.release()
            raise
        db.info["gated"] = True
        return db

    def given_back(db: Connection) -> None:
        held = not db.closed and db.info.pop("gated", False)
        try:
            close(db)
        finally:
            if held:
                gate.release()

    def between(name: str, argument: str) -> None:
        with gate:
            stop(name, argument)

    stop, connect, close = failpoints.ACTIONS["stop"], Engine.connect, Connection.close
    failpoints.ACTIONS["stop"] = between
    for of, name, instead in (
        (Store, "read", gated(Store.read)),
        (Store, "write", gated(Store.write)),  # it takes the lock of the file before the connection
        (Engine, "connect", taken),
        (Connection, "close", given_back),
    ):
        setattr(of, name, instead)


def deaf() -> None:
    """No hint reaches this worker: no NOTIFY, no change of the file. No bug, for a hint may be lost."""

    def hears_nothing(ear: Ear) -> None:
        ear._poked(None, None)

    for ear in (Notifications, Changes):
        setattr(ear, "wait", hears_nothing)  # noqa: B010  a plain assignment would need its types


def no_ledger() -> None:
    """An effect is a transaction of the target and no more: nobody remembers that it took place."""

    def apply(engine: Engine, key: Key, part: str, work: Callable[[Connection], Any], *_: object, limit: int) -> Any:
        return transaction.run(engine, f"{key.task} {part} {limit}", "ledger.part", work)

    effect.apply = apply  # type: ignore[assignment]  # the point of it


def suspects_on_threads() -> None:
    """A task that took a worker along runs on a thread again. No bug: a process each would take most of the time."""
    setattr(isolation, "source_of", lambda *_: None)  # noqa: B010  a plain assignment would need its types


BUGS: Final[Mapping[str, Callable[[], None]]] = {
    "deaf": deaf,
    "no ledger": no_ledger,
    "revision alone": revision_alone,
    "slow renewal": slow_renewal,
    "stops between transactions": stops_between_transactions,
}
