"""What is stored is what was decided: random walks through everything a run can do, read back after every step."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Final, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saga_engine.domain import events as e
from saga_engine.domain.commands import Command
from saga_engine.domain.snapshot import ACTIONS, Task
from saga_engine.errors import SagaError
from saga_engine.store import histories, journal
from saga_engine.store.chain import Chain
from saga_engine.store.connect import Store
from tests.store.world import World

STEPS_MAX: Final = 40
WALKS_MAX: Final = 400
BEGINS: Final = ("COPY", "CHECK", "WAIT", "GATE", "CALL", "SWAP")
"""Walks begin at each of them, or few would ever get there."""


class Walk:
    """One run that stumbles on; *dice* decides on everything."""

    def __init__(self, store: Store, dice: Random) -> None:
        self.dice = dice
        self.world = World(store)
        self.world.reach(dice.choice(BEGINS))

    def step(self) -> None:
        """Let one thing happen: mostly the likely next one, or the walk would seldom get far."""
        ways = (self.onward, self.worker, self.report, self.person, self.time)
        with suppress(SagaError):  # refused: that nothing has moved is for the caller to see
            self.dice.choices(ways, (3, 2, 5, 4, 1))[0]()

    def tell(self, event: e.Event) -> None:
        self.world.tell(event, lease_on=self.dice.random() < 0.5)

    def onward(self) -> None:
        world, head = self.world, self.world.run.head()
        if head is None or head.kind not in ACTIONS or not (head.leased_by or head.due_at) or head.ending:
            return
        if not head.leased_by:
            world.now = max(world.now, head.due_at or world.now)
            assert world.claim("action") or world.claim("suspect")
        self.tell(world.success())

    def worker(self) -> None:
        if self.dice.random() < 0.7:
            self.world.claim(self.dice.choice(("action", "timer", "suspect")))
        else:
            self.world.end(self.dice.choice(("released", "dead", "expired")))

    def report(self) -> None:
        held = [task for task in self.world.run.tasks if task.leased_by]
        if held:
            self.tell(self.some_report(self.dice.choice(held)))

    def some_report(self, task: Task) -> e.Report:
        who = (task.name, task.attempt, task.leased_by or "")
        if task.kind == "timer":
            return e.TimerFired(*who)
        dice = self.dice
        reports: list[e.Report] = [
            e.ActionSucceeded(*who, self.world.value_of(task, dice.choice((1, 7)))),
            e.ActionFailed(*who, "ValueError: bad"),
            e.ActionFailed(*who, "ValueError: bad", final=True),
            e.ActionFailed(*who, "LedgerMissing: none", park="W21"),
            e.ActionFailed(*who, "TargetBusy: locked", busy=True),
            e.AttemptTimedOut(*who, "over its timeout"),
            *[e.AttemptLost(*who, crashes, dice.random() < 0.5, "db-2 pid 7") for crashes in (1, 3)],
        ]
        return dice.choice(reports)

    def person(self) -> None:
        dice, run = self.dice, self.world.run
        digest = run.gate.digest if run.gate else ""
        key = dice.choice((None, f"key {run.revision}"))
        verdicts = [e.VerdictGiven(dice.random() < 0.8, digest, who, ("dba", "lead"), "why") for who in ("ann", "bob")]
        requests: list[e.Request] = [
            *[e.EventReceived("go", f'{{"text":"{text}"}}', "ann", dedup_key=key) for text in ("", "odd", "raise")],
            *[e.EventReceived(name, '{"text":""}', "ann", dedup_key=key) for name in ("abort", "hurry")],
            *(verdicts * 3 if run.gate else ()),
            e.CancelRequested("ann"),
            e.RollbackRequested("ann", to=dice.choice([None, *self.world.chart.rows])),
            e.RetryRequested("ann"),
            e.SkipRequested("ann", "not needed"),
            *[e.Resolved("ann", "looked", done, "null") for done in (True, False)],
            *[e.Reconciled("ann", task.name, task.attempt + 1, "seen") for task in run.tasks[:1]],
            e.ResumeRequested("ann") if run.paused else e.PauseRequested("ann", "lunch"),
        ]
        self.tell(dice.choice(requests))

    def time(self) -> None:
        self.world.now += self.dice.choice((timedelta(seconds=2), timedelta(hours=1), timedelta(hours=25)))
        self.world.claim("timer")


@pytest.mark.timeout(300)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_run_reads_back_as_it_was_decided_after_every_step(made: Store, seed: int) -> None:
    walk = Walk(made, Random(seed))
    world = walk.world
    for _ in range(STEPS_MAX):
        walk.step()
        assert world.stored() == world.run
        if not world.run.tasks:
            break
    with made.read() as db:
        assert journal.verify(db, world.run.run_id) is None
        assert [line.revision for line in journal.lines(db, world.run.run_id)] == list(range(1, world.run.revision + 1))
        head = histories.heads(db, [world.run.run_id])[world.run.run_id]
        chain = Chain(head)
        for line in histories.lines(db, head, histories.FIRST, 1_000):
            chain.take(line)
    assert (chain.end(), chain.length) == ([], world.run.revision)


@pytest.mark.parametrize("made_url", ["sqlite"], indirect=True)
def test_the_walks_do_meet_everything_that_can_be_stored(made: Store) -> None:
    kinds = {kind.__name__ for kind in (*get_args(e.Event), *get_args(Command))}
    seen: Counter[str] = Counter()
    for seed in range(WALKS_MAX):
        if kinds <= seen.keys():
            break
        walk = Walk(made, Random(seed))
        for _ in range(STEPS_MAX):
            walk.step()
        with made.read() as db:
            for line in journal.lines(db, walk.world.run.run_id):
                event, commands = line.told()
                seen.update(type(told).__name__ for told in (event, *commands))
    assert kinds - seen.keys() == set()
