"""Late attempts and their successors at the same moment: each effect takes place once, and an undo is the end of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from saga_engine import failpoints
from saga_engine.errors import Superseded
from saga_engine.ledger import effect, undo
from tests.ledger.support import Head, Loaded, apply, head, insert, key, loaded, part_rows, undo_all

WAIT_SECONDS = 30
"""Longer than anything here takes, on a busy machine too."""
A_MOMENT = 0.2
"""Long enough to see that a thread waits."""

PART_POINTS = [
    f"ledger.part.{place}" for place in ("after_begin", "after_head", "after_insert", "after_work", "before_commit")
]
UNDO_POINTS = [f"ledger.undo.part.{place}" for place in ("after_begin", "after_head", "after_work", "before_commit")]


class Late:
    """A thread that stops at *point* until it is let go, as a worker that was suspended there."""

    def __init__(self, point: str, act: Callable[[], Any]) -> None:
        self._point = point
        self._there = threading.Event()
        self._go = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="late")
        self._act = act
        self.future: Future[Any] = Future()

    def at_its_point(self, name: str) -> None:
        if name == self._point and threading.current_thread().name.startswith("late") and not self._there.is_set():
            self._there.set()
            assert self._go.wait(WAIT_SECONDS)

    def start(self) -> None:
        self.future = self._pool.submit(self._act)
        assert self._there.wait(WAIT_SECONDS)

    def go_on(self) -> None:
        self._go.set()

    def end(self) -> None:
        self._go.set()
        self._pool.shutdown()


@contextmanager
def late(point: str, act: Callable[[], Any]) -> Iterator[Late]:
    """*act* in another thread, which now stands at *point*."""
    thread = Late(point, act)
    with failpoints.switched_on(thread.at_its_point):
        try:
            thread.start()
            yield thread
        finally:
            thread.end()


@contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[Future[Any]]:
    """*act* in one more thread, given a moment to come as far as it can."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act)
        with suppress(StillWaiting):
            future.exception(timeout=A_MOMENT)
        yield future


def outcome(future: Future[Any]) -> Any:
    """What came of it: its result, or the class of its error."""
    error = future.exception(timeout=WAIT_SECONDS)
    return future.result() if error is None else type(error)


def test_many_threads_that_apply_one_part_get_one_result(target: Engine) -> None:
    calls: list[int] = []

    def work(db: Connection) -> Loaded:
        calls.append(1)
        return insert("a")(db)

    effect.open_head(target, key(1))
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: apply(target, key(1), "a", work), range(24)))
    assert (results, len(calls), loaded(target)) == ([Loaded(rows=1)] * 24, 1, ["a"])


def test_parts_of_one_attempt_run_side_by_side_where_there_is_a_server(server: Engine) -> None:
    both_inside = threading.Barrier(2, timeout=WAIT_SECONDS)

    def work(part: str) -> Callable[[Connection], Loaded]:
        return lambda db: (both_inside.wait(), insert(part)(db))[1]

    effect.open_head(server, key(1))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda part: apply(server, key(1), part, work(part)), "ab"))
    assert loaded(server) == ["a", "b"]


@pytest.mark.parametrize("point", PART_POINTS[2:])
def test_the_second_of_two_equal_calls_waits_and_gets_the_result_of_the_first(target: Engine, point: str) -> None:
    effect.open_head(target, key(1))
    with late(point, lambda: apply(target, key(1), "a")) as first:
        with meanwhile(lambda: apply(target, key(1), "a")) as second:
            assert not second.done()
            first.go_on()
        assert (outcome(first.future), outcome(second)) == (Loaded(rows=1), Loaded(rows=1))
    assert loaded(target) == ["a"]


def test_the_second_takes_over_where_the_first_fails_after_all(target: Engine) -> None:
    def fails(db: Connection) -> Loaded:
        insert("a")(db)
        raise ZeroDivisionError

    effect.open_head(target, key(1))
    with late("ledger.part.after_insert", lambda: apply(target, key(1), "a", fails)) as first:
        with meanwhile(lambda: apply(target, key(1), "a")) as second:
            first.go_on()
        assert (outcome(first.future), outcome(second)) == (ZeroDivisionError, Loaded(rows=1))
    assert loaded(target) == ["a"]


