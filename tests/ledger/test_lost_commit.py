"""A COMMIT whose answer never came is asked after, under the same lock, and never repeated blindly (hazard T3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from saga_engine.errors import CommitUnknown
from saga_engine.ledger import effect
from tests.ledger.conftest import Opened
from tests.ledger.support import Head, Loaded, apply, head, insert, key, loaded, part_rows, undo_all
from tests.support.proxy import Loss, Proxy, proxy_before

SHORT_LEASE = timedelta(seconds=2)
COMMITS_FORWARD = 4
"""Of a whole step: the head, and three parts."""
COMMITS_BACK = 6
"""Of its undo: the head, the question what is applied, two parts, the question what is left, the end."""


@pytest.fixture
def proxy(server: Engine) -> Iterator[Proxy]:
    with proxy_before(server.url) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: Proxy, opened: Opened) -> Engine:
    """The target `server` as it is seen through the proxy."""
    return opened(proxy.url.render_as_string(hide_password=False), lease=SHORT_LEASE)


def forward(target: Engine) -> list[Loaded]:
    effect.open_head(target, key(1), frozenset())
    return [apply(target, key(1), part) for part in "abc"]


def must_not_be_called(db: Connection) -> Any:
    pytest.fail("the work was called")


def test_a_whole_step_has_as_many_commits_as_the_next_test_loses(far: Engine, proxy: Proxy) -> None:
    forward(far)
    assert (proxy.commits, proxy.lost) == (COMMITS_FORWARD, 0)


@pytest.mark.parametrize("loss", [Loss.REQUEST, Loss.REPLY], ids=lambda loss: loss.name)
@pytest.mark.parametrize("at", range(1, COMMITS_FORWARD + 1))
def test_a_step_takes_effect_once_whichever_commit_is_lost(
    far: Engine, server: Engine, proxy: Proxy, loss: Loss, at: int
) -> None:
    proxy.lose_at(loss, at)
    assert forward(far) == [Loaded(rows=1)] * 3
    assert proxy.lost == 1
    assert (loaded(server), head(server)) == (["a", "b", "c"], Head("open", 1, 0))


@pytest.mark.parametrize("loss", [Loss.REQUEST, Loss.REPLY], ids=lambda loss: loss.name)
def test_an_undo_takes_place_once_whichever_commit_is_lost(
    far: Engine, server: Engine, proxy: Proxy, loss: Loss
) -> None:
    for at in range(1, COMMITS_BACK + 2):
        task = f"r.{at}"
        effect.open_head(server, key(1, task=task))
        for part in "ab":
            apply(server, key(1, task=task), part)
        proxy.lose_at(loss, at)
        undo_all(far, key(1, task=task))
        assert (loaded(server, task), head(server, task)) == ([], Head("undone", 1, 1))
    assert proxy.lost == COMMITS_BACK


def test_work_is_not_called_again_where_only_the_answer_was_lost(far: Engine, proxy: Proxy) -> None:
    calls = []

    def work(db: Connection) -> Loaded:
        calls.append(1)
        return insert("a")(db)

    effect.open_head(far, key(1))
    proxy.lose_at(Loss.REPLY)
    apply(far, key(1), "a", work)
    assert (len(calls), proxy.lost, loaded(far)) == (1, 1, ["a"])


def test_the_next_try_waits_for_a_server_that_does_not_know_its_client_is_gone(far: Engine, proxy: Proxy) -> None:
    effect.open_head(far, key(1))
    proxy.lose_at(Loss.HALF_OPEN)
    assert apply(far, key(1), "a") == Loaded(rows=1)
    assert (proxy.lost, loaded(far), part_rows(far)) == (1, ["a"], [("a", "applied", 1, '{"rows":1}')])


def test_nobody_claims_to_know_when_nobody_answers_and_the_next_attempt_finds_out(far: Engine, proxy: Proxy) -> None:
    def last_work(db: Connection) -> Loaded:
        proxy.answers = False
        return insert("a")(db)

    effect.open_head(far, key(1))
    proxy.lose_at(Loss.REPLY)
    with pytest.raises(CommitUnknown, match="The next attempt asks the ledger whether it took effect"):
        apply(far, key(1), "a", last_work)
    proxy.answers = True
    effect.open_head(far, key(2))
    assert apply(far, key(2), "a", must_not_be_called) == Loaded(rows=1)
    assert loaded(far) == ["a"]
