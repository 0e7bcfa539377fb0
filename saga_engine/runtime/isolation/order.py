"""What a child is told to do, as JSON: one attempt, and the terms of the engine that it runs under."""

from __future__ import annotations

from typing import Any

from msgspec import convert, to_builtins

from saga_engine.domain.frozen import Value
from saga_engine.domain.snapshot import Snapshot, Task
from saga_engine.runtime.attempt import Attempt
from saga_engine.runtime.hands import Hands
from saga_engine.runtime.isolation.wire import Frame


class Order(Value):
    """One attempt. No secret is in it: a connection's URL is asked for when a step opens it."""

    run: Snapshot
    task: Task
    incarnation: str
    store_uuid: str
    result_bytes_max: int
    exports: dict[str, Any]
    """The settings of that name, as JSON."""
    lease_seconds: float
    stays: bool
    """The process may take another order afterwards."""


def order_of(attempt: Attempt, hands: Hands, lease_seconds: float, *, stays: bool) -> Frame:
    """The order for *attempt*."""
    order = Order(
        attempt.run,
        attempt.task,
        attempt.incarnation,
        hands.store_uuid,
        hands.result_bytes_max,
        hands.exports.model_dump(mode="json"),
        lease_seconds,
        stays,
    )
    frame: Frame = to_builtins(order)
    return frame


def read_order(frame: Frame) -> Order:
    """The order as it was given."""
    return convert(frame, Order)
