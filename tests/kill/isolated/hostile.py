"""Steps in processes of their own that do what no step should. Each says in ``seen`` that it has begun, then acts."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from saga_engine import Connection, Frozen, Outcome, Retry, Saga, Step, failpoints, minutes, seconds

DW: Final = Connection("dw")
LONG_SECONDS: Final = 100.0
"""Longer than any test."""
TIMEOUT_SECONDS: Final = 0.6
CHILDREN: Final = 40
PARTS: Final = ("out", "home", "hotel")


class Act(Frozen):
    folder: str
    how: str


class Acted(Frozen):
    attempt: int
    pid: int
    cancelled: bool = False


def seen(step: Step[Act], what: str) -> None:
    line = {"run": step.run_id, "step": what, "attempt": step.attempt, "pid": os.getpid(), "at": time.monotonic()}
    with (Path(step.input.folder) / "seen").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def loop(_: Step[Act]) -> None:
    while True:
        pass


def sleep_in_c(_: Step[Act]) -> None:
    """Holds the interpreter's lock, with every signal blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(int(LONG_SECONDS))


def read_a_socket(_: Step[Act]) -> None:
    ours, _theirs = socket.socketpair()
    ours.recv(1)


def wait_for_a_lock(step: Step[Act]) -> None:
    """The test holds it."""
    with step.connect(DW) as db:
        db.execute(sa.text("SELECT * FROM booked FOR UPDATE"))


def fork(run: Callable[[], None]) -> None:
    if os.fork() == 0:
        run()


def fork_one_that_loops(step: Step[Act]) -> None:
    fork(lambda: loop(step))
    time.sleep(LONG_SECONDS)


def fork_many(step: Step[Act]) -> None:
    for _ in range(CHILDREN):
        fork(lambda: time.sleep(LONG_SECONDS))
    time.sleep(LONG_SECONDS)


def fork_without_an_end(_: Step[Act]) -> None:
    """A process that is never the same: each forks its successor and ends."""
    if os.fork() == 0:
        while True:
            if os.fork() != 0:
                os._exit(0)
            time.sleep(0.001)
    time.sleep(LONG_SECONDS)


def daemonize(step: Step[Act]) -> None:
    """What a daemon does to be nobody's child."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(LONG_SECONDS)
        os._exit(0)
    time.sleep(LONG_SECONDS)


def run_a_program(_: Step[Act]) -> None:
    subprocess.run([sys.executable, "-c", f"import time; time.sleep({LONG_SECONDS})"], check=True)


def ignore_signals(_: Step[Act]) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(LONG_SECONDS)


def stop_itself(_: Step[Act]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def flood_the_output(_: Step[Act]) -> None:
    while True:
        print("x" * 79)  # noqa: T201  that is the point


def flood_the_log(step: Step[Act]) -> None:
    while True:
        step.log.info("step.flood", text="x" * 79)


def close_its_files(_: Step[Act]) -> None:
    os.closerange(0, 1024)
    time.sleep(LONG_SECONDS)


def write_to_all_files(_: Step[Act]) -> None:
    for file in range(3, 64):
        with suppress(OSError):
            os.write(file, b"\xff" * 64)
    time.sleep(LONG_SECONDS)


def kill_its_parent(step: Step[Act]) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    loop(step)


def eat_memory(_: Step[Act]) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


def exit_at_once(_: Step[Act]) -> None:
    os._exit(0)


def crash(_: Step[Act]) -> None:
    ctypes.string_at(0)


def kill_itself(_: Step[Act]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave_a_thread(_: Step[Act]) -> None:
    threading.Thread(target=time.sleep, args=(LONG_SECONDS,)).start()


def leave_a_child(_: Step[Act]) -> None:
    fork(lambda: time.sleep(LONG_SECONDS))


def return_twice(_: Step[Act]) -> None:
    os.fork()


ENDLESS: Final[Mapping[str, Callable[[Step[Act]], None]]] = {
    act.__name__: act
    for act in (
        loop,
        sleep_in_c,
        read_a_socket,
        wait_for_a_lock,
        fork_one_that_loops,
        fork_many,
        fork_without_an_end,
        daemonize,
        run_a_program,
        ignore_signals,
        stop_itself,
        flood_the_output,
        flood_the_log,
    )
}
"""They have to be killed."""
BRIEF: Final[Mapping[str, Callable[[Step[Act]], None]]] = {
    act.__name__: act
    for act in (
        close_its_files,
        write_to_all_files,
        kill_its_parent,
        eat_memory,
        exit_at_once,
        crash,
        kill_itself,
        leave_a_thread,
        leave_a_child,
        return_twice,
    )
}
"""They end by themselves, or at once."""


def misbehave(step: Step[Act]) -> Acted:
    """The first attempt does what the input says, when there is no file ``wait`` any more; later ones come back."""
    seen(step, "act")
    acts = {**ENDLESS, **BRIEF}
    if step.attempt == 1 and step.input.how in acts:
        while (Path(step.input.folder) / "wait").exists():
            time.sleep(0.01)
        acts[step.input.how](step)
    while step.input.how == "until cancelled" and not step.cancelled:
        time.sleep(0.01)
    return Acted(attempt=step.attempt, pid=os.getpid(), cancelled=step.cancelled)


def misbehave_for_long(step: Step[Act]) -> Acted:
    return misbehave(step)


def misbehave_once(step: Step[Act]) -> Acted:
    return misbehave(step)


def hold_the_lock(step: Step[Act]) -> Acted:
    """Holds the interpreter's lock for as many seconds as the input says."""
    seen(step, "act")
    ctypes.PyDLL(None).sleep(int(step.input.how))
    return Acted(attempt=step.attempt, pid=os.getpid())


