"""The saga of these tests: a parcel is packed, weighed, waits for a courier, is approved and shipped.

Its input says what goes wrong: `fail` names the step that fails until a file called `mended` is there.
"""

from enum import Enum, auto
from pathlib import Path
from time import sleep

from saga_engine import Approval, Event, Facts, Frozen, Outcome, Saga, Step, hours, minutes


class S(Enum):
    PACKING = auto()
    WEIGHING = auto()
    COURIER = auto()
    ASKING = auto()
    SHIPPING = auto()
    ROLLING_BACK = auto()
    DELIVERED = auto()
    RETURNED = auto()


class Input(Frozen):
    to: str
    grams: int = 500
    labels: tuple[str, ...] = ()
    local: bool = True
    fail: str = ""
    slow: float = 0.0


class Courier(Frozen):
    name: str
    bikes: int = 1


class Weight(Frozen):
    grams: int
    to: str


courier = Event("courier", Courier, unhandled="defer")
abort = Event("abort", Frozen, unhandled="reject")


def trouble(step: Step[Input], name: str) -> None:
    if step.input.fail == name and not Path("mended").exists():
        raise RuntimeError(f"no tape for \x1b[31m{step.input.to}\x1b[0m")


def pack(step: Step[Input]) -> None:
    trouble(step, "pack")
    for done in range(4):
        step.progress(done, 4, "sheets")
        for _ in range(int(step.input.slow * 5)):
            if step.cancelled:
                raise RuntimeError("asked to stop")
            sleep(0.05)


def unpack(step: Step[Input], was: Outcome[None]) -> None:
    trouble(step, "unpack")


def weigh(step: Step[Input]) -> Weight:
    trouble(step, "weigh")
    return Weight(grams=step.input.grams, to=step.input.to)


def ship(step: Step[Input]) -> None:
    trouble(step, "ship")


def is_local(weight: Weight, facts: Facts[Input]) -> bool:
    return facts.input.local


may_go = Approval("sender", shows=weigh, expires=hours(2))

saga = Saga("parcel", version=1, states=S, input=Input, start=S.PACKING)

(
    saga.at(S.PACKING)
    .run(pack, timeout=minutes(1))
    .undo(unpack)
    .on(abort, S.ROLLING_BACK)
    .then(S.WEIGHING, failed=S.ROLLING_BACK)
)
saga.at(S.WEIGHING).run(weigh, timeout=minutes(1)).reads_only().when(is_local, S.ASKING).then(S.COURIER)
saga.at(S.COURIER).wait(courier, deadline=hours(8)).then(S.ASKING, timed_out=S.ROLLING_BACK)
saga.at(S.ASKING).approval(may_go).then(approved=S.SHIPPING, rejected=S.ROLLING_BACK, expired=S.ROLLING_BACK)
saga.at(S.SHIPPING).run(ship, timeout=minutes(1)).pivot().then(S.DELIVERED)
saga.rolls_back(S.ROLLING_BACK).to(S.RETURNED)
saga.final(S.DELIVERED, S.RETURNED)
