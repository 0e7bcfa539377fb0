"""What a person types for a run: its id, its short name, a unique suffix or prefix, ``@saga``, its run key."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from saga_engine import errors
from saga_engine.runtime import ids
from saga_engine.store import inspect, pruned
from saga_engine.store.connect import Store, reading

if TYPE_CHECKING:
    import sqlalchemy as sa

ID_LENGTH = 32
SUFFIX_TYPED_LEAST = 3


class Names:
    """Looks runs up, and makes their short names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, typed: str) -> str:
        """The id of the run that *typed* names. ``RunNotFound``, or ``BadInput`` naming several that it fits."""
        return reading(self._store, lambda db: self.find(db, typed))

    def find(self, db: sa.Connection, typed: str) -> str:
        """The same, within a transaction of the caller's."""
        name = typed.strip()
        if not name or not name.isprintable():  # no database could even be asked for a NUL, or half of a surrogate pair
            raise errors.RunNotFound(run=ascii(typed))
        candidates = _candidates(db, name)
        if len(candidates) > 1:
            several = ", ".join(
                ids.short(saga, tag, tuple(t for _, _, t in candidates if t != tag)) for _, saga, tag in candidates
            )
            raise errors.AmbiguousName(run=typed, several=several)
        if not candidates:
            raise _unknown(db, typed, name)
        return candidates[0][0]

    def short(self, run_id: str, saga: str) -> str:
        """``<saga>-<shortest unique suffix, at least five digits>``."""
        tag = ids.tag_of(run_id)
        return ids.short(saga, tag, reading(self._store, lambda db: inspect.neighbours(db, tag)))


def _unknown(db: sa.Connection, typed: str, name: str) -> errors.RunNotFound:
    """By its id or its run key a run is known that was pruned."""
    plain = name.replace("-", "").lower()
    gone = pruned.of(db, [plain]).get(plain) or pruned.by_key(db, name)
    if gone is None:
        return errors.RunNotFound(run=typed)
    text = f"The run {typed} of {gone.saga} ended ({gone.status}) on {gone.ended_at:%Y-%m-%d}, and was pruned."
    return errors.RunNotFound(text, run=typed)


def _candidates(db: sa.Connection, name: str) -> list[tuple[str, str, str]]:
    """``(id, saga, tag)`` of what the name fits."""
    if name.startswith("@"):
        latest = inspect.latest(db, name[1:])
        return [(latest, "", "")] if latest else []
    plain = name.replace("-", "").lower()
    if len(plain) == ID_LENGTH and inspect.row_of(db, plain) is not None:
        return [(plain, "", "")]
    saga, _, suffix = name.rpartition("-")
    if len(suffix) >= SUFFIX_TYPED_LEAST and suffix.isascii() and suffix.isalnum():
        found = inspect.by_tag(db, ids.typed(suffix), saga=saga)
        if found:
            return found
    if len(plain) >= SUFFIX_TYPED_LEAST and plain.isascii() and plain.isalnum():
        found = inspect.by_id_prefix(db, plain)
        if found:
            return found
    keyed = inspect.by_key(db, name)
    if keyed:
        return [(keyed.id, keyed.saga, keyed.tag)]
    return _begun(db, saga, suffix) if saga else []


def _begun(db: sa.Connection, saga: str, begun: str) -> list[tuple[str, str, str]]:
    """Runs of *saga* whose short name begins so: each digit that is left out may be any of the alphabet."""
    if not SUFFIX_TYPED_LEAST <= len(begun) < ids.SUFFIX_LEAST or not (begun.isascii() and begun.isalnum()):
        return []
    unsaid = ["".join(digits) for digits in product(ids.ALPHABET, repeat=ids.SUFFIX_LEAST - len(begun))]
    size = len(ids.ALPHABET)  # so many at once: a database takes no condition of any length
    chunks = (unsaid[at : at + size] for at in range(0, len(unsaid), size))
    said = ids.typed(begun)
    return [found for chunk in chunks for found in inspect.by_tag(db, *(digits + said for digits in chunk), saga=saga)]
