"""``saga reconcile``: a store that was restored from a backup meets ledgers that know more than it does.

What the ledger knows is compared with the store, step by step; what is provably right is done, all else is told to a
person. Order: first the ledgers, where every change is a step nobody minds being taken twice, then the store, by an
event through the one door. A kill in between leaves less to do for the next call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain import ledgers
from saga_engine.domain.ledgers import Judgement, Seen
from saga_engine.domain.snapshot import Snapshot
from saga_engine.ledger import strays
from saga_engine.ledger.heads import Key
from saga_engine.ledger.void import void
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.targets import Targets, plain_errors
from saga_engine.runtime.views_operate import LedgerStepView, ReconciledView
from saga_engine.store import effects, runs
from saga_engine.store.connect import certain

TRIES_MAX: Final = 5
"""How often a run is compared that moves meanwhile."""
EVIDENCE_MAX: Final = 2_000
"""Characters of what was seen that the journal keeps."""
MENDS: Final = {
    "raise": "its attempts are counted on from there, and the next one gets what is recorded",
    "aside": "it is kept until the run comes there, and counts then",
    "close": "its row is closed, so that nobody can write for it any more",
    "free": "its row is closed, and gives its name back to the step that has it now",
    "touch": "it is noted here, so that an undo goes there",
    "": "",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One row of a ledger, or its absence, with what it means."""

    connection: str
    row: Seen | None
    task: str
    meaning: Judgement
    forgotten: str = ""
    """The ledger's uuid, where the store does not know that the step has been there."""


def reconcile(door: Door, targets: Targets, run_id: str, actor: str, *, dry_run: bool) -> ReconciledView:
    """Compare one run with every ledger that it may have written to; do what is safe, unless *dry_run*."""
    run, found = _at_rest(door, targets, run_id)
    mended = [one for one in found if one.meaning.mend]
    left = [one for one in found if _needs_a_person(one)]
    if not dry_run:
        store = door.store_uuid()
        for one in mended:
            with plain_errors(one.connection):
                _mend_ledger(targets, store, one)
        _note_touches(door, run, mended)
    done = "" if left else _go_on(door, run, mended, actor, dry_run=dry_run)
    after = run if dry_run else _stored(door, run_id)[0]
    return ReconciledView(
        run_id=run_id,
        run=door.names.short(run_id, run.saga),
        state=after.state,
        status=after.status,
        steps=tuple(_view(door, run, one) for one in found if one.meaning is not ledgers.IN_STEP),
        done=done,
        in_step=not left,
    )


def settle(door: Door, targets: Targets, run_id: str, task: str) -> None:
    """Record in every ledger that nothing of a step is in effect any more: a person has looked, and undone it by hand.

    Only a step that the store does not know; for others there is ``saga resolve``.
    """
    _, found = _at_rest(door, targets, run_id)
    store = door.store_uuid()
    settled = False
    for one in found:
        if one.task == task and one.row is not None and one.meaning.verdict in ("unknown", "set aside"):
            with plain_errors(one.connection):
                strays.settle(targets.engine(one.connection), Key(store, task, one.row.undo_token + 1))
            settled = True
    if not settled:
        raise errors.Conflict(f"{task} is no step that only a ledger knows; see saga reconcile --dry-run")


def stray_runs(door: Door, targets: Targets, connection: str, most: int) -> list[str]:
    """Runs among the youngest in a ledger that this store does not know: they were started after the backup."""
    with plain_errors(connection):
        rows = strays.newest(targets.engine(connection), door.store_uuid(), most)
    ids = {row.run for row in rows}
    with door.store.read() as db:
        return sorted(set(ids) - runs.known(db, ids))


def _at_rest(door: Door, targets: Targets, run_id: str) -> tuple[Snapshot, list[Compared]]:
    """The run, and what was compared with it while it stood still: else a step that began meanwhile seems unknown."""
    before = _stored(door, run_id)
    for _ in range(TRIES_MAX):
        found = list(_compared(door, targets, *before))
        after = _stored(door, run_id)
        if after == before:
            return before[0], found
        before = after
    raise errors.Conflict("the run goes on while it is compared: pause it first", run=run_id)


def _stored(door: Door, run_id: str) -> tuple[Snapshot, dict[str, dict[str, str]]]:
    with door.store.read() as db:
        run = runs.load_one(db, run_id)
        kept = runs.ledgers(db, run_id)
    if run is None:
        raise errors.RunNotFound(run=run_id)
    return run, kept


