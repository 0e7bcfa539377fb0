"""Runs to which anything may happen in any order: sagas to choose from, and a world of workers, people and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hypothesis import strategies as st

from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.chart import Budget, Chart
from saga_engine.domain.decide import decide
from saga_engine.domain.definition.values import Promise, Retry, hours, minutes, seconds
from saga_engine.domain.draft import Decision
from saga_engine.domain.frozen import replace
from saga_engine.domain.snapshot import ACTIONS, Snapshot, Task
from saga_engine.errors import SagaError
from tests.domain.driver import START
from tests.domain.sagas import (
    Lines,
    Moody,
    S,
    back_nothing,
    back_one,
    back_two,
    bye,
    charted,
    defer,
    gate,
    hello,
    ignore,
    is_big,
    moody,
    moody_note,
    moody_nothing,
    nothing,
    one,
    probe_nothing,
    reject,
    three,
    two,
)

BUDGET: Final = Budget(transitions=12, inbox=3, deferred=hours(12))
LENGTHS: Final = (seconds(1), minutes(10), hours(2), hours(20))


# --- sagas


def migration(saga: Lines) -> None:
    saga.at(S.A, leaving=bye).run(one, retry=Retry(2), deadline=hours(5)).undo(back_one).on(reject, S.BACK).then(S.B)
    saga.at(S.B, entering=hello).run(two, retry=Retry(2), promise="effect").undo(back_two).when(moody, S.D).then(S.C)
    asking = saga.at(S.C, entering=hello, leaving=bye).approval(gate(quorum=2, escalate=("lead", minutes(5))))
    asking.on(defer, S.BACK).then(approved=S.D, rejected=S.BACK, expired=S.BACK)
    saga.at(S.D).run(nothing, retry=Retry(2), deadline=hours(5)).pivot().on(ignore, S.BACK).then(S.DONE)
    saga.group(S.A, S.B, S.C, S.D, deadline=hours(9)).on(ignore, S.BACK, when=moody_note).then(timed_out=S.BACK)
    saga.group(S.A, S.B, S.C).then(failed=S.BACK)
    saga.rolls_back(S.BACK, entering=hello).to(S.UNDONE)
    saga.final(S.UNDONE, entering=hello)


def waiting(saga: Lines) -> None:
    saga.at(S.A, visits=3).wait(defer, deadline=hours(1)).when(moody_note, S.B).then(S.C, timed_out=S.A)
    saga.at(S.B, entering=hello, leaving=bye).run(two).undo(back_two).on(defer, S.A).then(S.C, failed=S.BACK)
    saga.at(S.C).wait(reject, deadline=hours(2)).on(ignore, S.B).then(S.D, timed_out=S.BACK)
    saga.at(S.D).run(nothing, promise="manual").undo(back_nothing).on(defer, S.A, when=moody_note).then(S.DONE)


def circling(saga: Lines) -> None:
    saga.at(S.A, visits=3).run(one).reads_only().when(is_big, S.C).then(S.B)
    saga.at(S.B).run(two, retry=Retry(3)).undo(back_two, retry=Retry(2)).on(ignore, S.A).then(S.A, failed=S.BACK)
    careful = saga.at(S.C).run(nothing).verified(probe_nothing).undo(back_nothing)
    careful.when(moody_nothing, S.D).then(S.A, failed=S.BACK)
    saga.at(S.D).approval(gate(quorum=2, escalate=("lead", minutes(5)))).on(reject, S.A).then(
        approved=S.DONE, rejected=S.BACK, expired=S.A
    )
    saga.group(S.A, S.B, deadline=hours(3)).then()
    saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.final(S.UNDONE, outcome="failed")


def two_ways_back(saga: Lines) -> None:
    saga.at(S.A, leaving=bye).run(one, retry=Retry(2)).undo(back_one).then(S.B, failed=S.BACK)
    saga.at(S.B).run(nothing, retry=Retry(2)).pivot().then(S.C)
    saga.at(S.C, entering=hello).run(two, promise="manual").undo(back_two).on(defer, S.D).then(S.DONE, failed=S.D)
    saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.rolls_back(S.D).to(S.UNDONE)


FIXED: Final = tuple(charted(write) for write in (migration, waiting, circling, two_ways_back))
FORWARD: Final = (S.A, S.B, S.C, S.D, S.DONE)
STEPS: Final = {S.A: (one, back_one), S.B: (two, back_two), S.C: (three, back_two), S.D: (nothing, back_nothing)}
EVENTS: Final = (reject, ignore, defer)


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    """A small saga whose steps lead forward when they succeed; events and failures lead anywhere."""

    def write(saga: Lines) -> None:
        for state in FORWARD[:-1]:
            _write_state(draw, saga, state)
        for members in draw(st.sampled_from(((), ((S.A, S.B),), ((S.B, S.C, S.D), (S.B, S.C)), ((S.A,), (S.C,))))):
            deadline = draw(st.none() | st.just(hours(3)))
            failed, timed_out = draw(st.none() | st.just(S.BACK)), draw(st.none() | st.just(S.BACK))
            saga.group(*members, deadline=deadline).on(ignore, S.BACK).then(failed=failed, timed_out=timed_out)

    return charted(write)


def _write_state(draw: st.DrawFn, saga: Lines, state: S) -> None:
    onward = st.sampled_from(FORWARD[FORWARD.index(state) + 1 :])
    # Every way to a gate leads past the success of A, which is what gates show.
    anywhere = st.sampled_from([S.A, S.DONE, S.BACK] if state is S.A else [*FORWARD, S.BACK])
    notice = st.sampled_from([None, hello])
    at = saga.at(state, entering=draw(notice), leaving=draw(notice), visits=draw(st.sampled_from([2, 100])))
    kind = draw(st.sampled_from(["step", "step", "step", "wait", "gate"]))
    if kind == "wait" and state is not S.A:
        at.wait(draw(st.sampled_from(EVENTS)), deadline=hours(1)).then(draw(onward), timed_out=draw(anywhere))
        return
    if kind == "gate" and state is not S.A:
        asks = at.approval(gate(quorum=draw(st.integers(1, 2))))
        asks.then(approved=draw(onward), rejected=S.BACK, expired=draw(anywhere))
        return
    work, back = STEPS[state]
    promise: Promise = draw(st.sampled_from(["idempotent", "effect", "manual"]))
    deadline = draw(st.none() | st.just(hours(1)))
    running = at.run(work, retry=Retry(draw(st.integers(1, 2))), deadline=deadline, promise=promise)
    safety = draw(st.sampled_from(["undo", "undo", "reads_only", "pivot"]))
    if safety == "pivot":
        running.pivot().on(defer, draw(anywhere)).then(draw(onward))
        return
    chain = running.undo(back) if safety == "undo" else running.reads_only()  # type: ignore[arg-type]  # as above
    for event in draw(st.lists(st.sampled_from(EVENTS), max_size=2)):
        chain = chain.on(event, draw(anywhere), when=draw(st.sampled_from([None, moody_note])))
    chain.then(draw(onward), failed=draw(st.none() | anywhere), timed_out=draw(st.none() | anywhere))


# --- the world


@dataclass
class World:
    """One run, with all that the store and the workers know of it beside the snapshot."""

    chart: Chart
    run: Snapshot = field(init=False)
    now: datetime = START
    journal: list[tuple[e.Event, Snapshot, Decision]] = field(default_factory=list)
    refusals: list[tuple[e.Event, Snapshot]] = field(default_factory=list)
    crashes: dict[str, int] = field(default_factory=dict)
    late: list[e.Report] = field(default_factory=list)
    """Reports of attempts that nobody waits for any more, and of those that were recorded already."""
    mood: Moody = field(default_factory=Moody)

    def __post_init__(self) -> None:
        self.run = Snapshot("r", "t", 1, self.chart.digest, "{}", "ann")
        self.tell(e.RunStarted("ann"))

    def tell(self, event: e.Event) -> bool:
        """Decide and keep; False where the event was refused."""
        before = self.run
        visits = dict(before.visits)
        with self.mood:
            try:
                decision = decide(self.chart, before, event, self.now, BUDGET)
            except SagaError:
                assert before.visits == visits
                self.refusals.append((event, before))
                return False
            assert decision == decide(self.chart, before, event, self.now, BUDGET), (
                "the same arguments, another decision"
            )
        assert (before.visits, bool(decision.commands)) == (visits, decision.after is not before)
        if not decision.commands:
            return True
        self.journal.append((event, before, decision))
        self.run = read_back(decision.after)
        return True

    # --- workers

    def claims(self, number: int) -> None:
        """A worker takes what is due, and asks first where an attempt is missing."""
        due = [t for t in self.run.tasks if t.leased_by is None and t.due_at is not None and t.due_at <= self.now]
        if not due:
            return
        old = due[number % len(due)]
        task = self._change(old, leased_by=f"w{number % 3}", attempt=old.attempt + 1)
        who = (task.name, task.attempt, task.leased_by or "")
        if task.kind == "timer":
            self.tell(e.TimerFired(*who))
        elif task.lost_by or task.ending or self.run.paused:
            dead = task.lost_dead or task.lost_by is None
            self.tell(e.AttemptLost(*who, self.crashes.get(task.name, 0), known_dead=dead, runner=task.lost_by or ""))

    def reports(self, number: int) -> None:
        """An attempt comes back, one way or another."""
        leased = [task for task in self.run.tasks if task.leased_by and task.kind in ACTIONS]
        if not leased:
            return
        task = leased[number % len(leased)]
        who = (task.name, task.attempt, task.leased_by or "")
        value = self.value(task, number // 16)
        outcomes: tuple[e.Report, ...] = (
            *[e.ActionSucceeded(*who, value)] * 9,
            e.ActionFailed(*who, "E: bad"),
            e.ActionFailed(*who, "E: worse", final=True),
            e.ActionFailed(*who, "E: ahead", park="W21"),
            e.ActionFailed(*who, "E: locked", busy=True),
            e.AttemptTimedOut(*who, "too long"),
        )
        report = outcomes[number % len(outcomes)]
        self.late = [*self.late[-5:], report, e.ActionSucceeded(*who, value)]
        self.tell(report)
        self.crashes.pop(task.name, None)

    def dies(self, number: int) -> None:
        """The worker of a task is gone, or only silent; the store frees the task."""
        leased = [task for task in self.run.tasks if task.leased_by]
        if leased:
            task = leased[number % len(leased)]
            self.late = [*self.late[-5:], e.ActionSucceeded(task.name, task.attempt, task.leased_by or "", "null")]
            self.crashes[task.name] = self.crashes.get(task.name, 0) + 1
            due = task.due_at or self.now
            self._change(task, leased_by=None, lost_by="db-2 pid 7", lost_dead=number // 8 % 2 == 0, due_at=due)

    def hangs(self, number: int) -> None:
        """A worker gives up on an attempt that was asked to end and does not."""
        ending = [task for task in self.run.tasks if task.leased_by and task.ending]
        if ending:
            task = ending[number % len(ending)]
            self.tell(e.AttemptLost(task.name, task.attempt, task.leased_by or "", 0, known_dead=False, runner="w0"))

    def comes_late(self, number: int) -> None:
        """A report that is not waited for: it must change nothing."""
        if self.late:
            report = self.late[number % len(self.late)]
            task = self.run.task(report.task)
            if task is None or (task.attempt, task.leased_by) != (report.attempt, report.incarnation):
                before = self.run
                self.tell(report)
                assert self.run is before

    def value(self, task: Task, number: int) -> str:
        """A result that the task's step may return."""
        if task.kind != "step" or self.chart.run_of(task.state).result is None:
            return "null"
        return ('{"n":1}', '{"n":9}')[number % 2]

    def _change(self, task: Task, **fields: object) -> Task:
        changed = replace(task, **fields)  # type: ignore[arg-type]  # the callers name fields of Task
        self.run = replace(self.run, tasks=tuple(changed if t.name == task.name else t for t in self.run.tasks))
        return changed

    # --- people, programs, time

    def sends(self, number: int) -> None:
        name = EVENTS[number % 3].name
        payload = ('{"text":"now"}', '{"text":""}')[number // 4 % 2]
        self.tell(e.EventReceived(name, payload, "bob", dedup_key=None if number % 2 else str(number)))

    def votes(self, number: int) -> None:
        if self.run.gate is not None:
            actor, role = ("ann", "bob", "cid")[number % 3], ("dba", "dba", "lead", "dev")[number // 4 % 4]
            digest = self.run.gate.digest if number % 16 else "another"
            self.tell(e.VerdictGiven(number // 3 % 4 != 0, digest, actor, (role,)))

    def asks(self, number: int) -> None:
        stops = [entry.state for entry in self.run.undo] or ["A"]
        requests: tuple[e.Request, ...] = (
            e.CancelRequested("bob"),
            e.RollbackRequested("bob"),
            e.RollbackRequested("bob", to=stops[number // 16 % len(stops)]),
            e.RollbackRequested("bob", unapplied=True),
            e.RetryRequested("bob"),
            e.RetryRequested("bob"),
            e.SkipRequested("bob", "done by hand"),
            e.Resolved("bob", "looked", done=False),
            e.Resolved("bob", "looked", done=True),
            e.Resolved("bob", "looked", done=True, value='{"n":9}'),
            *(e.Reconciled("bob", task.name, task.attempt + number % 3, "seen") for task in self.run.tasks[:1]),
        )
        self.tell(requests[number % len(requests)])

    def pauses(self, number: int) -> None:
        self.tell(e.PauseRequested("bob") if number % 3 == 0 else e.ResumeRequested("bob"))

    def passes(self, number: int) -> None:
        self.now += LENGTHS[number % len(LENGTHS)]

    def turns(self, number: int) -> None:
        """From now on guards answer, or raise, as this says."""
        self.mood = Moody(answer=bool(number % 2), raising=number // 2 % 4 == 0)

    def commands(self) -> list[c.Command]:
        return [command for _, _, decision in self.journal for command in decision.commands]


def read_back(run: Snapshot) -> Snapshot:
    """The run in the order in which the store reads its rows; no decision may depend on another one."""
    tasks = sorted(run.tasks, key=lambda task: (task.position, task.name))
    return replace(run, tasks=tuple(tasks), results=tuple(sorted(run.results, key=lambda result: result.revision)))


Move = tuple[Callable[[World, int], None], int]
MOVES: Final = (
    *[World.claims] * 8,
    *[World.reports] * 8,
    *[World.votes] * 3,
    *[World.passes] * 2,
    *[World.sends] * 2,
    World.asks,
    World.dies,
    World.hangs,
    World.comes_late,
    World.pauses,
    World.turns,
)


def moves(most: int) -> st.SearchStrategy[list[Move]]:
    """What happens, in order; what is not possible when its turn comes does not happen."""
    return st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 255)), max_size=most)
