"""How one host knows that a worker is dead: a file whose lock the kernel frees when its process ends.

A POSIX record lock, for flock would stay held in a child that user code forks. It has a trap: closing *any*
descriptor of the file drops the lock, so in the process that holds it the file is opened once, and never to look.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from saga_engine.errors import SettingsError
from saga_engine.failpoints import hit

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_mine: set[tuple[int, int]] = set()
"""(device, inode) of the lives of this process."""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a worker, from `begin` to `end` or to the end of its process; its row keeps path to boot_id."""

    path: Path
    device: int
    inode: int
    boot_id: str
    _process: int
    _file: int

    @classmethod
    def begin(cls, directory: Path) -> Life:
        """Make a file of its own in *directory*/saga and lock it. SettingsError where that cannot be done."""
        try:
            home = directory / "saga"
            home.mkdir(mode=0o700, exist_ok=True)
            path = home / secrets.token_hex(16)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"No file for the worker's sign of life can be made in {directory}: {error.strerror}. "
                "Name a private directory on a local disk in XDG_RUNTIME_DIR."
            ) from error
        # The first byte: the others are for the wardens of its processes, which are part of its life (`hold`).
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        hit("runtime.life.locked")
        found = os.fstat(file)
        _mine.add((found.st_dev, found.st_ino))
        return cls(path, found.st_dev, found.st_ino, this_boot(), os.getpid(), file)

    def end(self) -> None:
        """Remove the file, once: its row says that this life has ended. In a forked child this does nothing."""
        if os.getpid() != self._process:
            return
        self.path.unlink(missing_ok=True)
        hit("runtime.life.unlinked")
        _mine.discard((self.device, self.inode))
        os.close(self._file)


def hold(path: Path) -> int:
    """Share the life of the worker whose file *path* is: it is not dead before this process has ended, too.

    Returns the open file, which stays open; OSError where that life is over: somebody may know it by now. The lock is
    on a byte of its own, at the process id.
    """
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.lockf(file, fcntl.LOCK_EX, 1, os.getpid())
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1)
    except OSError:  # the worker has it, and whoever looks from now on finds ours, too
        return file
    os.close(file)
    raise ProcessLookupError(f"the worker whose life is {path} has ended")


def is_dead(path: Path, device: int, inode: int, boot_id: str) -> bool | None:
    """True when all processes that held this life are gone, False when one is there, None when nobody can tell here.

    None for another boot or host, a file that is gone or another one, one we may not open, and a life of this very
    process: then only the lease counts (PROTOCOL, death lock).
    """
    if boot_id == "" or boot_id != this_boot() or (device, inode) in _mine:
        return None
    try:
        found = path.lstat()
        if (found.st_dev, found.st_ino) != (device, inode):
            return None
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        opened = os.fstat(file)
        if (opened.st_dev, opened.st_ino) != (device, inode):
            return None
        return _is_free(file)
    finally:
        os.close(file)


def row_is_dead(row: Any) -> bool:  # noqa: ANN401  a row of saga_incarnations
    """True where this host knows that the process of an incarnation is gone; else its lease counts."""
    return is_dead(Path(row.lock_file), row.lock_device, row.lock_inode, row.boot_id) is True


def runtime_directory() -> Path:
    """Where this user's processes keep what must not outlive a boot.

    $XDG_RUNTIME_DIR, else /run/user/UID, else a private directory under the one for temporary files. SettingsError
    where the last is not private: another user may have made it.
    """
    named = os.environ.get("XDG_RUNTIME_DIR")
    for directory in ([Path(named)] if named else []) + [Path(f"/run/user/{os.getuid()}")]:
        if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
            return directory
    return _private(Path(tempfile.gettempdir()) / f"saga-{os.getuid()}")


def this_boot() -> str:
    """The id of the boot that this host is in; empty where the system does not say, and then no death is known."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


def host() -> str:
    """The name of this host, for rows and people."""
    return socket.gethostname()


def _is_free(file: int) -> bool | None:
    try:
        # Shared, so that two who look at the same time do not take each other for the worker.
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two is the system's choice (man 2 fcntl)
        return False
    except OSError:
        return None
    return True


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SettingsError(
            f"{directory} is not private to this user. Remove it, or name a private directory in XDG_RUNTIME_DIR."
        )
    return directory
