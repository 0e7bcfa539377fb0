"""A folder with settings and a saga, in which the program is run as a user would run it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from saga_engine.settings import system_user

HERE = Path(__file__).parent
SECONDS_MAX = 30.0
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that a typed Ctrl-C becomes a signal
os.execv(sys.executable, [sys.executable, "-m", "saga_engine", *sys.argv[1:]])
"""
SETTINGS = """
store = "{store}"
[roles]
sender = ["{user}"]
[connections]
shop = "sqlite:///shop.db"
[limits]
poll_seconds = 0.05
grace_seconds = 1.0
"""


class Done(NamedTuple):
    """How a process ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


class Server:
    """Processes of the program, forked off one that has imported everything. *empty* is a store just made."""

    def __init__(self, empty: Path) -> None:
        self.empty = empty
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, job: dict[str, Any]) -> int:
        """The exit code of one use of the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=SECONDS_MAX)


@dataclass
class Place:
    """A user's folder. Call it with arguments to use the program there."""

    folder: Path
    server: Server
    environment: dict[str, str]

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Done:
        return self._done(arguments, stdin, environment)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The program as a process that runs beside the test."""
        return subprocess.Popen(
            [sys.executable, "-m", "saga_engine", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finished(self, *arguments: str, seconds: float = SECONDS_MAX, **environment: str) -> Done:
        """The program as a process of its own, to its end."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=seconds)
        return Done(process.returncode, out, err)

    def patched(self, patch: str, *arguments: str) -> Done:
        """The same, once *patch* has been done to the program's modules, in its process alone."""
        return self._done(arguments, patch=patch)

    @contextmanager
    def terminal(self, *arguments: str) -> Iterator[Terminal]:
        """The program as a process on a terminal, of 100 columns if the environment does not say otherwise."""
        ours, theirs = pty.openpty()
        environment = {"COLUMNS": "100", **self.environment, "LINES": "40", "TERM": "xterm-256color"}
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            os.close(ours)

    def _done(
        self, arguments: Sequence[str], stdin: str = "", environment: Mapping[str, str] | None = None, patch: str = ""
    ) -> Done:
        files = [self.folder.parent / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        for file in files[1:]:
            file.write_text("")
        code = self.server.run(
            {
                "arguments": arguments,
                "folder": str(self.folder),
                "environment": {**self.environment, **(environment or {})},
                "files": list(map(str, files)),
                "patch": patch,
            }
        )
        return Done(code, files[1].read_text(), files[2].read_text())

    def started(self, *inputs: str, to: str = "Ann") -> str:
        """A run that has been worked on until it waits; its name."""
        given = [word for pair in (f"to={to}", *inputs) for word in ("--input", pair)]
        done = self("run", "parcel", *given, "--work", "--json", "-q")
        assert done.code in {0, 5, 8}, done
        return str(done.json["item"]["name"])

    def work(self) -> None:
        """Do what is due."""
        assert self("worker", "--until-idle", "-q") == Done(0, "", "")

    def digest(self, run: str) -> str:
        """What a verdict on the run must carry."""
        return str(self("approvals", run, "--json").json["items"][0]["digest"])


@dataclass
class Terminal:
    """What a person at a terminal sees and types."""

    process: subprocess.Popen[bytes]
    file: int
    raw: str = ""

    @property
    def seen(self) -> str:
        """Everything so far, without colours and movements of the cursor."""
        return ANSI.sub("", self.raw).replace("\r", "")

    def until(self, text: str, seconds: float = SECONDS_MAX) -> None:
        """Read until *text* is there."""
        self._read(lambda: text in self.seen, seconds)
        assert text in self.seen, self.seen

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.file, f"{text}\n".encode())

    def interrupt(self) -> int:
        """Type Ctrl-C until it is heard; the exit code. Readline does not hear one that comes just as it begins."""
        until = time.monotonic() + SECONDS_MAX
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(OSError):  # it has ended meanwhile
                os.write(self.file, b"\x03")
            self._read(lambda: False, 0.5)
        return self.process.wait(SECONDS_MAX)

    def end(self, seconds: float = SECONDS_MAX) -> int:
        """Read to the end; the exit code."""
        self._read(lambda: False, seconds)
        return self.process.wait(SECONDS_MAX)

    def _read(self, enough: Callable[[], bool], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not enough() and time.monotonic() < limit:
            if not select.select([self.file], [], [], 0.2)[0]:
                continue
            try:
                found = os.read(self.file, 65_536)
            except OSError:  # Linux says EIO when nobody has the other side any more
                return
            if not found:
                return
            self.raw += found.decode(errors="replace")


def make(folder: Path, server: Server, store: str = "sqlite:///.saga/saga.db") -> Place:
    """A folder with the parcel saga, settings, and a SQLite store; its environment knows nothing of the real user."""
    (folder / "workflows").mkdir(parents=True)
    if server.empty.exists():
        shutil.copytree(server.empty, folder / ".saga")
    shutil.copy(HERE / "parcel.py", folder / "workflows" / "parcel.py")
    (folder / "shop.db").touch()
    (folder / "saga.toml").write_text(SETTINGS.format(store=store, user=system_user()))
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL", "PYTHONPATH"}}
    runtime = folder.parent / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment = {
        **kept,
        "HOME": str(folder.parent / "home"),
        "XDG_STATE_HOME": str(folder.parent / "state"),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONWARNINGS": "error",
    }
    return Place(folder, server, environment)
