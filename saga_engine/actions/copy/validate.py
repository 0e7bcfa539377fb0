"""VALIDATING: are the rows in the staging table those of the source? Asked inside each database, chunk by chunk.

Each database computes the checksum of each chunk's range by its own means; a range that differs is halved until it
is small, and then compared key by key. The first and the last range are open, so rows beyond them count too. Rows
that no range can have, because a value of their key is missing, are looked for by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from saga_engine.actions.copy import folders, keys
from saga_engine.actions.copy.dialect import Sum
from saga_engine.actions.copy.export import export
from saga_engine.actions.copy.load import load
from saga_engine.actions.copy.plan import Bound, Difference, Form, Kind, Move, Plan, Report, Staged
from saga_engine.actions.copy.preflight import preflight
from saga_engine.actions.copy.reading import Asked, source_rows, staging_rows
from saga_engine.domain.definition.facts import Step
from saga_engine.errors import AttemptEnded, MoveError

LEAF_ROWS: Final = 1_000
"""Ranges of at most so many rows are compared key by key."""
HALVINGS_MAX: Final = 64
"""No table has more rows than halvings by so many could tell apart."""


def validate(step: Step[Move]) -> Report:
    """Compare all rows; the report counts what differs and names some of the keys. What cannot be compared raises."""
    plan, exported, loaded = step.of(preflight), step.of(export), step.of(load)
    chunks = folders.read_manifest(Path(exported.folder), exported.manifest_sha256).chunks
    if not plan.lanes:
        raise MoveError("there is no column to compare")
    counts: Counter[str] = Counter()
    found: list[Difference] = []
    with step.connect(step.input.source) as source, step.connect(step.input.target) as target:
        both = Both(plan, Asked(source), Asked(target))
        shape = both.shape(plan)
        for chunk in chunks:
            here, there = both.sums(chunk.lower, chunk.upper)
            counts.update(source_rows=here.rows, target_rows=there.rows, chunks_equal=int(here == there))
            counts["checksum"] += there.total
            for difference in both.differences(chunk.lower, chunk.upper, here, there) if here != there else ():
                counts[difference.kind] += 1
                found += [difference] if len(found) < step.input.keys_named else []
            step.progress(counts["target_rows"], loaded.rows, "rows")
            if step.cancelled:
                raise AttemptEnded
        both.refuse_unkeyed(step)
    return Report(
        source_rows=counts["source_rows"],
        target_rows=counts["target_rows"],
        chunks=len(chunks),
        chunks_equal=counts["chunks_equal"],
        missing=counts["missing"],
        extra=counts["extra"],
        changed=counts["changed"],
        differences=tuple(found),
        notes=plan.notes,
        validated=Staged(rows=counts["target_rows"], checksum=str(counts["checksum"]), shape=shape),
    )


class Both:
    """Source and staging table side by side."""

    def __init__(self, plan: Plan, source: Asked, target: Asked) -> None:
        columns = {lane.source.name: lane.source for lane in plan.lanes}
        self._key_forms: list[Form] = [columns[name].form for name in plan.key]
        self._source, self._target = source, target
        self._here, self._there = source_rows(plan), staging_rows(plan)

    def shape(self, plan: Plan) -> str:
        """A hash of the staging table's schema."""
        with self._target.transaction() as db:
            return self._target.dialect.fingerprint(db, plan.staging).shape

    def refuse_unkeyed(self, step: Step[Move]) -> None:
        """Raise ``MoveError`` for rows that are in no range. The ranges follow each other: all others are in one."""
        for side, asked, rows in (("source", self._source, self._here), ("copy", self._target, self._there)):
            if step.cancelled:
                raise AttemptEnded
            with asked.transaction() as db:
                count = rows.unkeyed(db)
            if count:
                found = "1 row of the {} has" if count == 1 else f"{count} rows of the {{}} have"
                raise MoveError(f"{found.format(side)} no value in the key, so that nothing could be compared with it")

    def sums(self, lower: Bound | None, upper: Bound | None) -> tuple[Sum, Sum]:
        """The two checksums of a range."""
        with self._source.transaction() as db:
            here = self._here.checksum(db, lower, upper)
        with self._target.transaction() as db:
            there = self._there.checksum(db, lower, upper)
        return here, there

    def differences(
        self, lower: Bound | None, upper: Bound | None, here: Sum, there: Sum, depth: int = 0
    ) -> Iterator[Difference]:
        """The keys of a range that differ. Halving is bound by LEAF_ROWS, and by HALVINGS_MAX."""
        if max(here.rows, there.rows) <= LEAF_ROWS:
            yield from self._compared(lower, upper)
            return
        if depth == HALVINGS_MAX:
            raise MoveError("the rows change faster than they can be compared: stop writing to the source")
        middle = self._middle(lower, upper, here, there)
        if middle is None:  # rows have gone meanwhile
            yield from self._compared(lower, upper)
            return
        for low, high in ((lower, middle), (middle, upper)):
            of_here, of_there = self.sums(low, high)
            if of_here != of_there:
                yield from self.differences(low, high, of_here, of_there, depth + 1)

    def _middle(self, lower: Bound | None, upper: Bound | None, here: Sum, there: Sum) -> Bound | None:
        """Halfway through the rows of the side that has more of them."""
        larger, rows = (self._source, self._here) if here.rows >= there.rows else (self._target, self._there)
        with larger.transaction() as db:
            return rows.cut(db, lower, upper, max(here.rows, there.rows) // 2)

    def _compared(self, lower: Bound | None, upper: Bound | None) -> Iterator[Difference]:
        """Key by key. Where sums differ and no key does, a key is there twice, which one hash for each cannot tell."""
        with self._source.transaction() as db:
            here = self._here.hashes(db, lower, upper)
        with self._target.transaction() as db:
            there = self._there.hashes(db, lower, upper)
        for key in [*here, *(key for key in there if key not in here)]:
            if here.get(key) != there.get(key):
                kind: Kind = "missing" if key not in there else "extra" if key not in here else "changed"
                yield Difference(key=keys.readable(self._key_forms, key), kind=kind)
        of_here, of_there = self.sums(lower, upper) if here == there else (None, None)
        if of_here != of_there:
            raise MoveError("the rows differ and no key does: a key is there twice, or they change while they are read")
