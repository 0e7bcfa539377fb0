"""The worker as a process: how it ends, and what it leaves."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.cli.place import Place

HANGS = """

def stubborn(step: Step[Input]) -> None:
    while True:
        sleep(0.05)
"""


def until(saga: Place, name: str, state: str, status: str) -> None:
    for _ in range(300):
        item = saga("show", name, "--json").json["item"]
        if (item["state"], item["status"]) == (state, status) and any(task["leased_by"] for task in item["tasks"]):
            return
        time.sleep(0.05)
    pytest.fail(f"{name} is in {item['state']}, {item['status']}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_the_worker_hand_over(any_saga: Place, number: signal.Signals, code: int) -> None:
    saga = any_saga
    worker = saga.start("worker", "--concurrency", "2")
    name = saga("run", "parcel", "--input", "to=Ann", "--input", "slow=20", "-q").out.strip()
    until(saga, name, "PACKING", "running")
    (line,) = saga("workers", "--json").json["items"]
    assert (line["pid"], line["slots"], line["alive"], line["loaded"]) == (worker.pid, 2, True, ["parcel v1"])
    worker.send_signal(number)
    out, err = worker.communicate(timeout=30)
    assert (worker.returncode, out) == (code, "")
    assert json.loads(err.splitlines()[0])["event"] == "worker.began"
    (task,) = saga("show", name, "--json").json["item"]["tasks"]
    assert (task["kind"], task["leased_by"], task["failures"], task["crashes"]) == ("step", None, 0, 0)
    assert saga("workers", "--json").json["items"] == []


def hanging(saga: Place) -> str:
    """The name of a run whose step does not listen."""
    file = saga.folder / "workflows" / "parcel.py"
    code = file.read_text().replace("may_go = ", f"{HANGS}\n\nmay_go = ").replace(".run(pack,", ".run(stubborn,")
    file.write_text(code)
    return saga("run", "parcel", "--input", "to=Ann", "-q").out.strip()


def test_ctrl_c_twice_ends_at_once(saga: Place) -> None:
    name = hanging(saga)
    worker = saga.start("worker", "-q")
    until(saga, name, "PACKING", "running")
    worker.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert worker.poll() is None
    began = time.monotonic()
    worker.send_signal(signal.SIGINT)
    assert worker.communicate(timeout=30) == ("", "")
    assert (worker.returncode, time.monotonic() - began < 0.9) == (130, True)


def test_a_step_that_does_not_listen_keeps_no_worker_from_ending(saga: Place) -> None:
    name = hanging(saga)
    worker = saga.start("worker", "-q")
    until(saga, name, "PACKING", "running")
    worker.terminate()
    out, err = worker.communicate(timeout=30)
    assert (worker.returncode, out) == (0, "")
    assert {json.loads(line)["event"] for line in err.splitlines()} <= {"attempt.hangs"}


def test_a_worker_whose_slots_hang_gives_up(saga: Place) -> None:
    file = saga.folder / "workflows" / "parcel.py"
    name = hanging(saga)
    file.write_text(file.read_text().replace(".run(stubborn, timeout=minutes(1))", ".run(stubborn, timeout=seconds(1))")
                    .replace("Step, hours, minutes", "Step, hours, minutes, seconds"))  # fmt: skip
    assert saga("cancel", name, "--yes", "-q").code in {0, 3}
    saga("run", "parcel", "--input", "to=Bea", "-q")
    worker = saga.start("worker", "--concurrency", "1", "-q")
    out, err = worker.communicate(timeout=60)
    lines = [line for line in err.splitlines() if not line.startswith("{")]
    assert (worker.returncode, out) == (75, "")
    assert lines[0].startswith("error: Half of the worker's slots hang")
    assert lines[1] == "hint:  saga worker"


def test_a_worker_serves_its_queues_alone(saga: Place) -> None:
    name = saga("run", "parcel", "--input", "to=Ann", "-q").out.strip()
    assert saga("worker", "--until-idle", "--queues", "slow, night", "-q").code == 0
    assert saga("show", name, "--json").json["item"]["state"] == "PACKING"
    assert saga("worker", "--queues", " , ").code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_work_is_seen_through_hands_over_and_names_the_run(saga: Place, number: int) -> None:
    working = saga.start("run", "parcel", "--input", "to=Ann", "--input", "slow=20", "--work")
    for _ in range(300):
        items = saga("list", "--json").json["items"]
        if items and any(task["leased_by"] for task in saga("show", "@parcel", "--json").json["item"]["tasks"]):
            break
        time.sleep(0.05)
    working.send_signal(number)
    out, err = working.communicate(timeout=30)
    item = saga("show", "@parcel", "--json").json["item"]
    (task,) = item["tasks"]
    assert (working.returncode, out) == (130, "")
    name = item["name"]
    assert err.splitlines()[-1] == (
        f"note:  {name} goes on when a worker takes it: saga worker; saga show {name} --watch"
    )
    assert "" not in err.splitlines()
    assert (task["leased_by"], task["failures"], task["crashes"]) == (None, 0, 0)
