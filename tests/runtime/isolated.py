"""The same steps in two sagas, on a thread and in a process of their own. What they do, the input says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.definition.values import (
    Connection,
    Done,
    Frozen,
    InDoubt,
    Isolation,
    NotDone,
    Outcome,
    Retry,
    minutes,
    seconds,
)
from tests.runtime.plays import S

DW: Final = Connection("dw")
BARE: Final = Connection("bare")
AWAY: Final = Connection("away")
OWN: Final = Connection("own")
FAILS: Final = "SAGA_TEST_FAILS"
MAY_FAIL: Final = "takes effect and may fail"


class How(Frozen):
    how: str
    n: int = 0


class Value(Frozen):
    n: int = 0
    text: str = ""


def put(db: sa.Connection) -> Value:
    db.execute(sa.text("INSERT INTO loaded VALUES ('r', 'x')"))
    return Value(n=1, text="put")


def take(db: sa.Connection) -> None:
    db.execute(sa.text("DELETE FROM loaded"))


def put_another(db: sa.Connection) -> Value:
    db.execute(sa.text("INSERT INTO loaded VALUES ('r', 'y')"))
    return Value(n=2, text="put")


def take_another(db: sa.Connection) -> None:
    db.execute(sa.text("DELETE FROM loaded WHERE part = 'y'"))


def takes_effect_and_may_fail(step: Step[How]) -> Value:
    """Unlike all else here, what becomes of it is not in its input."""
    value = step.effect(DW, put_another)
    if FAILS in os.environ:
        raise PermissionError("denied")
    return value


def keeps_a_checkpoint(step: Step[How]) -> Value:
    kept = step.last_checkpoint(Value)
    if kept is not None:
        return kept
    step.progress(1, 2, "chunks")
    step.checkpoint(Value(n=7, text="ä\n\"'\\"))
    raise ValueError("again")


def tells_a_secret(step: Step[How]) -> Value:
    try:
        with step.connect(AWAY):
            pass
    except sa.exc.OperationalError:
        raise RuntimeError("the password is geheim") from None
    raise AssertionError


def raises(error: BaseException) -> Callable[[Step[How]], Value]:
    def act(_: Step[How]) -> Value:
        raise error

    return act


ACTS: Final[dict[str, Callable[[Step[How]], Any]]] = {
    "returns": lambda step: Value(n=step.input.n, text=step.key.partition(".")[2]),
    "raises": raises(ValueError("first line\nDETAIL: a row's values")),
    "raises what is final": raises(PermissionError("denied")),
    "exits": raises(SystemExit(3)),
    "interrupts": raises(KeyboardInterrupt()),
    "is cancelled": raises(asyncio.CancelledError()),
    "says half a letter": raises(ValueError("a\0b \ud800")),
    "returns a dict": lambda _: {"n": 1},
    "returns no number": lambda _: Value.model_construct(n=float("nan")),
    "returns too much": lambda _: Value(text="x" * 3_000),
    "returns a nul": lambda _: Value(text="a\0b\n\u2028ü"),
    "keeps a checkpoint": keeps_a_checkpoint,
    "keeps too much": lambda step: step.checkpoint(Value(text="x" * 3_000)),
    "tells a secret": tells_a_secret,
    "takes effect": lambda step: step.effect(DW, put),
    "has no ledger": lambda step: step.effect(BARE, put),
    "names nobody": lambda step: step.effect(Connection("nobody"), put),
    "writes to the store": lambda step: step.effect(OWN, put),
    "has a folder": lambda step: Value(text=str(step.folder().name == step.run_id)),
    "reads": lambda step: Value(n=step.of(later).n + 1),
}


async def later(step: Step[How]) -> Value:
    """An async step."""
    await asyncio.sleep(0.01)
    return Value(n=step.input.n, text=f"process {os.getpid()}")


def act(step: Step[How]) -> Value:
    step.log.info("step.acts", how=step.input.how, number=step.input.n)
    result: Value = takes_effect_and_may_fail(step) if step.input.how == MAY_FAIL else ACTS[step.input.how](step)
    return result


def undo_later(step: Step[How], was: Outcome[Value]) -> None:
    if step.input.how == "raises what is final" and step.attempt == 1:
        raise OSError(f"was {was!r}")


def undo_act(step: Step[How], was: Outcome[Value]) -> None:
    if step.input.how == "takes effect":
        step.effect(DW, take)
    if step.input.how == MAY_FAIL:
        step.effect(DW, take_another)


def is_undone(step: Step[How]) -> bool:
    return step.attempt > 1 or step.input.how != "raises"


def doubtful(step: Step[How]) -> Value:
    raise ValueError("who knows")


def probe(step: Step[How]) -> Done[Value] | NotDone | InDoubt:
    return Done(Value(n=9)) if step.input.how == "done" else InDoubt()


QUICK: Final = Retry(2, first=seconds(0.01), never_on=(PermissionError,))


def made(name: str, isolation: Isolation) -> Saga[S, How]:
    saga = Saga(name, version=1, states=S, input=How, start=S.ONE)
    saga.at(S.ONE).run(later, timeout=minutes(1), isolation=isolation).undo(undo_later, retry=QUICK).then(S.TWO)
    saga.at(S.TWO).run(act, retry=QUICK, timeout=minutes(1), isolation=isolation).undo(
        undo_act, verify=is_undone, retry=QUICK
    ).then(S.DONE, failed=S.BACK)
    saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.final(*(state for state in S if state not in saga.rows))
    return saga


def probed(name: str, isolation: Isolation) -> Saga[S, How]:
    saga = Saga(name, version=1, states=S, input=How, start=S.ONE)
    saga.at(S.ONE).run(doubtful, retry=QUICK, timeout=minutes(1), isolation=isolation).verified(probe).undo(
        undo_act
    ).then(S.DONE)
    saga.rolls_back(S.BACK).to(S.UNDONE)
    saga.final(*(state for state in S if state not in saga.rows))
    return saga


on_a_thread = made("on_a_thread", "thread")
in_a_process = made("in_a_process", "process")
probed_on_a_thread = probed("probed_on_a_thread", "thread")
probed_in_a_process = probed("probed_in_a_process", "process")
