"""What people and programs do to a run, through the door that they all use, and what they are told."""

from __future__ import annotations

from collections.abc import Callable

from saga_engine import errors
from saga_engine.domain import events as e
from saga_engine.domain.definition.functions import named
from saga_engine.domain.definition.table import Run
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime import ask
from saga_engine.testing.check import Told
from saga_engine.testing.check.world import Answer
from tests.simulation import sagas
from tests.simulation.databases import booked
from tests.simulation.process import Crash, Process
from tests.simulation.world import World

ROLES = {"ann": ("dba",), "bob": ("dba",), "eve": ("dba",), "lea": ("lead",), "mal": ()}


class People:
    """The clients of one run. *asks* is how often they still will."""

    def __init__(self, world: World, run: str) -> None:
        self.world, self.run = world, run
        self.asks = world.dice.randint(1, 6)
        self.client = Process("client", world)
        self.digests = ["0"]
        self.keys = [f"key {n}" for n in range(2)]

    def visit(self) -> bool:
        """Whether one of them has come just now: most come while a gate is open."""
        world = self.world
        if not self.asks or self.client.busy or world.dice.random() > (0.5 if world.gate_is_open() else 0.12):
            return False
        self.client.dead = False
        world.does(self.client, "asks", self.act)
        return True

    def object(self) -> None:
        """One of them wants the run stopped."""
        if not self.client.busy:
            self.client.dead = False
            way = self.world.dice.choice((self._cancel, self._rollback))
            self.world.does(self.client, "asks", lambda: way(self.world.look(self.run)))

    def act(self) -> None:
        """One of them asks for something: mostly what makes sense now."""
        self.asks -= 1
        run = self.world.look(self.run)
        if run.gate is not None and run.gate.digest not in self.digests:
            self.digests.append(run.gate.digest)
        parked = next((task for task in run.tasks if task.parked), None)
        ways: list[tuple[int, Callable[[Snapshot], None]]] = [
            (3, self._event),
            (9 if run.gate else 0, self._vote),
            (1, self._cancel),
            (1, self._rollback),
            (1 if not run.paused else 6, self._pause),
            (1 if parked is None else 4, self._retry),
            (0 if parked is None else 1, self._skip),
            (0 if parked is None else 3, self._resolve),
        ]
        [way] = self.world.dice.choices([way for _, way in ways], [weight for weight, _ in ways])
        way(run)

    def settle(self) -> bool:
        """Calm: do what the run waits for; False where it waits for nobody."""
        run = self.world.look(self.run)
        parked = next((task for task in run.tasks if task.parked), None)
        head = run.head()
        if run.paused:
            self._pause(run)
        elif parked is not None and parked.parked is not None and _in_doubt(parked):
            self._resolve(run)
        elif parked is not None and parked.parked is not None and parked.parked.code == "W21":
            self._rollback(run)  # its head is closed: as `saga reconcile` says
        elif parked is not None:
            self._retry(run)
        elif run.gate is not None:
            voters = [who for who in ("bob", "eve") if who not in [vote.actor for vote in run.gate.votes]]
            self._say(e.VerdictGiven(True, run.gate.digest, voters[0], ROLES[voters[0]]))
        elif head is not None and head.kind == "wait":
            self._send("go", "calm", None)
        else:
            return False
        return True

    # --- each asks for one thing

    def _event(self, _run: Snapshot) -> None:
        dice = self.world.dice
        key = dice.choice((None, *self.keys, *self.keys))
        event = dice.choice(sagas.EVENTS)
        # A key belongs to one event: whoever sends it again sends the same.
        text = key or dice.choice(("odd", "even"))
        if key:
            event = sagas.EVENTS[2 if key.endswith("0") else 1]
        self._send(event.name, f"odd {text}" if dice.random() < 0.5 and not key else text, key)

    def _send(self, name: str, text: str, key: str | None) -> None:
        sent = e.EventReceived(name, f'{{"text":"{text}"}}', "bob", "api", key)

        def send() -> str:
            return ask.send(self.world.door, self.run, name, {"text": text}, ask.Sender("bob", "api", key)).note

        self._tell(sent, lambda: "arrived already" not in send())

    def _vote(self, run: Snapshot) -> None:
        dice = self.world.dice
        shown = run.gate.digest if run.gate and dice.random() < 0.8 else dice.choice(self.digests)
        who = dice.choice(("bob", "bob", "eve", "eve", "lea", "ann", "mal"))
        self._say(e.VerdictGiven(dice.random() < 0.8, shown, who, ROLES[who]))

    def _cancel(self, _run: Snapshot) -> None:
        self._say(e.CancelRequested("bob"))

    def _rollback(self, _run: Snapshot) -> None:
        asked = e.RollbackRequested("bob", self.world.dice.choice((None, None, "A", "B")))
        world = self.world
        self._tell(asked, lambda: not ask.rollback(world.door, world.targets, self.run, asked).note)

    def _pause(self, run: Snapshot) -> None:
        self._say(e.ResumeRequested("bob") if run.paused else e.PauseRequested("bob"))

    def _retry(self, run: Snapshot) -> None:
        if not self._may_be_running(run):
            self._say(e.RetryRequested("bob"))

    def _skip(self, run: Snapshot) -> None:
        if not self._may_be_running(run):
            asked, world = e.SkipRequested("bob", "not needed"), self.world
            self._tell(asked, lambda: ask.skip(world.door, world.targets, self.run, asked, dry_run=False).changed)

    def _resolve(self, run: Snapshot) -> None:
        """Whoever says what happened has looked."""
        task = next((task for task in run.tasks if task.parked and task.kind in ("step", "undo")), None)
        if task is None or self._may_be_running(run):
            return
        activity = self.world.door.chart(run).activity(task.state)
        assert isinstance(activity, Run)
        key = task.name if task.kind == "step" else next(x.task for x in run.undo if x.position == task.about)
        there = self._in_effect(key, named(activity.work))
        done = all(there) if task.kind == "step" else not any(there)
        result = {"n": 1} if done and task.kind == "step" and activity.result is not None else None
        said, world = e.Resolved("bob", "looked", done, "null" if result is None else '{"n":1}'), self.world
        self._tell(said, lambda: ask.resolve(world.door, world.targets, self.run, said, result).changed)

    def _in_effect(self, key: str, work: str) -> list[bool]:
        """Of each part of the work whether it is there now."""
        there = set(booked(self.world.target))
        parts = [(key, part) in there for part in sagas.PARTS.get(work, ())]
        return parts or [self.world.callee.done.get(key, False)]

    def _may_be_running(self, run: Snapshot) -> bool:
        """Before a person says that a lost attempt has ended, it has."""
        names = [task.name for task in run.tasks]
        return any(process.runs(name) for process in self.world.processes for name in names)

    # --- and is told

    def _say(self, request: e.Request) -> None:
        self._tell(request, lambda: bool(self.world.door.deliver(self.run, request).commands))

    def _tell(self, request: e.Request, call: Callable[[], bool]) -> None:
        answer: Answer = "unknown"
        try:
            answer = "recorded" if call() else "noted"
        except errors.StoreError:
            pass
        except errors.SagaError:
            answer = "refused"
        except Crash:
            self.world.told.append(Told(self.run, request, "unknown"))
            raise
        self.world.told.append(Told(self.run, request, answer))


def _in_doubt(task: Task) -> bool:
    """A person can say what it did; one whose state was left waits only for somebody to say that it has ended."""
    parked = task.parked
    return task.kind in ("step", "undo") and parked is not None and parked.code == "W23" and parked.outcome != "leave"
