"""What a person types for a run: its id, its run key, its short name, a unique suffix or prefix, ``@saga``."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from saga_engine import errors
from saga_engine.runtime import ids
from saga_engine.store import inspect, pruned
from saga_engine.store.connect import Store, reading
from saga_engine.store.pruned import Gone

if TYPE_CHECKING:
    import sqlalchemy as sa

Candidate: TypeAlias = tuple[str, str, str]
"""``(id, saga, tag)`` of a run."""

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
            raise errors.AmbiguousName(run=typed, several=", ".join(_shorts(candidates)))
        if not candidates:
            raise _unknown(db, typed, name)
        return candidates[0][0]

    def short(self, run_id: str, saga: str) -> str:
        """``<saga>-<shortest unique suffix, at least five digits>``."""
        tag = ids.tag_of(run_id)
        return ids.short(saga, tag, reading(self._store, lambda db: inspect.neighbours(db, tag)))


def _shorts(candidates: list[Candidate]) -> list[str]:
    """Short names that tell these runs from each other."""
    tags = [tag for _, _, tag in candidates]
    return [ids.short(saga, tag, tuple(other for other in tags if other != tag)) for _, saga, tag in candidates]


def _unknown(db: sa.Connection, typed: str, name: str) -> errors.RunNotFound:
    """By its id or its run key a run is known that was pruned."""
    plain = name.replace("-", "").lower()
    gone = pruned.of(db, [plain]).get(plain) or pruned.by_key(db, name)
    return errors.RunNotFound(run=typed) if gone is None else _was_pruned(typed, gone)


def _was_pruned(typed: str, gone: Gone, more: str = "") -> errors.RunNotFound:
    text = f"The run {typed} of {gone.saga} ended ({gone.status}) on {gone.ended_at:%Y-%m-%d}, and was pruned."
    return errors.RunNotFound(f"{text}{more}", run=typed)


def _candidates(db: sa.Connection, name: str) -> list[Candidate]:
    """What the name fits: a whole id, else a run key, else the other forms.

    A key that is also a form of another run's name is refused: people choose keys that look like the end of a name,
    such as 2021, and what they want to cancel is theirs.
    """
    plain = name.replace("-", "").lower()
    if len(plain) == ID_LENGTH and inspect.row_of(db, plain) is not None:
        return [(plain, "", "")]
    keyed = inspect.by_key(db, name)
    fitting = _fitting(db, name, plain)
    if keyed is None:
        gone = pruned.by_key(db, name) if fitting else None
        if gone is not None:
            raise _was_pruned(name, gone, f" It fits {', '.join(_shorts(fitting))} too: say that.")
        return fitting
    others = [other for other in fitting if other[0] != keyed.id]
    if others:
        raise _torn(name, (keyed.id, keyed.saga, keyed.tag), others)
    return [(keyed.id, keyed.saga, keyed.tag)]


def _torn(name: str, keyed: Candidate, others: list[Candidate]) -> errors.AmbiguousName:
    """Both ways to say it. Where one's short name is what the other has as its key, its id is what it alone has."""
    runs = [keyed, *others]
    mine, *theirs = [run[0] if said == name else said for run, said in zip(runs, _shorts(runs), strict=True)]
    text = f"{name} is the run key of {mine}, and fits {', '.join(theirs)} too: say {' or '.join([mine, *theirs])}"
    return errors.AmbiguousName(text, run=name)


def _fitting(db: sa.Connection, name: str, plain: str) -> list[Candidate]:
    """What has it as the latest of a saga, at the end of its short name, or at the beginning of its id or name."""
    if name.startswith("@"):
        latest = inspect.latest(db, name[1:])
        return [(latest, name[1:], ids.tag_of(latest))] if latest else []
    saga, _, suffix = name.rpartition("-")
    if len(suffix) >= SUFFIX_TYPED_LEAST and suffix.isascii() and suffix.isalnum():
        found = inspect.by_tag(db, ids.typed(suffix), saga=saga)
        if found:
            return found
    if len(plain) >= SUFFIX_TYPED_LEAST and plain.isascii() and plain.isalnum():
        found = inspect.by_id_prefix(db, plain)
        if found:
            return found
    return _begun(db, saga, suffix) if saga else []


def _begun(db: sa.Connection, saga: str, begun: str) -> list[Candidate]:
    """Runs of *saga* whose short name begins so: each digit that is left out may be any of the alphabet."""
    if not SUFFIX_TYPED_LEAST <= len(begun) < ids.SUFFIX_LEAST or not (begun.isascii() and begun.isalnum()):
        return []
    unsaid = ["".join(digits) for digits in product(ids.ALPHABET, repeat=ids.SUFFIX_LEAST - len(begun))]
    size = len(ids.ALPHABET)  # so many at once: a database takes no condition of any length
    chunks = (unsaid[at : at + size] for at in range(0, len(unsaid), size))
    said = ids.typed(begun)
    return [found for chunk in chunks for found in inspect.by_tag(db, *(digits + said for digits in chunk), saga=saga)]