def _compared(door: Door, targets: Targets, run: Snapshot, kept: dict[str, dict[str, str]]) -> Iterator[Compared]:
    """Connection by connection: those that it has touched, and those of the settings, which it may have since."""
    touched = {name: uuid for its in kept.values() for name, uuid in its.items()}
    store = door.store_uuid()
    for name in sorted(touched | dict.fromkeys(targets.names, "")):
        wanted, there = touched.get(name), None
        try:
            there = targets.ledger(name)
            lost = _lost(name, there, wanted)
            rows = [] if lost or there is None else _rows(targets, name, store, run.run_id)
        except errors.SagaError as error:
            lost, rows = (Judgement("lost", str(error), next=error.next_command) if wanted else None), []
        if lost:
            yield Compared(name, None, "", lost)
            continue
        yield from (_judged(run, kept, name, there or "", row) for row in rows)
        if wanted:
            its = {task for task, where in kept.items() if name in where} - {row.task for row in rows}
            yield from (Compared(name, None, task, ledgers.missing(run, task)) for task in sorted(its))


def _judged(run: Snapshot, kept: dict[str, dict[str, str]], name: str, ledger: str, row: Seen) -> Compared:
    """*ledger*: its own name; one that the run has touched under another name of the connection was touched."""
    meaning = ledgers.judge(run, row)
    if name in kept.get(row.task, {}) or ledger in kept.get(row.task, {}).values():
        return Compared(name, row, row.task, meaning)
    return Compared(name, row, row.task, ledgers.untouched(run, row, meaning), ledger)


def _rows(targets: Targets, name: str, store: str, run_id: str) -> list[Seen]:
    with plain_errors(name):
        return [
            Seen(row.task, row.step, row.status, row.token, row.undo_token, row.parts, row.is_aside)
            for row in strays.of_run(targets.engine(name), store, run_id)
        ]


def _lost(name: str, there: str | None, wanted: str | None) -> Judgement | None:
    if not wanted or there == wanted:
        return None
    if there is None:
        return Judgement("lost", f"{name} has lost its ledger {wanted}", next=f"saga db ledger {name}")
    text = f"{name} has the ledger {there}, and the run has used {wanted}: another database, or one made anew"
    return Judgement("lost", text, next="saga config show --origin")


def _needs_a_person(one: Compared) -> bool:
    return one.meaning.verdict in ("ahead", "behind", "unknown", "lost") and not one.meaning.mend


def _mend_ledger(targets: Targets, store: str, one: Compared) -> None:
    assert one.row is not None, "what is mended has a row"
    engine = targets.engine(one.connection)
    closes = one.meaning.mend == "close" or (one.meaning.mend == "free" and one.row.status != "undone")
    if closes and not void(engine, Key(store, one.task, one.meaning.attempt)):
        raise errors.Conflict(f"{one.task} is writing at this moment; call saga reconcile again")
    if one.meaning.mend in ("aside", "free"):
        row = strays.Row(one.task, one.row.step, one.row.status, one.row.token, one.row.undo_token, one.row.parts)
        strays.set_aside(engine, store, row)


def _note_touches(door: Door, run: Snapshot, mended: Sequence[Compared]) -> None:
    for one in mended:
        if one.forgotten and one.meaning.mend in ("touch", "raise") and run.entry(one.task):
            certain(
                door.store,
                partial(effects.note, seen=effects.Touch(run.run_id, one.task, one.connection, one.forgotten)),
            )


def _go_on(door: Door, run: Snapshot, mended: Sequence[Compared], actor: str, *, dry_run: bool) -> str:
    """Let every task go on that has to count on, or was set aside because its ledger was ahead."""
    raised: dict[str, int] = {}
    for one in mended:
        if one.meaning.mend == "raise":
            raised[one.meaning.task] = max(raised.get(one.meaning.task, 0), one.meaning.attempt)
    for task in run.tasks:
        if task.parked is not None and task.parked.code == "W21" and task.kind in ("step", "undo"):
            raised.setdefault(task.name, task.attempt)
    evidence = "; ".join(f"{one.connection}: {one.meaning.text}" for one in mended) or "store and ledgers agree"
    said = []
    for name, attempt in sorted(raised.items()):
        event = e.Reconciled(actor, name, attempt, evidence[:EVIDENCE_MAX])
        decision = door.would(event, door.read(run.run_id)) if dry_run else door.deliver(run.run_id, event)
        if decision.commands:
            of = run.task(name)
            said.append(f"{of.state if of else name} goes on, newer than attempt {attempt}")
    return "; ".join(said)


def _view(door: Door, run: Snapshot, one: Compared) -> LedgerStepView:
    name = door.names.short(run.run_id, run.saga)
    return LedgerStepView(
        connection=one.connection,
        task=one.task,
        step=(one.row.step if one.row else None) or "",
        verdict=one.meaning.verdict,
        text=one.meaning.text,
        mends=MENDS[one.meaning.mend],
        next=one.meaning.next.format(run=name),
    )
