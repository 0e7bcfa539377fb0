"""kill -9 and SIGSTOP at every failpoint of a step and of its undo: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.ledger.support import Head, head, key, loaded, part_rows, undo_all

HERE = Path(__file__).parents[2]
LEASE_SECONDS = 10.0
SHORT_LEASE_SECONDS = 1.5
"""Of an attempt that is stopped: so soon the server ends its session."""


class Process:
    """The process behind ``actor.py``; all tests of this file share it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.actor"],
            cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, order: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Actor:
    """Acts on one target, each time in a process of its own."""

    def __init__(self, process: Process, target: Engine) -> None:
        self._process = process
        self._url = target.url.render_as_string(hide_password=False)
        assert process.ask({"warm": self._url}) == "warm"

    def start(self, act: str, task: str, token: int = 1, points: str = "", lease: float = LEASE_SECONDS) -> int:
        order = {"url": self._url, "lease": lease, "act": act, "task": task, "token": token, "failpoints": points}
        return int(self._process.ask({"run": order}))

    def wait(self, pid: int) -> str:
        return self._process.ask({"wait": pid})

    def run(self, act: str, task: str, token: int = 1, points: str = "") -> str:
        return self.wait(self.start(act, task, token, points))


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.close()


@pytest.fixture
def actor(process: Process, target: Engine) -> Actor:
    return Actor(process, target)


@pytest.fixture
def actor_at_server(process: Process, server: Engine) -> Actor:
    return Actor(process, server)


# Every failpoint but ledger.statement, which stands before each statement: runs are killed there in tests/kill.
OURS = "ledger.[!s]*"
FORWARD_HITS = [
    *(f"ledger.head.{place}" for place in ("after_begin", "before_commit", "after_commit")),
    *2 * [
        f"ledger.part.{place}"
        for place in ("after_begin", "after_head", "after_insert", "after_work", "before_commit", "after_commit")
    ],
]  # fmt: skip
BACK_HITS = [
    *(f"ledger.undo.begin.{place}" for place in ("after_begin", "before_commit", "after_commit")),
    *(f"ledger.undo.applied.{place}" for place in ("after_begin", "before_commit", "after_commit")),
    *2 * [
        f"ledger.undo.part.{place}"
        for place in ("after_begin", "after_head", "after_work", "before_commit", "after_commit")
    ],
    *(f"ledger.undo.check.{place}" for place in ("after_begin", "before_commit", "after_commit")),
    *(f"ledger.undo.finish.{place}" for place in ("after_begin", "before_commit", "after_commit")),
]  # fmt: skip


def test_a_clean_run_passes_every_failpoint_that_the_other_tests_kill_at(actor: Actor, tmp_path: Path) -> None:
    assert actor.run("forward", "r.1", points=f"{OURS}:*=trace:{tmp_path}/forward") == "exit 0"
    assert actor.run("back", "r.1", points=f"{OURS}:*=trace:{tmp_path}/back") == "exit 0"
    assert (tmp_path / "forward").read_text().splitlines() == FORWARD_HITS
    assert (tmp_path / "back").read_text().splitlines() == BACK_HITS


def test_a_step_killed_at_any_point_takes_effect_once_when_it_is_tried_again(target: Engine, actor: Actor) -> None:
    for hit in range(1, len(FORWARD_HITS) + 1):
        task = f"r.{hit}"
        assert actor.run("forward", task, points=f"{OURS}:{hit}=kill") == "killed"
        assert loaded(target, task) in ([], ["a"], ["a", "b"])
        assert actor.run("forward", task, token=2) == "exit 0"
        assert (loaded(target, task), head(target, task)) == (["a", "b"], Head("open", 2, 0))


def test_a_step_killed_at_any_point_is_taken_back_wholly(target: Engine, actor: Actor) -> None:
    for hit in range(1, len(FORWARD_HITS) + 1):
        task = f"r.{hit}"
        assert actor.run("forward", task, points=f"{OURS}:{hit}=kill") == "killed"
        undo_all(target, key(1, task=task))
        assert loaded(target, task) == []
        assert head(target, task) == Head("undone", 1 if hit > FORWARD_HITS.index("ledger.head.after_commit") else 0, 1)
        assert actor.run("forward", task, token=2) == "exit 3"
        assert loaded(target, task) == []


def test_an_undo_killed_at_any_point_is_finished_by_the_next(target: Engine, actor: Actor) -> None:
    for hit in range(1, len(BACK_HITS) + 1):
        task = f"r.{hit}"
        assert actor.run("forward", task) == "exit 0"
        assert actor.run("back", task, points=f"{OURS}:{hit}=kill") == "killed"
        assert loaded(target, task) in (["a", "b"], ["a"], [])
        assert actor.run("back", task, token=2) == "exit 0"
        assert (loaded(target, task), head(target, task)) == ([], Head("undone", 1, 2))
        assert [status for _, status, *_ in part_rows(target, task)] == ["undone", "undone"]


