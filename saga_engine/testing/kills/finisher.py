"""A process that lives over many trials and ends what others were killed in: opening a store is half a short life."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from saga_engine.testing.kills.forks import LIFE_SECONDS, Child, Ending, Tell, fork
from saga_engine.testing.kills.play import Play


class Finisher:
    """Takes runs of one play to their end, and checks them, in a process of its own; a new one when that breaks."""

    def __init__(self, play: Play, log: Path) -> None:
        self._play, self._log = play, log
        self._child: Child | None = None
        self._ours: socket.socket | None = None

    def finish(self, key: str, told: Sequence[Any]) -> list[str] | Ending:
        """What is wrong with the run once it has ended; or how the process has ended that was to find out."""
        if self._child is None or self._ours is None:
            self._ours, theirs = socket.socketpair()
            self._child = fork(partial(_serve, self._play, theirs, self._ours), self._log)
            theirs.close()
        answer = b""
        # It may have died of an earlier order only now; then it hears nothing, or no more.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._ours.sendall(f"{json.dumps([key, [*told]])}\n".encode())
            while not answer.endswith(b"\n") and (more := self._ours.recv(1 << 16)):
                answer += more
        if not answer.endswith(b"\n"):
            return self.close() or Ending(0, [])
        problems: list[str] = json.loads(answer)
        return problems

    def close(self) -> Ending | None:
        """Let the process end; how it did, None where there was none."""
        if self._child is None or self._ours is None:
            return None
        # Not only closed here: processes that were forked since hold it, too.
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()
        ending, self._child, self._ours = self._child.ended(), None, None
        return ending


def _serve(play: Play, theirs: socket.socket, ours: socket.socket, _tell: Tell) -> None:
    ours.close()  # else the orders would never end, though whoever gives them has died
    signal.alarm(0)
    with play.open() as engine, theirs, theirs.makefile("rw") as lines:
        for line in lines:
            signal.alarm(LIFE_SECONDS)
            key, told = json.loads(line)
            play.act(engine, key, told.append)
            lines.write(json.dumps(play.problems(engine, key, told)) + "\n")
            lines.flush()
            signal.alarm(0)
