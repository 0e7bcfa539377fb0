"""The target: each effect once, or undone; nothing by an older attempt; the business rows as the model has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.snapshot import UndoEntry
from saga_engine.ledger.evidence import Books, Head, PartRow
from saga_engine.testing.check.history import History
from saga_engine.testing.check.world import Story, World


def touched(history: History, ledgers: Mapping[str, Books]) -> Iterator[str]:
    """Where a step writes is known before it does: no ledger holds a row that an undo would not find."""
    known = history.evidence.touched
    for connection, books in ledgers.items():
        for head in _of_run(history, books.heads):
            seen = known.get(head.task, {}).get(connection)
            if seen is None:
                yield f"{connection} has a head of {head.task}, and the store does not know that it wrote there"
            elif seen != books.uuid:
                yield f"the run has kept the ledger {seen} of {connection}, which is {books.uuid}"
        heads = {head.task for head in books.heads}
        for part in books.parts:
            if part.task not in heads and part.task.startswith(_begins(history)):
                yield f"{connection} has the part {part.part!r} of {part.task} and no head for it"


def entries(history: History, world: World) -> Iterator[str]:
    """The undo stack and the ledgers tell the same: what stands has its effects, what is undone has none."""
    people = _by_people(history)
    done = _succeeded(history)
    for entry in history.evidence.run.undo:
        if entry.position in people:
            continue
        told = f"{entry.state} (visit {entry.visit}, {entry.task}) is {entry.status}; in"
        for connection, books in world.ledgers.items():
            head = _head(books, entry)
            parts = [part for part in books.parts if part.task == entry.task]
            yield from (f"{told} {connection} {wrong}" for wrong in _entry(history, entry, head, parts))
        if not (world.pruned and history.evidence.run.ended):
            where = _lost(history, entry, world.ledgers, done=entry.task in done)
            yield from (f"{told} {connection} nothing is known of it" for connection in where)


def _lost(history: History, entry: UndoEntry, ledgers: Mapping[str, Books], *, done: bool) -> list[str]:
    """The targets that know nothing of a step that has been there. No head is deleted while its run lives.

    An undo closes the heads of every target that the step may have used, before anything else. Forward, a target is
    noted before its head is written, and the attempt may die between the two: so one of them will do.
    """
    touched = history.evidence.touched.get(entry.task, {})
    without = [name for name in touched if name in ledgers and _head(ledgers[name], entry) is None]
    run = history.chart.run_of(entry.state)
    if entry.status == "undone":
        return without if run.undo is not None else []
    stands = done and entry.status in ("done", "sealed") and run.promise == "effect"
    return without if stands and len(without) == len(touched) else []


def _entry(history: History, entry: UndoEntry, head: Head | None, parts: list[PartRow]) -> Iterator[str]:
    has_undo = history.chart.run_of(entry.state).undo is not None
    applied = [part.part for part in parts if part.status != "undone"]
    match entry.status:
        case "undone" if has_undo and head is not None and (head.status != "undone" or applied):
            yield f"its head is {head.status} and the parts {applied} are in effect"
        case "done" | "sealed" if _undoing(history, entry):
            pass  # an undo of it is under way, or it was voided before a person tried again
        case "done" | "sealed" if head is not None and (head.status != "open" or len(applied) < len(parts)):
            yield f"its head is {head.status}, and of {len(parts)} parts {len(applied)} are in effect"
        case "started" if history.chart.is_pivot(entry.state) and not applied:
            pass  # whoever asked for a rollback has proved it to have no effect, and may have died before saying so
        case "started" if head is not None and head.status != "open" and not _undoing(history, entry):
            yield f"its head is {head.status}, and nobody has asked for its undo"
        case "dropped" if applied:
            yield f"the parts {applied} are in effect"
        case _:
            pass
    if history.evidence.run.ended and head is not None and head.status == "undoing":
        yield f"its head is still undoing, and the run is {history.evidence.run.status}"
    if any(part.status == "intended" for part in parts):
        yield "parts are in doubt: their work committed by itself"


def _head(books: Books, entry: UndoEntry) -> Head | None:
    return next((head for head in books.heads if head.task == entry.task), None)


def _succeeded(history: History) -> set[str]:
    """The tasks that came back with a result that was wanted, as did all their attempts before.

    What an attempt has touched that died before it used it, a later one may have no use for.
    """
    came_back: Counter[str] = Counter()
    found = set()
    for turn in history.turns:
        event = turn.event
        if isinstance(event, e.ActionFailed | e.ActionSucceeded):
            came_back[event.task] += 1
            task = turn.before.task(event.task)
            wanted = isinstance(event, e.ActionSucceeded) and task is not None and not task.ending
            if wanted and came_back[event.task] == event.attempt:
                found.add(event.task)
    return found


def _reported(history: History) -> dict[str, int]:
    """The tasks whose result the store has taken, and from which attempt."""
    return {
        turn.event.task: turn.event.attempt
        for turn in history.turns
        if isinstance(turn.event, e.ActionSucceeded) and turn.after.task(turn.event.task) is None
    }


def tokens(history: History, ledgers: Mapping[str, Books]) -> Iterator[str]:
    """No write by an older attempt: in the order of their starts the parts' attempts never go back."""
    done = _reported(history)
    for connection, books in ledgers.items():
        for head in _of_run(history, books.heads):
            order = [part.token for part in books.parts if part.task == head.task]
            told = f"in {connection} the parts of {head.task} were written by the attempts {order}"
            if order != sorted(order) or any(token > head.token for token in order):
                yield f"{told}, and the newest is {head.token}"
            ended = done.get(head.task)
            if ended is not None and head.token > ended:
                yield f"{told}, the newest is {head.token}, and the store took the result of attempt {ended}"
            task = history.evidence.run.task(head.task)
            if task is not None and head.token > task.attempt:
                yield f"{told}, the newest is {head.token}, and the store knows of {task.attempt}"


def business(history: History, world: World) -> Iterator[str]:
    """The rows of the business are those of the model, each exactly as often."""
    run = history.evidence.run.run_id
    if world.model is None or run not in world.business:
        return
    found = Counter(world.business[run])
    expected = world.model(Story(history.evidence, history.chart), world.ledgers)
    missing, besides = expected.must - found, found - expected.must - expected.may
    if missing:
        yield f"rows are missing: {dict(missing)}"
    if besides:
        yield f"rows are there that should not be, or once too often: {dict(besides)}"


def _undoing(history: History, entry: UndoEntry) -> bool:
    """An undo of the entry was queued, or a person had a pivot proved to have no effect."""
    for _, command, _ in history.steps():
        match command:
            case c.AddTask(task=task) if task.kind == "undo" and task.about == entry.position:
                return True
            case c.SetUndo(position=entry.position, status="dropped"):
                return True
            case _:
                pass
    return False


def _by_people(history: History) -> set[int]:
    """The entries of which a person said what became of them: the ledger was not asked."""
    said = (e.Resolved, e.SkipRequested)
    return {
        command.position
        for turn, command, _ in history.steps()
        if isinstance(command, c.SetUndo) and isinstance(turn.event, said)
    }


def _of_run(history: History, heads: tuple[Head, ...]) -> Iterator[Head]:
    return (head for head in heads if head.task.startswith(_begins(history)))


def _begins(history: History) -> str:
    return history.evidence.run.run_id + "."
