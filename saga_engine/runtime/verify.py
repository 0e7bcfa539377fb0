"""``saga verify``: every run's history against itself, against the run's rows, and against anchors kept elsewhere.

A walk over runs in the order of their ids, and over the journal lines of each, page by page: memory does not grow with
the store, and nobody is held up. What is found is looked at a second time, for runs move and are pruned meanwhile.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from saga_engine import errors
from saga_engine.runtime import ids
from saga_engine.runtime.anchors import Anchor, Writer, read
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.views_operate import FaultView, VerifiedView
from saga_engine.store import histories, pruned
from saga_engine.store.chain import Chain, Fault, Mark
from saga_engine.store.connect import reading
from saga_engine.store.histories import FIRST, Head, Stored, readable
from saga_engine.store.pruned import Gone

if TYPE_CHECKING:
    import sqlalchemy as sa

RUNS_PAGE: Final = 100
LINES_PAGE: Final = 200
"""A line may have a megabyte: no more than these are held at a time."""
NUMBERS_PAGE: Final = 5_000
"""So many runs are looked for at a time, by those who look for lines without one."""
PRUNED_PAGE: Final = 1_000
FOUND_MAX: Final = 1_000
"""So many faults are named; the others are counted."""


@dataclass(slots=True)
class Check:
    """One check under way: what has been looked at so far, and what is wrong."""

    door: Door
    writer: Writer | None = None
    runs: int = 0
    lines: int = 0
    pruned: int = 0
    anchored: int = 0
    named: list[FaultView] = field(default_factory=list)
    more: int = 0

    def add(self, fault: Fault, saga: str = "") -> None:
        """Name one more fault, of a run of *saga*."""
        if len(self.named) == FOUND_MAX:
            self.more += 1
            return
        name = ids.short(saga, ids.tag_of(fault.run_id)) if saga else fault.run_id
        self.named.append(FaultView(run=name, **{n: getattr(fault, n) for n in ("run_id", "revision", "what", "text")}))


def verify(door: Door, names: Sequence[str], anchors: Sequence[Path], write: Path | None) -> VerifiedView:
    """Check the runs of these names, or without one the whole store."""
    if not names:
        return whole(door, anchors, write)
    if write is not None:
        raise errors.BadInput("an anchor is written of the whole store: name no run with --write-anchor")
    return some(door, names, anchors)


def whole(door: Door, anchors: Sequence[Path], write: Path | None) -> VerifiedView:
    """Check the whole store. *write*: where nothing is wrong, write an anchor there, instead of the one that is there.

    An anchor that is there is checked like the others: only one that agrees takes its place.
    """
    there = [write] if write is not None and write.exists() and write not in anchors else []
    known = [read(path) for path in (*anchors, *there)]
    with ExitStack() as closing:
        check = Check(door, closing.enter_context(Writer(write)) if write else None)
        head, now = reading(door.store, lambda db: (_pruned_head(db), door.store.clock(db)))
        if check.writer:
            check.writer.begin(door.store_uuid(), now.isoformat(), *head)
        _stores(check, known)
        _pruned(check, known)
        _runs(check, Marks(known))
        kept = check.writer is not None and not check.named
        if check.writer is not None and kept:
            check.writer.keep()
    return _told(check, str(write) if kept else None)


def some(door: Door, names: Sequence[str], anchors: Sequence[Path]) -> VerifiedView:
    """Check the runs of these names."""
    wanted = sorted({door.names.resolve(name) for name in names})
    known = [read(path) for path in anchors]
    check = Check(door)
    _stores(check, known)
    marks: dict[str, list[Mark]] = {}
    for mark in (mark for anchor in known for mark in anchor.marks() if mark.run_id in wanted):
        marks.setdefault(mark.run_id, []).append(mark)
    for run in wanted:
        heads = reading(door.store, partial(histories.heads, wanted=[run]))
        _page(check, heads, {run: marks[run]} if run in marks else {})
    return _told(check, None)


class Marks:
    """What all anchors remember, in the order of runs; taken page by page."""

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        self._rest = heapq.merge(*(anchor.marks() for anchor in anchors), key=attrgetter("run_id"))
        self._next = next(self._rest, None)

    def until(self, last: str | None) -> dict[str, list[Mark]]:
        """Those of runs up to *last*, which were not taken before; None: all that are left."""
        taken: dict[str, list[Mark]] = {}
        while self._next is not None and (last is None or self._next.run_id <= last):
            taken.setdefault(self._next.run_id, []).append(self._next)
            self._next = next(self._rest, None)
        return taken


def _told(check: Check, anchor: str | None) -> VerifiedView:
    return VerifiedView(
        runs=check.runs,
        lines=check.lines,
        pruned=check.pruned,
        anchored=check.anchored,
        found=tuple(check.named),
        more=check.more,
        anchor=anchor,
    )


def _stores(check: Check, known: Sequence[Anchor]) -> None:
    uuid = check.door.store_uuid()
    for anchor in known:
        if anchor.store != uuid:
            text = f"{anchor.path} is the anchor of the store {anchor.store}, and this is {uuid}"
            check.add(Fault("", None, "store", text))


def _pruned(check: Check, known: Sequence[Anchor]) -> None:
    """The chain over what was pruned, and its length and hash in the anchors."""
    previous = pruned.NO_ROW
    marks = [anchor for anchor in known if anchor.pruned]
    while True:
        page = reading(check.door.store, partial(pruned.page, after=check.pruned, limit=PRUNED_PAGE))
        if page is None:
            check.add(Fault("", None, "pruned", f"saga_pruned cannot be read behind row {check.pruned}"))
            return
        for gone in page:
            if gone.number != check.pruned + 1 or gone.hash != gone.hashed(previous):
                text = f"row {check.pruned + 1} of saga_pruned was changed or removed"
                check.add(Fault(gone.run_id, None, "pruned", text))
                return
            check.pruned, previous = gone.number, gone.hash
            for anchor in marks:
                if anchor.pruned == gone.number and anchor.pruned_hash != gone.hash:
                    text = f"row {gone.number} of saga_pruned is another than {anchor.path} knows"
                    check.add(Fault(gone.run_id, None, "pruned", text))
        if not page:
            break
    for anchor in marks:
        if anchor.pruned > check.pruned:
            text = f"{anchor.path} knows {anchor.pruned} pruned runs, and saga_pruned has {check.pruned}"
            check.add(Fault("", None, "pruned", text))


def _pruned_head(db: sa.Connection) -> tuple[int, bytes]:
    """The end of the chain over what was pruned; its beginning where it cannot be read: then no anchor is kept."""
    return readable(db, partial(pruned.head, db)) or (0, pruned.NO_ROW)


def _runs_page(after: str, db: sa.Connection) -> tuple[list[str], dict[str, Head]]:
    page = histories.ids(db, after, RUNS_PAGE)
    return page, histories.heads(db, page)


def _runs(check: Check, marks: Marks) -> None:
    """Page by page; behind the last run there may still be runs that only an anchor knows, and lines without a run."""
    after = ""
    while True:
        page, heads = reading(check.door.store, partial(_runs_page, after))
        _page(check, heads, marks.until(page[-1] if page else None))
        if not page:
            break
        after = page[-1]
    _strays(check)


def _lines(door: Door, heads: Sequence[Head]) -> Iterator[Stored]:
    """Every stored line of these runs, one run after the other."""
    waiting, after = deque(heads), FIRST
    while waiting:
        page, waiting, after = reading(door.store, partial(_lines_page, waiting, after))
        yield from page


def _lines_page(heads: deque[Head], after: Any, db: sa.Connection) -> tuple[list[Stored], deque[Head], Any]:  # noqa: ANN401  whatever is stored
    """Some lines behind *after* of the first run; what is left to read, and behind which line of it."""
    page: list[Stored] = []
    waiting = heads.copy()
    while waiting and len(page) < LINES_PAGE:
        found = histories.lines(db, waiting[0], after, LINES_PAGE - len(page))
        page += found
        if len(page) == LINES_PAGE:
            after = found[-1].revision
        else:
            waiting.popleft()
            after = FIRST
    return page, waiting, after


def _page(check: Check, heads: Mapping[str, Head], marks: Mapping[str, Sequence[Mark]]) -> None:
    """Check runs, and what anchors know of them."""
    ordered = [heads[run] for run in sorted(heads)]
    lines = _lines(check.door, ordered)
    line = next(lines, None)
    for head in ordered:
        chain = Chain(head, marks.get(head.run_id, ()))
        while line is not None and line.run_id == head.run_id:
            chain.take(line)
            check.lines += 1
            line = next(lines, None)
        _ended(check, head, chain, marks.get(head.run_id, ()))
    _removed(check, {run: its for run, its in marks.items() if run not in heads})


def _ended(check: Check, head: Head, chain: Chain, marks: Sequence[Mark]) -> None:
    faults = chain.end()
    check.runs += 1
    check.anchored += bool(marks)
    if faults and chain.is_being_pruned() and _is_pruned(check, head, marks):
        return
    for fault in faults:
        check.add(fault, head.stored.saga if head.stored else "")
    if not faults and check.writer is not None:
        check.writer.run(head, chain.length)


def _strays(check: Check) -> None:
    """Lines of no run: its row was removed."""
    after: int | None = FIRST
    while after is not None:
        found, after = reading(check.door.store, partial(histories.strays, after=after, width=NUMBERS_PAGE))
        for number, lines in found:
            text = f"{lines} journal lines of the run with the number {number} belong to no run: its row was removed"
            check.add(Fault("", None, "stray", text))


def _is_pruned(check: Check, head: Head, marks: Sequence[Mark]) -> bool:
    """Whether it has been pruned since it was read, or is being pruned piece by piece, as the run that it was."""
    gone = reading(check.door.store, partial(pruned.of, runs=[head.run_id])).get(head.run_id)
    if gone is None or (gone.revision, gone.journal_hash) != (head.revision, head.hash):
        return False
    return not any(_differs(gone, mark) for mark in marks)


def _differs(gone: Gone, mark: Mark) -> bool:
    """Whether what was pruned cannot be what an anchor knows."""
    return gone.revision < mark.length or (gone.revision == mark.length and gone.journal_hash != mark.hash)


def _removed(check: Check, marks: Mapping[str, Sequence[Mark]]) -> None:
    """Runs that an anchor knows and the store does not: pruned as they were, or removed."""
    gone = reading(check.door.store, partial(pruned.of, runs=list(marks)))
    for run, its in marks.items():
        check.anchored += 1
        for mark in its:
            left = gone.get(run)
            if left is None:
                text = f"{mark.anchor} knows it, and it is gone: it was removed, and not by saga prune"
                check.add(Fault(run, None, "removed", text))
            elif _differs(left, mark):
                text = f"when it was pruned it had another history than {mark.anchor} knows"
                check.add(Fault(run, None, "anchor", text))
