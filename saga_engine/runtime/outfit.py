"""What a worker works with for one life: made anew when others have ended the life before."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog

from saga_engine.runtime.chaining import Chaining
from saga_engine.runtime.claiming import Claiming
from saga_engine.runtime.deliver import Door
from saga_engine.runtime.incarnation import Incarnation, Serves
from saga_engine.runtime.life import host, runtime_directory
from saga_engine.runtime.places import Places
from saga_engine.runtime.recorder import Leases, Recorder
from saga_engine.runtime.slots import Slots
from saga_engine.runtime.undecided import Undecided
from saga_engine.store.claims import Menu
from saga_engine.store.entry import Heads
from saga_engine.store.tasks import Lease


class Outfit(NamedTuple):
    """One life, and what belongs to it."""

    me: Incarnation
    claiming: Claiming
    chaining: Chaining
    recorder: Recorder
    places: Places


def outfit(  # noqa: PLR0917  what a life is made of
    door: Door,
    queues: tuple[str, ...],
    slots: Slots,
    mine: Callable[[], Collection[Lease]],
    leases: Leases,
    undecided: Undecided,
) -> Outfit:
    """Begin a life. *mine* answers what this process holds, *leases* whether a run goes on without a claim."""
    pins = door.pins()
    loaded = {f"{chart.name} v{chart.version}": pins[chart.digest] for chart in door.registry}
    serves = Serves(queues, loaded, door.registry.broken, slots.size)
    me = Incarnation(door.store, door.limits, runtime_directory(), serves, os.getpid(), mine)
    slots.begin(str(me.life_file))
    menu = Menu(queues, tuple(pins.values()), host())
    charts = {pins[chart.digest]: chart for chart in door.registry}
    structlog.get_logger().info("worker.began", incarnation=me.id, slots=slots.size)
    heads: Heads = {}
    return Outfit(
        me,
        Claiming(door.store, door.limits, me, menu, mine, lambda pin: slots.parts(charts[pin]), slots.room, slots.size),
        Chaining(me),
        Recorder(door, me.id, leases, undecided, heads),
        Places(me, menu, lambda: slots.came.put(None), heads),
    )
