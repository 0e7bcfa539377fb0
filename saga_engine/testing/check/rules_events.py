"""Events from outside: each accepted one is consumed once, or refused in writing; nothing acknowledged is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.codec import dump
from saga_engine.domain.frozen import replace
from saga_engine.store.evidence import KeptEvent
from saga_engine.testing.check.history import History, Turn
from saga_engine.testing.check.world import Told


def consumed(history: History) -> Iterator[str]:
    """An accepted event is taken, dropped, or waits: exactly one of them, once, and for a reason."""
    kept: set[int] = set()
    gone: Counter[int] = Counter()
    for turn in history.turns:
        numbers = [x.number for x in turn.commands if isinstance(x, c.KeepEvent | c.NoteEvent)]
        if numbers != ([turn.number] if isinstance(turn.event, e.EventReceived) else []):
            yield f"line {turn.number} ({type(turn.event).__name__}) accepts the events {numbers}"
        kept |= {x.number for x in turn.commands if isinstance(x, c.KeepEvent)}
        taken = [x for x in turn.commands if isinstance(x, c.TakeEvent)]
        gone.update(x.number for x in taken)
        for command in taken:
            yield from _fate(turn, command)
    waiting = {event.number for event in history.evidence.run.inbox}
    twice = [number for number, count in gone.items() if count > 1]
    if twice:
        yield f"the events of lines {twice} were consumed twice"
    if kept != gone.keys() | waiting or gone.keys() & waiting:
        yield f"kept were {sorted(kept)}, consumed {sorted(gone)}, and {sorted(waiting)} wait"


def _fate(turn: Turn, taken: c.TakeEvent) -> Iterator[str]:
    results = any(isinstance(x, c.AddResult) and x.source.startswith("event:") for x in turn.commands)
    right = {
        "taken": results,
        "ended": any(isinstance(x, c.Finish) for x in turn.commands),
        "skipped": isinstance(turn.event, e.SkipRequested),
        "expired": isinstance(turn.event, e.TimerFired),
    }
    if not right.get(taken.fate, False):
        yield f"line {turn.number} ({type(turn.event).__name__}) lets the event of line {taken.number} be {taken.fate}"


def rows(history: History) -> Iterator[str]:
    """The inbox holds every event that waited or has a key, with what became of it."""
    told: dict[int, KeptEvent] = {}
    for _, command, _ in history.steps():
        match command:
            case c.KeepEvent(number=number, name=name, source=source, dedup_key=key):
                told[number] = KeptEvent(number, name, source, key, "waiting")
            case c.NoteEvent(number=number, name=name, source=source, dedup_key=key, fate=fate) if key is not None:
                told[number] = KeptEvent(number, name, source, key, fate)
            case c.TakeEvent(number=number, fate=fate) if number in told:
                was = told[number]
                told[number] = KeptEvent(number, was.name, was.source, was.dedup_key, fate)
            case _:
                pass
    found = {event.number: event for event in history.evidence.inbox}
    if found != told:
        odd = sorted(number for number in found.keys() | told.keys() if found.get(number) != told.get(number))
        yield f"the inbox holds {[found.get(n) for n in odd]} where the journal says {[told.get(n) for n in odd]}"


def keys(history: History) -> Iterator[str]:
    """The same event key of the same source is the same event: it counts once."""
    received = [turn.event for turn in history.turns if isinstance(turn.event, e.EventReceived)]
    seen = Counter((event.source, event.dedup_key) for event in received if event.dedup_key is not None)
    for (source, key), count in seen.items():
        if count > 1:
            yield f"the event {key} of {source} counted {count} times"


def acknowledged(history: History | None, told: Iterable[Told]) -> Iterator[str]:
    """What a client was told is recorded is in the history; what was refused is not; nothing is in it twice."""
    lines = Counter(_identity(turn.event) for turn in history.turns) if history else Counter[str]()
    log = sorted(((_identity(one.request), one) for one in told), key=lambda pair: pair[0])
    for identity, group in groupby(log, key=lambda pair: pair[0]):
        answers = Counter(one.answer for _, one in group)
        found = lines[identity]
        least, most = answers["recorded"], answers["recorded"] + answers["unknown"]
        if identity.startswith("key "):
            least = min(1, least + answers["noted"])
            most = min(1, most + answers["noted"])
        if not least <= found <= most:
            said = ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))
            yield f"of {identity} the client was told: {said}; the history has it {found} times"


def _identity(event: e.Event) -> str:
    """What makes two requests the same: their event key, else all that they say.

    That a pivot took no effect no client says: the engine has looked, and adds it.
    """
    if isinstance(event, e.EventReceived) and event.dedup_key is not None:
        return f"key {event.source} {event.dedup_key}"
    return dump(replace(event, unapplied=False) if isinstance(event, e.RollbackRequested) else event)
