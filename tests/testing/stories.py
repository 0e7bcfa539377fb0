"""Stories of runs, told line by line without a store: as they should be, and with one thing in them that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_
from datetime import datetime, timedelta
from typing import Any, Final

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.definition.values import Retry, seconds
from saga_engine.domain.draft import Decision
from saga_engine.domain.evolve import evolve, settled
from saga_engine.domain.frozen import replace
from saga_engine.domain.line import commands_text, event_text
from saga_engine.domain.snapshot import Snapshot
from saga_engine.store.entry import beginning, line_hash
from saga_engine.store.evidence import Evidence, KeptEvent, KeptGate
from saga_engine.store.journal import Line
from saga_engine.testing.check import Story, World
from tests.domain.driver import CANCEL, Drive, event
from tests.domain.sagas import Lines, S, back_nothing, back_one, bye, charted, defer, gate, hello, nothing, one, two

RUN: Final = "r"
Said = tuple[datetime, e.Event, tuple[c.Command, ...]]


def written(saga: Lines) -> None:
    saga.at(S.A, leaving=bye).run(one, retry=Retry(2, first=seconds(5)), promise="effect").undo(back_one).then(
        S.B, failed=S.BACK
    )
    saga.at(S.B, entering=hello).approval(gate(quorum=2)).then(approved=S.C, rejected=S.BACK, expired=S.BACK)
    saga.at(S.C).run(nothing, retry=Retry(2)).undo(back_nothing).on(defer, S.BACK).then(S.D, failed=S.BACK)
    saga.at(S.D).run(two).pivot().then(S.DONE)


CHART: Final = charted(written)


class Teller(Drive):
    """Plays a run and writes down every line, a moment after the one before."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        super().__init__(CHART)

    def tell(self, event: e.Event) -> Decision:
        self.now += timedelta(milliseconds=1)
        decision = super().tell(event)
        if decision.commands:
            self.said.append((self.now, event, decision.commands))
        return decision


@dataclass(frozen=True)
class Tale:
    """Lines, and what was stored of them; each way of being wrong is one change of it."""

    said: tuple[Said, ...]
    changes: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> Tale:
        """The same, but for these fields of the evidence."""
        return with_(self, changes={**self.changes, **changes})

    def with_run(self, **changes: Any) -> Tale:
        """The same, but for these fields of the run as it is stored."""
        return self.but(run=replace(self.run, **changes))

    def with_line(self, number: int, **changes: Any) -> Tale:
        """The same, but for the time (*at*), the *event* or the *commands* of one line; chained anew."""
        at, told, commands = self.said[number - 1]
        line = (changes.get("at", at), changes.get("event", told), changes.get("commands", commands))
        return with_(self, said=(*self.said[: number - 1], line, *self.said[number:]))

    def with_commands(self, number: int, change: Callable[[c.Command], c.Command | None]) -> Tale:
        """The same, with every command of a line changed, or left out."""
        commands = tuple(new for old in self.said[number - 1][2] if (new := change(old)) is not None)
        return self.with_line(number, commands=commands)

    def with_more(self, told: e.Event, *commands: c.Command) -> Tale:
        """The same, with one line more."""
        return with_(self, said=(*self.said, (self.said[-1][0] + timedelta(days=2), told, commands)))

    def line_of(self, kind: type[e.Event], nth: int = 1) -> int:
        """The number of the n-th line with such an event."""
        return [number for number, (_, told, _) in enumerate(self.said, start=1) if isinstance(told, kind)][nth - 1]

    @property
    def run(self) -> Snapshot:
        """The run that the lines lead to."""
        run = Snapshot("r", CHART.name, CHART.version, CHART.digest, "{}", starter="ann")
        for _, _, commands in self.said:
            for command in commands:
                run = evolve(run, command)
            run = settled(run)
        return run

    @property
    def lines(self) -> tuple[Line, ...]:
        """As they are stored."""
        lines: list[Line] = []
        for revision, (at, told, commands) in enumerate(self.said, start=1):
            previous = lines[-1].hash if lines else beginning(RUN)
            texts = event_text(RUN, told), commands_text(RUN, revision, at, told, commands)
            lines.append(Line(RUN, revision, at, *texts, line_hash(previous, revision, at, *texts)))
        return tuple(lines)

    def evidence(self) -> Evidence:
        lines = self.lines
        stored: dict[str, Any] = {
            "run": self.run,
            "hash": lines[-1].hash,
            "lines": lines,
            "inbox": self._inbox(),
            "gates": self._gates(),
            "touched": {},
            "crashes": {},
            "holders": {},
        }
        return Evidence(**{**stored, **self.changes})

    def world(self, **more: Any) -> World:
        return World({"r": Story(self.evidence(), CHART)}, **more)

    def _commands(self) -> list[c.Command]:
        return [command for _, _, commands in self.said for command in commands]

    def _inbox(self) -> tuple[KeptEvent, ...]:
        fates = {command.number: command.fate for command in self._commands() if isinstance(command, c.TakeEvent)}
        kept = [command for command in self._commands() if isinstance(command, c.KeepEvent)]
        return tuple(KeptEvent(x.number, x.name, x.source, x.dedup_key, fates.get(x.number, "waiting")) for x in kept)

    def _gates(self) -> tuple[KeptGate, ...]:
        outcomes = {x.task: x.outcome for x in self._commands() if isinstance(x, c.CloseApproval)}
        votes = [(x.task, x.vote) for x in self._commands() if isinstance(x, c.CountVote)]
        opened = [command.gate for command in self._commands() if isinstance(command, c.OpenApproval)]
        return tuple(
            KeptGate(
                x.task,
                x.need,
                x.digest,
                outcomes.get(x.task),
                tuple((vote.actor, vote.approved) for task, vote in votes if task == x.task),
            )
            for x in opened
        )


def _at_the_gate() -> Teller:
    """A failed once, then it was done; its leaving and the entering of B are, too: the gate is open."""
    run = Teller()
    run.fails()
    run.passes(timedelta(minutes=1))
    run.succeeds('{"n":1}')
    run.succeeds()
    run.succeeds()
    return run


def asked() -> Tale:
    """A person is asked, and an event waits."""
    run = _at_the_gate()
    run.tell(e.EventReceived("defer", '{"text":""}', "bob", dedup_key="k"))
    return Tale(tuple(run.said))


def done() -> Tale:
    """Approved by two, and done to the end, past the pivot."""
    run = _at_the_gate()
    run.approve("bob")
    run.approve("eve")
    run.succeeds()
    run.succeeds('{"n":2}')
    return Tale(tuple(run.said))


def undone() -> Tale:
    """Cancelled in C: C and A were undone."""
    run = _at_the_gate()
    run.approve("bob")
    run.approve("eve")
    run.claim()
    run.tell(CANCEL)
    run.succeeds()
    run.succeeds()
    run.succeeds()
    return Tale(tuple(run.said))


def gone_back() -> Tale:
    """Rolled back from C to A: both were undone, and A is to be done again."""
    run = _at_the_gate()
    run.approve("bob")
    run.approve("eve")
    run.claim()
    run.tell(e.RollbackRequested("ann", to="A"))
    run.succeeds()
    run.succeeds()
    run.succeeds()
    return Tale(tuple(run.said))


def paused() -> Tale:
    """Paused at the gate; an event came meanwhile."""
    run = _at_the_gate()
    run.tell(e.PauseRequested("bob"))
    run.tell(event("defer"))
    return Tale(tuple(run.said))
