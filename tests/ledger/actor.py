"""A process that forks one child per order, so that a child can be killed or stopped anywhere without a slow start.

Orders come as JSON, one a line; the answer is a line too. {"run": {...}} starts a child and answers its pid;
{"wait": pid} answers how it ended: "exit 0", "killed", "stopped"; {"warm": url} goes through a step and its undo in
this process: what is imported then, no child has to import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from saga_engine import failpoints
from saga_engine.errors import Superseded
from saga_engine.ledger import connect, effect
from tests.ledger.support import Loaded, apply, insert, key, undo_all

SUPERSEDED = 3
FAILED = 4


def forward(target: Engine, task: str, token: int) -> None:
    effect.open_head(target, key(token, task=task))
    for part in "ab":
        apply(target, key(token, task=task), part)


def back(target: Engine, task: str, token: int) -> None:
    undo_all(target, key(token, task=task))


def sleep_in_server(target: Engine, task: str, token: int) -> None:
    """A statement that goes on in the server when its client is dead."""

    def work(db: Connection) -> Loaded:
        insert("a", task)(db)
        db.execute(text("SELECT pg_sleep(60)" if db.dialect.name == "postgresql" else "SELECT sleep(60)"))
        return Loaded(rows=1)

    effect.open_head(target, key(token, task=task))
    apply(target, key(token, task=task), "a", work)


ACTS = {"forward": forward, "back": back, "sleep_in_server": sleep_in_server}


def child(order: dict[str, Any]) -> int:
    target = connect.open_target("dw", order["url"], lease=timedelta(seconds=order["lease"]))
    try:
        with failpoints.switched_on(order["failpoints"]):
            ACTS[order["act"]](target, order["task"], order["token"])
    except Superseded:
        return SUPERSEDED
    return 0


def start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        status = FAILED  # by any error
        try:
            signal.alarm(100)  # whatever happens, nobody is left behind
            status = child(order)
        finally:
            os._exit(status)
    return pid


def wait(pid: int) -> str:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "stopped"
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}"
    return f"exit {os.WEXITSTATUS(status)}"


def warm(url: str) -> str:
    target = connect.open_target("dw", url)
    forward(target, "warm", 1)
    back(target, "warm", 1)
    target.dispose()
    return "warm"


def answer(order: dict[str, Any]) -> object:
    match order:
        case {"run": child_order}:
            return start(child_order)
        case {"wait": pid}:
            return wait(pid)
        case _:
            return warm(order["warm"])


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(f"{answer(json.loads(line))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
