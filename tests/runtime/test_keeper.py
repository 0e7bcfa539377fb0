"""A keeper ends what is dead, and does not take for dead what a store that was away kept from renewing."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from saga_engine.runtime.engine import Engine
from saga_engine.runtime.keeper import Keeper
from saga_engine.store import incarnations
from tests.runtime import plays
from tests.runtime.conftest import Opened

LONG_SECONDS: Final = 60.0
LEASE: Final = timedelta(seconds=15)


def with_an_expired_life(opened: Opened) -> Engine:
    """An engine in whose store another worker's lease has run out."""
    engine = opened(plays.saga())
    with engine.store.write() as db:
        then = engine.store.clock(db) - 2 * LEASE
        birth = incarnations.Birth("other", "db-9", 1, "/nowhere", 1, 1, "", ("default",), {}, {}, 8)
        incarnations.begin(db, birth, then, LEASE)
    return engine


def ended(engine: Engine) -> str | None:
    with engine.store.read() as db:
        how: str | None = incarnations.by_id(db, ["other"])["other"].ended_how
    return how


def test_a_lease_that_ran_out_ends_a_life(opened: Opened) -> None:
    engine = with_an_expired_life(opened)
    Keeper(engine.store, "me", LONG_SECONDS).round()
    assert ended(engine) == "expired"


def test_a_lease_that_ran_out_while_the_store_was_away_may_be_renewed_first(opened: Opened) -> None:
    engine = with_an_expired_life(opened)
    keeper = Keeper(engine.store, "me", LONG_SECONDS)
    keeper.store_was_away()
    for _ in range(2):
        keeper.round()
        assert ended(engine) is None


def test_who_does_not_renew_then_is_ended(opened: Opened) -> None:
    engine = with_an_expired_life(opened)
    keeper = Keeper(engine.store, "me", renew_seconds=0.01)
    keeper.store_was_away()
    plays.until(lambda: (keeper.round(), ended(engine) == "expired")[1])
