"""``saga why``, word for word: what works, and what waits for a worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from saga_engine.domain.why import Holder, Loaded, Worker, waiting_on
from tests.domain_views.asking import (
    ALIVE,
    HOUR,
    IDLE,
    MIGRATE,
    MINUTE,
    SECOND,
    around,
    attempt_of,
    first,
    told,
)
from tests.domain_views.moments import NOON
from tests.domain_views.walks import begin, broken, lease


def test_a_running_attempt_shows_its_signs_of_life() -> None:
    run = lease(begin(MIGRATE))
    facts = attempt_of(
        run,
        holder=ALIVE,
        leased_at=NOON - HOUR,
        timeout_at=NOON + HOUR,
        heard_at=NOON - 2 * SECOND,
        progress="12/40 chunks",
        progressed_at=NOON - MINUTE,
        checkpoint_at=NOON - 90 * SECOND,
    )

    assert (
        told(MIGRATE, run, tasks=facts)
        == """\
W00 EXPORTING runs: attempt 1, on db-2 (pid 7)
  leased 1 h ago
  last sign of life 2 s ago
  last checkpoint 1 m 30 s ago
  its worker renewed its lease 3 s ago
  progress: 12/40 chunks, 1 m ago
  this attempt times out at 13:00:00 UTC (in 1 h)
  > saga show migrate-7f3k2 --watch: watches it go on; nothing has to be done
  > saga pause migrate-7f3k2 --reason …: lets this attempt end and starts nothing after it
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → ROLLING_BACK, undoes EXPORTING
  > saga cancel migrate-7f3k2: gives the run up → ROLLING_BACK, undoes EXPORTING
"""
    )
    assert waiting_on(MIGRATE, run, around(tasks=facts)) == "EXPORTING, attempt 1"


def test_a_running_attempt_tells_how_the_earlier_ones_went() -> None:
    run = lease(broken(MIGRATE, begin(MIGRATE), "OSError: disk full"))
    facts = attempt_of(run, holder=ALIVE, progress="3 rows", same_error=1, crashes=2, timeout_at=NOON - SECOND)

    assert told(MIGRATE, run, tasks=facts).splitlines()[:7] == [
        "W00 EXPORTING runs: attempt 2, on db-2 (pid 7)",
        "  its worker renewed its lease 3 s ago",
        "  progress: 3 rows",
        "  this attempt times out at 11:59:59 UTC (overdue)",
        "  failed 1 of 8 times; last error: OSError: disk full",
        "  the same error on 1 other run",
        "  2 workers ended while holding it; at 3 it is set aside (W24)",
    ]


def test_what_is_due_is_taken_by_a_worker_with_room() -> None:
    run = begin(MIGRATE)

    assert told(MIGRATE, run) == (
        "W00 EXPORTING is due since 12:00:00 UTC; db-2 (pid 7) has room and takes it at its next look\n"
    )
    assert waiting_on(MIGRATE, run, around()) == "its turn"


def test_a_list_that_did_not_look_at_the_workers_says_nothing_of_them() -> None:
    run = begin(MIGRATE)

    assert told(MIGRATE, run, workers=None) == "W00 EXPORTING is due since 12:00:00 UTC\n"
    assert waiting_on(MIGRATE, run, around(workers=None)) == "a worker"


def test_what_comes_due_a_moment_later_is_said_to() -> None:
    run = begin(MIGRATE)

    assert told(MIGRATE, run, now=NOON - SECOND) == "W00 EXPORTING comes due at 12:00:00 UTC (in 1 s)\n"
    assert waiting_on(MIGRATE, run, around(now=NOON - SECOND)) == "EXPORTING at 12:00:00 UTC"


def test_w01_no_live_worker_serves_the_queue() -> None:
    run = begin(MIGRATE)

    assert (
        told(MIGRATE, run, workers=(), queue="big")
        == """\
W01 EXPORTING is due since 12:00:00 UTC, and no live worker serves the queue big
  > saga worker --queues big: starts a worker here
"""
    )
    assert waiting_on(MIGRATE, run, around(workers=())) == "a worker for the queue default"


def test_w01_no_live_worker_is_on_the_host_that_has_the_files() -> None:
    assert (
        told(MIGRATE, begin(MIGRATE), workers=(), host="db1")
        == """\
W01 EXPORTING is due since 12:00:00 UTC, and no live worker serves the queue default on db1, where its files are
  > saga worker: starts a worker; run it on db1
"""
    )


def test_w02_all_slots_are_busy() -> None:
    run = begin(MIGRATE)
    workers = (replace(IDLE, busy=8), replace(IDLE, host="db-3", slots=1, busy=1))

    assert (
        told(MIGRATE, run, workers=workers)
        == """\
W02 EXPORTING is due since 12:00:00 UTC, and all 9 slots of 2 workers are busy
  db-2 (pid 7): 8 of 8 slots busy
  db-3 (pid 7): 1 of 1 slots busy
  > saga worker: starts a worker here
  > saga doctor: shows the workers and how long each has been silent; a slot comes free when an attempt ends
