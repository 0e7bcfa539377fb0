"""A saga whose step does what its input says, and tells a folder when it begins: tests make its tasks suspects."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from saga_engine import Frozen, Retry, Saga, Step, seconds

PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.005


class S(Enum):
    ONE = auto()
    TWO = auto()
    DONE = auto()


class How(Frozen):
    how: str = "returns"
    folder: str = ""


class Value(Frozen):
    pid: int
    attempt: int


def waits(step: Step[How]) -> None:
    """Until the test says go, whatever is asked of it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (Path(step.input.folder) / "go").exists() and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)


def waits_politely(step: Step[How]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not step.cancelled and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
    raise RuntimeError("cancelled")


def kills_its_process(_: Step[How]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waits_once(step: Step[How]) -> None:
    if step.attempt == 2:
        waits(step)


def loops_once(step: Step[How]) -> None:
    while step.attempt == 2:
        pass


def raises_once(step: Step[How]) -> None:
    if step.attempt == 2:
        raise ValueError("again")


def leaves_a_thread(_: Step[How]) -> None:
    threading.Thread(target=time.sleep, args=(PATIENCE_SECONDS,), daemon=True).start()


def leaves_a_program(_: Step[How]) -> None:
    subprocess.Popen(["sleep", str(PATIENCE_SECONDS)], start_new_session=True)


ACTS: Final[dict[str, Callable[[Step[How]], None]]] = {
    "returns": lambda _: None,
    "waits": waits,
    "waits politely": waits_politely,
    "waits once": waits_once,
    "kills its process": kills_its_process,
    "loops once": loops_once,
    "raises once": raises_once,
    "leaves a thread": leaves_a_thread,
    "leaves a program": leaves_a_program,
}


def one(step: Step[How]) -> Value:
    if step.input.folder:
        (Path(step.input.folder) / f"{step.run_id}.{step.attempt}").write_text(str(os.getpid()))
    ACTS[step.input.how](step)
    return Value(pid=os.getpid(), attempt=step.attempt)


def two(step: Step[How]) -> Value:
    return Value(pid=os.getpid(), attempt=step.attempt)


suspected = Saga("suspected", version=1, states=S, input=How, start=S.ONE)
suspected.at(S.ONE).run(one, timeout=seconds(2), retry=Retry(3, first=seconds(0.01))).reads_only().then(S.TWO)
suspected.at(S.TWO).run(two).reads_only().then(S.DONE)
suspected.final(S.DONE)