def test_a_step_killed_twice_takes_effect_once(target: Engine, actor: Actor) -> None:
    inserted, worked = (
        FORWARD_HITS.index("ledger.part.after_insert") + 1,
        FORWARD_HITS.index("ledger.part.after_work") + 1,
    )
    for first in (inserted, worked):
        for second in range(1, len(FORWARD_HITS) + 1, 3):
            task = f"r.{first}.{second}"
            assert actor.run("forward", task, points=f"{OURS}:{first}=kill") == "killed"
            assert actor.run("forward", task, token=2, points=f"{OURS}:{second}=kill") == "killed"
            assert actor.run("forward", task, token=3) == "exit 0"
            assert (loaded(target, task), head(target, task)) == (["a", "b"], Head("open", 3, 0))


def test_an_attempt_stopped_beyond_its_lease_changes_nothing_afterwards(server: Engine, actor_at_server: Actor) -> None:
    """SIGSTOP at every point, also with locks held; two leases later another attempt has finished; then SIGCONT."""
    actor = actor_at_server
    hits = range(1, len(FORWARD_HITS) + 1)
    stopped = {
        hit: actor.start("forward", f"r.{hit}", points=f"{OURS}:{hit}=stop", lease=SHORT_LEASE_SECONDS) for hit in hits
    }
    assert [actor.wait(pid) for pid in stopped.values()] == ["stopped"] * len(hits)
    time.sleep(2 * SHORT_LEASE_SECONDS)
    for hit in hits:
        assert actor.run("forward", f"r.{hit}", token=2) == "exit 0"
        assert loaded(server, f"r.{hit}") == ["a", "b"]
    for pid in stopped.values():
        os.kill(pid, signal.SIGCONT)
    # 3: superseded. 4: its session was ended while it was stopped. 0: it stood behind its last commit.
    assert {actor.wait(pid) for pid in stopped.values()} <= {"exit 0", "exit 3", "exit 4"}
    for hit in hits:
        assert (loaded(server, f"r.{hit}"), head(server, f"r.{hit}")) == (["a", "b"], Head("open", 2, 0))


def test_an_attempt_stopped_until_the_rollback_is_over_writes_nothing_more(target: Engine, actor: Actor) -> None:
    between = [hit for hit, name in enumerate(FORWARD_HITS, start=1) if name.endswith("after_commit")]
    hits = between if target.dialect.name == "sqlite" else list(range(1, len(FORWARD_HITS) + 1))
    stopped = {
        hit: actor.start("forward", f"r.{hit}", points=f"{OURS}:{hit}=stop", lease=SHORT_LEASE_SECONDS) for hit in hits
    }
    assert [actor.wait(pid) for pid in stopped.values()] == ["stopped"] * len(hits)
    if target.dialect.name != "sqlite":
        time.sleep(2 * SHORT_LEASE_SECONDS)
    for hit in hits:
        undo_all(target, key(1, task=f"r.{hit}"))
    for pid in stopped.values():
        os.kill(pid, signal.SIGCONT)
    assert {actor.wait(pid) for pid in stopped.values()} <= {"exit 0", "exit 3", "exit 4"}
    for hit in hits:
        assert (loaded(target, f"r.{hit}"), head(target, f"r.{hit}").status) == ([], "undone")  # type: ignore[union-attr]


def test_the_statement_of_a_killed_client_ends_and_the_next_attempt_gets_its_turn(
    server: Engine, actor_at_server: Actor
) -> None:
    pid = actor_at_server.start("sleep_in_server", "r.1")
    end = time.monotonic() + 20
    while "sleep(60)" not in str(active_statements(server)):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    assert actor_at_server.wait(pid) == "killed"
    began = time.monotonic()
    assert actor_at_server.run("forward", "r.1", token=2) == "exit 0"
    assert time.monotonic() - began < 30  # PostgreSQL looks for its client every second, MariaDB in its sleep
    assert loaded(server, "r.1") == ["a", "b"]


def active_statements(target: Engine) -> list[Any]:
    """Of everybody but this session."""
    statement = (
        "SELECT query FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        if target.dialect.name == "postgresql"
        else "SELECT info FROM information_schema.processlist WHERE info IS NOT NULL AND id <> connection_id()"
    )
    with target.connect() as db:
        return list(db.exec_driver_sql(statement).scalars())