"""
    )
    assert waiting_on(MIGRATE, run, around(workers=workers)) == "a free slot (of 9)"


def test_w02_a_task_that_brought_two_processes_down_needs_an_idle_worker() -> None:
    run = begin(MIGRATE)
    more: dict[str, Any] = {"workers": (replace(IDLE, busy=1),), "tasks": attempt_of(run, crashes=2)}

    assert told(MIGRATE, run, **more).splitlines()[:3] == [
        "W02 EXPORTING is due since 12:00:00 UTC; it brought two processes down, so it needs an idle worker: none is",
        "  db-2 (pid 7): 1 of 8 slots busy",
        "  2 workers ended while holding it; at 3 it is set aside (W24)",
    ]
    assert waiting_on(MIGRATE, run, around(**more)) == "an idle worker"
    assert first(MIGRATE, run, tasks=attempt_of(run, crashes=2)).startswith("W00 EXPORTING is due")
    once = {"workers": (replace(IDLE, busy=1),), "tasks": attempt_of(run, crashes=1)}
    assert first(MIGRATE, run, **once).startswith("W00 EXPORTING is due")


def test_w04_a_failed_task_is_tried_again_later() -> None:
    run = broken(MIGRATE, begin(MIGRATE), "OSError: disk\nfull")

    assert (
        told(MIGRATE, run, tasks=attempt_of(run, same_error=4))
        == """\
W04 EXPORTING failed 1 of 8 times and is tried again at 12:00:01 UTC (in 1 s)
  last error: OSError: disk full
  the same error on 4 other runs
  > saga retry migrate-7f3k2: tries it now, with a new budget
  > saga rollback migrate-7f3k2 --plan: shows the way back; taken without --plan → ROLLING_BACK, undoes EXPORTING
  > saga cancel migrate-7f3k2: gives the run up → ROLLING_BACK, undoes EXPORTING
"""
    )
    assert waiting_on(MIGRATE, run, around()) == "retry at 12:00:01 UTC (failed 1 of 8 times)"
    assert first(None, run) == "W04 EXPORTING failed 1 time and is tried again at 12:00:01 UTC (in 1 s)"


@pytest.mark.parametrize(
    ("holder", "line"),
    [
        (
            replace(ALIVE, ended_at=NOON - SECOND),
            "incarnation 9f2c: ended at 11:59:59 UTC; any worker takes over at its next look",
        ),
        (
            replace(ALIVE, is_gone=True),
            "incarnation 9f2c: its process is gone, last heard of at 11:59:57 UTC; a worker on db-2 takes over",
        ),
        (
            replace(ALIVE, renewed_at=NOON - MINUTE, lease_until=NOON - 45 * SECOND),
            "incarnation 9f2c: its lease ran out at 11:59:15 UTC; any worker takes over at its next look",
        ),
        (
            replace(ALIVE, renewed_at=NOON - 12 * SECOND, lease_until=NOON + 3 * SECOND),
            (
                "incarnation 9f2c: its lease ends at 12:00:03 UTC (in 3 s); "
                "if it stays silent, another worker takes over then"
            ),
        ),
    ],
)
def test_w05_the_worker_is_dead_or_silent(holder: Holder, line: str) -> None:
    run = lease(begin(MIGRATE))
    facts = attempt_of(run, holder=holder)

    assert told(MIGRATE, run, tasks=facts).splitlines()[:2] == [
        "W05 attempt 1 of EXPORTING is held by a worker that is dead or silent, db-2 (pid 7)",
        f"  {line}",
    ]
    assert told(MIGRATE, run, tasks=facts).splitlines()[3:] == [
        "  > saga doctor: shows the workers and how long each has been silent; another one takes over",
    ]
    assert waiting_on(MIGRATE, run, around(tasks=facts)) == "takeover from db-2 (pid 7)"


def test_w05_without_another_worker_one_must_be_started() -> None:
    run = lease(begin(MIGRATE))

    assert (
        told(MIGRATE, run, workers=())
        == """\
W05 attempt 1 of EXPORTING is held by incarnation worker-1, of which nothing is known
  > saga worker: starts a worker here
"""
    )
    assert waiting_on(MIGRATE, run, around(workers=())) == "takeover from an unknown worker"


def test_w10_no_live_worker_has_this_version() -> None:
    run = begin(MIGRATE)
    workers = (
        Worker("db-2", 7, 8, 0, (Loaded("migrate", 2, "x"),), {"orders.py": "ImportError: no module named shop"}),
        Worker("db-3", 8, 8, 0, (Loaded("migrate", 1, "0123456789abcdef"),)),
        Worker("db-4", 9, 8, 0, (Loaded("other", 1, "y"),)),
    )

    assert (
        told(MIGRATE, run, workers=workers)
        == f"""\
W10 EXPORTING is due since 12:00:00 UTC, and no live worker has migrate v1 loaded
  db-2 (pid 7) has v2
  db-3 (pid 8) has v1 with another table (0123456789ab, the run needs {MIGRATE.digest[:12]})
  db-4 (pid 9) has no migrate at all
  orders.py could not be loaded: ImportError: no module named shop
  > saga check orders.py: shows why it cannot be loaded; mend it, then restart the worker
  > saga --workflows … worker: starts a worker that has migrate v1
"""
    )
    assert waiting_on(MIGRATE, run, around(workers=workers)) == "a worker with migrate v1"
