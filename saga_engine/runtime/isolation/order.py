"""What a child is told to do, as JSON: one attempt, and the terms of the engine that it runs under."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydantic import TypeAdapter

from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import Hands
from saga_engine.runtime.isolation.wire import Frame
from saga_engine.settings import Exports


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt. No secret is in it: a connection's URL is asked for when a step opens it."""

    run: Snapshot
    task: Task
    incarnation: str
    store_uuid: str
    result_bytes_max: int
    exports: Exports
    lease_seconds: float


def order_of(attempt: Attempt, hands: Hands, lease_seconds: float) -> Frame:
    """The order for *attempt*."""
    order = Order(
        attempt.run,
        attempt.task,
        attempt.incarnation,
        hands.store_uuid,
        hands.result_bytes_max,
        hands.exports,
        lease_seconds,
    )
    frame: Frame = adapter().dump_python(order, mode="json")
    return frame


def read_order(frame: Frame) -> Order:
    """The order as it was given."""
    return adapter().validate_python(frame)


@cache
def adapter() -> TypeAdapter[Order]:
    """What reads and writes orders; slow to make."""
    return TypeAdapter(Order)