def book(step: Step[Act]) -> Acted:
    """Takes effect in three parts; the first attempt dies at the failpoint that the input names."""
    seen(step, "act")
    rules = f"{step.input.how}=kill" if step.attempt == 1 and step.input.how != "fails" else ""
    with failpoints.switched_on(rules):
        for part in PARTS:
            step.effect(DW, _booking(step, part), part=part)
    if step.input.how == "fails":
        raise RuntimeError("no driving licence")
    return Acted(attempt=step.attempt, pid=os.getpid())


def _booking(step: Step[Act], what: str) -> Callable[[sa.Connection], None]:
    def work(db: sa.Connection) -> None:
        row = {"run": step.run_id, "what": what, "pid": os.getpid()}
        db.execute(sa.text("INSERT INTO booked (run, what, pid) VALUES (:run, :what, :pid)"), row)

    return work


def fork_behind_our_back(step: Step[Act]) -> Acted:
    """On a thread of the worker: a copy of it that Python hears nothing of keeps all its files open."""
    if ctypes.PyDLL(None).fork() == 0:
        ctypes.PyDLL(None).sleep(int(LONG_SECONDS))
    seen(step, "act")
    return Acted(attempt=step.attempt, pid=os.getpid())


def make_up(step: Step[Act], was: Outcome[Acted]) -> None:
    seen(step, "undo")


def take_back(step: Step[Act], was: Outcome[Acted]) -> None:
    """Its first attempt dies in the middle of it."""
    seen(step, "undo")
    with failpoints.switched_on("ledger.undo.part.before_commit:2=kill" if step.attempt == 1 else ""):
        for part in reversed(PARTS):
            step.effect(DW, _taking_back(step, part), part=part)


def _taking_back(step: Step[Act], what: str) -> Callable[[sa.Connection], None]:
    def work(db: sa.Connection) -> None:
        which = {"run": step.run_id, "what": what}
        db.execute(sa.text("DELETE FROM booked WHERE run = :run AND what = :what"), which)
        db.execute(sa.text("INSERT INTO taken_back (run, what) VALUES (:run, :what)"), which)

    return work


def is_made_up(step: Step[Act]) -> bool:
    seen(step, "verify")
    return True


class H(Enum):
    ACTING = auto()
    ROLLING_BACK = auto()
    DONE = auto()
    UNDONE = auto()


def finished(saga: Saga[H, Act]) -> Saga[H, Act]:
    saga.rolls_back(H.ROLLING_BACK).to(H.UNDONE)
    saga.final(H.DONE, H.UNDONE)
    return saga


hostile = Saga("hostile", version=1, states=H, input=Act, start=H.ACTING)
hostile.at(H.ACTING).run(misbehave, retry=Retry(1), timeout=seconds(TIMEOUT_SECONDS), isolation="process").undo(
    make_up, verify=is_made_up
).then(H.DONE, failed=H.ROLLING_BACK)
finished(hostile)

patient = Saga("patient", version=1, states=H, input=Act, start=H.ACTING)
patient.at(H.ACTING).run(
    misbehave_for_long, retry=Retry(3, first=seconds(0.05)), timeout=minutes(5), isolation="process"
).undo(make_up).then(H.DONE, failed=H.ROLLING_BACK)
finished(patient)

once = Saga("once", version=1, states=H, input=Act, start=H.ACTING)
once.at(H.ACTING).run(misbehave_once, promise="manual", timeout=minutes(5), isolation="process").undo(make_up).then(
    H.DONE
)
finished(once)

holder = Saga("holder", version=1, states=H, input=Act, start=H.ACTING)
holder.at(H.ACTING).run(hold_the_lock, timeout=minutes(5), isolation="process").undo(make_up).then(H.DONE)
finished(holder)

booking = Saga("booking", version=1, states=H, input=Act, start=H.ACTING)
booking.at(H.ACTING).run(
    book, promise="effect", retry=Retry(2, first=seconds(0.01)), timeout=minutes(5), isolation="process"
).undo(take_back, retry=Retry(5, first=seconds(0.01))).then(H.DONE, failed=H.ROLLING_BACK)
finished(booking)

leaky = Saga("leaky", version=1, states=H, input=Act, start=H.ACTING)
leaky.at(H.ACTING).run(fork_behind_our_back, timeout=minutes(5)).undo(make_up).then(H.DONE)
finished(leaky)
