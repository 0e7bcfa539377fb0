"""One life of a worker as a row: renewed while it lasts, ended once, kept as long as it holds something."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from saga_engine.store import incarnations
from saga_engine.store.schema import incarnations as table
from tests.store.world import LEASE, World


def row(world: World, name: str = "") -> dict[str, Any]:
    with world.store.read() as db:
        return dict(db.execute(sa.select(table).where(table.c.id == (name or world.me))).mappings().one())


def renew(world: World, name: str = "") -> bool:
    with world.store.write() as db:
        return incarnations.renew(db, name or world.me, 3, world.now, LEASE)


def test_a_renewal_extends_the_lease(world: World) -> None:
    before = row(world)
    world.now += timedelta(seconds=5)
    assert renew(world)
    changes = {"busy": 3, "renewed_at": world.now, "lease_until": world.now + LEASE}
    assert row(world) == {**before, **changes}


@pytest.mark.parametrize("how", ["released", "dead", "expired"])
def test_no_renewal_brings_back_who_has_ended(world: World, how: str) -> None:
    gone = world.me
    world.end(how)
    before = row(world, gone)
    assert renew(world, gone) is False
    assert row(world, gone) == before


def test_an_incarnation_ends_once(world: World) -> None:
    ended_at = world.now
    with world.store.write() as db:
        incarnations.end_dead(db, world.me, world.now)
        incarnations.end(db, world.me, world.now + LEASE, "released")
        incarnations.end_expired(db, world.now + 2 * LEASE)
    assert (row(world)["ended_at"], row(world)["ended_how"]) == (ended_at, "dead")


def test_only_whose_lease_has_run_out_expires(world: World) -> None:
    other = World(world.store, world.chart)
    world.now += LEASE
    renew(world)
    with world.store.write() as db:
        assert incarnations.end_expired(db, other.now + LEASE) == 0
        assert incarnations.end_expired(db, other.now + LEASE + timedelta(microseconds=1)) == 1
    assert (row(world)["ended_how"], row(other)["ended_how"]) == (None, "expired")
    with world.store.read() as db:
        assert [found.id for found in incarnations.living(db)] == [world.me]


def test_old_rows_are_swept_but_not_of_who_still_holds_a_task(world: World) -> None:
    holder, idle = world.me, world.begin()
    world.claim()
    with world.store.write() as db:
        for gone in (holder, idle):
            incarnations.end(db, gone, world.now, "expired")
        later = world.now + timedelta(days=1)
        assert incarnations.sweep(db, world.now) == 0
        assert incarnations.sweep(db, later) == 1
    with world.store.read() as db:
        assert list(incarnations.by_id(db, [holder, idle])) == [holder]
        assert incarnations.by_id(db, []) == {}