@pytest.mark.parametrize("point", PART_POINTS)
def test_a_late_attempt_and_its_successor_apply_a_part_once(target: Engine, point: str) -> None:
    effect.open_head(target, key(1))

    def successor() -> Loaded:
        effect.open_head(target, key(2))
        return apply(target, key(2), "a")

    with late(point, lambda: apply(target, key(1), "a")) as zombie:
        with meanwhile(successor) as newer:
            zombie.go_on()
        # With a server a transaction may have begun and not hold the head yet.
        overtaken = point == "ledger.part.after_begin" and target.dialect.name != "sqlite"
        assert outcome(zombie.future) == (Superseded if overtaken else Loaded(rows=1))
        assert outcome(newer) == Loaded(rows=1)
    assert (loaded(target), head(target)) == (["a"], Head("open", 2, 0))
    assert part_rows(target) == [("a", "applied", 2 if overtaken else 1, '{"rows":1}')]


@pytest.mark.parametrize("point", ["ledger.head.after_commit", *PART_POINTS, "ledger.part.after_commit"])
def test_nothing_of_a_late_attempt_lands_after_the_undo(target: Engine, point: str) -> None:
    def forward() -> None:
        effect.open_head(target, key(1))
        apply(target, key(1), "a")

    with late(point, forward) as zombie:
        with meanwhile(lambda: undo_all(target, key(1))) as back:
            zombie.go_on()
        assert outcome(back) is None
        assert outcome(zombie.future) in (None, Superseded)
    assert (loaded(target), head(target)) == ([], Head("undone", 1, 1))


def test_a_late_attempt_that_had_not_come_to_the_head_finds_the_tombstone(server: Engine) -> None:
    with late("ledger.head.after_begin", lambda: effect.open_head(server, key(1))) as zombie:
        undo_all(server, key(1))
        zombie.go_on()
        assert outcome(zombie.future) is Superseded
    assert (head(server), part_rows(server)) == (Head("undone", 0, 1), [])


def take_back(part: str) -> Callable[[Connection], None]:
    """An undo that shows if it takes place twice."""

    def work(db: Connection) -> None:
        db.execute(text("INSERT INTO loaded VALUES ('undone', :part)"), {"part": part})

    return work


def undo_step(target: Engine, token: int) -> None:
    undo.begin_undo(target, key(token))
    for part in reversed(undo.applied(target, key(token))):
        undo.undo_part(target, key(token), part.part, take_back(part.part))
    undo.finish_undo(target, key(token), None)


@pytest.mark.parametrize("point", UNDO_POINTS)
def test_a_late_undo_and_its_successor_undo_a_part_once(target: Engine, point: str) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    with late(point, lambda: undo_step(target, 1)) as zombie:
        with meanwhile(lambda: undo_step(target, 2)) as newer:
            zombie.go_on()
        assert outcome(newer) is None
        assert outcome(zombie.future) in (None, Superseded)
    assert (loaded(target, "undone"), head(target)) == (["a"], Head("undone", 1, 2))


def test_a_late_undo_cannot_finish_for_its_successor(target: Engine) -> None:
    with late("ledger.undo.check.after_commit", lambda: undo_step(target, 1)) as zombie:
        undo.begin_undo(target, key(2))
        zombie.go_on()
        assert outcome(zombie.future) is Superseded
    assert head(target) == Head("undoing", 0, 2)


@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_of_attempts_and_undos_leaves_every_effect_undone_once(target: Engine, seed: int) -> None:
    chance = random.Random(seed)

    def forward(token: int) -> None:
        effect.open_head(target, key(token))
        for part in "abc":
            apply(target, key(token), part)

    acts = [lambda token=token: forward(token) for token in (1, 2, 3, 4)]
    acts += [lambda token=token: undo_step(target, token) for token in (1, 2)]
    delays = [chance.uniform(0, 0.05) for _ in acts]

    def after_a_while(act: Callable[[], None], delay: float) -> type[BaseException] | None:
        threading.Event().wait(delay)
        try:
            act()
        except Superseded:
            return Superseded
        return None

    with ThreadPoolExecutor(len(acts)) as threads:
        outcomes = list(threads.map(after_a_while, acts, delays))
    undo_step(target, 3)
    assert set(outcomes) <= {None, Superseded}
    assert loaded(target) == loaded(target, "undone")
    assert set(loaded(target)) <= set("abc")
    assert len(loaded(target)) == len(set(loaded(target)))
