"""Forward: an attempt opens the step's head once, then applies parts, each exactly once, whatever dies when."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from sqlalchemy import Connection, Engine

from saga_engine import failpoints
from saga_engine.errors import TransactionEnded
from saga_engine.ledger import connect, heads, parts, results, strays, transaction
from saga_engine.ledger.heads import Key

N = TypeVar("N")


def open_head(engine: Engine, key: Key, known: Collection[str] | None = None) -> None:
    """Make this attempt the one that may write, before its first part; older attempts are refused from now on.

    *known*: the tasks of its run that have been here before, as the store knows; None: do not look for others.
    Waits for a part of an older attempt that is under way. ``Superseded``: a newer attempt or the undo was here, or
    steps of the run that the store knows nothing of (``strays``). ``LedgerMissing``, ``LedgerChanged``: the ledger
    is not the one that the run has kept. ``TargetBusy``: later.
    """
    looked: set[str] = set()

    def once(db: Connection) -> None:
        if known is not None:
            strays.take_over(db, key, {*known, *looked})
            looked.add(key.task)  # found again, it is what a COMMIT of this very call has left, whose answer was lost
        heads.raise_token(db, key)

    transaction.run(engine, _label(key), "ledger.head", once)


def apply(
    engine: Engine, key: Key, part: str, work: Callable[[Connection], N], parse: Callable[[str], N], *, limit: int
) -> N:
    """Call *work* in a transaction that also records its result; if *part* was applied before, only return that.

    The result is a pydantic model or None, at most *limit* bytes of JSON; the caller gets what *parse* makes of that
    JSON, the first time as every later time. What *work* raises comes out unchanged and leaves nothing behind;
    after a deadlock or a serialization failure *work* is called again. Raises what ``open_head`` raises, and
    ``TransactionEnded``, ``WorkIdle``, ``ResultNotStorable``, ``PayloadTooLarge``, ``CommitUnknown``.
    """
    parts.check_name(part)
    what = _label(key, part)
    made_by = getattr(work, "__name__", what)

    def once(db: Connection) -> N:
        heads.require_open(db, key)
        failpoints.hit("ledger.part.after_head")
        if not parts.intend(db, key, part):
            return _recorded(db, key, part, parse, what)
        failpoints.hit("ledger.part.after_insert")
        value = transaction.call(db, work)
        failpoints.hit("ledger.part.after_work")
        json = results.write(value, limit, made_by)
        parts.apply(db, key, part, json)
        return results.read(json, parse, made_by)

    return transaction.run(engine, what, "ledger.part", once)


def _recorded(db: Connection, key: Key, part: str, parse: Callable[[str], N], what: str) -> N:
    json = parts.result(db, key, part)
    if json is None:
        kept = "an earlier attempt of it did so, what that committed is there, and the part is in doubt"
        raise TransactionEnded(connection=connect.name_of(db), what=what, kept=kept)
    return results.read(json, parse, what)


def _label(key: Key, part: str = "") -> str:
    return f"{key.task} attempt {key.token}" + (f" part {part!r}" if part else "")
