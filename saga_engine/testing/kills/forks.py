"""Processes that are forked from this one, which has everything imported and nothing open: each may be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

BROKE: Final = 70
"""The exit code of a child whose work raised; the traceback is in the log."""
LIFE_SECONDS: Final = 300
"""A child that takes longer hangs, and is ended."""

Tell: TypeAlias = Callable[[Any], None]
"""Say something, as JSON; what was said survives the death of who said it."""
Work: TypeAlias = Callable[[Tell], object]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a child has ended, and what it had said."""

    code: int
    """As ``os.waitstatus_to_exitcode`` gives it: negative for a signal."""
    said: list[Any]

    @property
    def killed(self) -> bool:
        """True when SIGKILL ended it."""
        return self.code == -signal.SIGKILL


class Child:
    """A forked process. Whoever forked it asks ``ended`` once, so that no zombie stays."""

    def __init__(self, pid: int, said: int) -> None:
        self.pid = pid
        self._said = said
        self._code: int | None = None

    def ended(self) -> Ending:
        """Wait for its end."""
        while self._code is None:
            self._wait(0)
        text = b"".join(iter(lambda: os.read(self._said, 1 << 16), b"")).decode()
        os.close(self._said)
        return Ending(self._code, [json.loads(line) for line in text.splitlines()])

    def stopped(self) -> bool:
        """Wait until it is stopped by SIGSTOP: True; or has ended: False."""
        return not self._wait(os.WUNTRACED)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._code is None:
            os.kill(self.pid, number)

    def _wait(self, options: int) -> bool:
        """Wait once; whether it has ended."""
        _, status = os.waitpid(self.pid, options)
        if os.WIFSTOPPED(status):
            return False
        self._code = os.waitstatus_to_exitcode(status)
        return True


def fork(work: Work, log: Path, seconds: int = LIFE_SECONDS) -> Child:
    """Do *work* in a process of its own. What it prints and logs goes to the end of the file *log*.

    This process has no threads, and no store or target open: neither survives a fork.
    """
    # A file, not a pipe: nobody has to read it meanwhile, and a process that user code leaves behind holds up nobody.
    with tempfile.TemporaryFile(dir=log.parent) as file:
        said = os.dup(file.fileno())
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be(work, said, log, seconds)
    os.lseek(said, 0, os.SEEK_SET)
    return Child(pid, said)


def _be(work: Work, said: int, log: Path, seconds: int) -> NoReturn:
    """The child: nothing of the parent's runs in it but *work*."""
    status = BROKE
    try:
        signal.alarm(seconds)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        place = 0

        def tell(what: Any) -> None:  # noqa: ANN401  any JSON
            nonlocal place
            line = f"{json.dumps(what)}\n".encode()
            place += os.pwrite(said, line, place)

        work(tell)
        status = 0
    except BaseException:  # noqa: BLE001  whatever it was: the parent's code must not run on in the child
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
