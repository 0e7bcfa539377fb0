"""Where a SQLite store may lie, who may use its files, and which journal it keeps."""

from __future__ import annotations

import errno
import grp
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from saga_engine.errors import SettingsError, StoreError, StoreForbidden, StoreFull, StoreUnreachable

# Locks there are lost or not seen by other hosts; https://www.sqlite.org/howtocorrupt.html, section 2.
NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "vboxsf",
})  # fmt: skip
MENDED: Final = {(3, 44): 6, (3, 50): 7}
MOUNTS: Final = Path("/proc/self/mountinfo")
GROUP_BITS: Final = 0o2070
"""Of a directory: set-gid, so that a journal belongs to the group whoever makes it."""


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine brings: the SQLite library's version and the mount table."""

    library: tuple[int, int, int]
    mounts: str

    @classmethod
    def here(cls) -> Self:
        """What this machine has; without a mount table (not Linux) network file systems go unseen."""
        mounts = MOUNTS.read_text(errors="surrogateescape") if MOUNTS.exists() else ""
        major, minor, patch = sqlite3.sqlite_version_info
        return cls((major, minor, patch), mounts)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the store: its owner alone, or a group too."""

    gid: int | None

    @classmethod
    def of(cls, group: str | None) -> Self:
        """Access for the owner and *group*; SettingsError where no such group exists."""
        if group is None:
            return cls(None)
        try:
            return cls(grp.getgrnam(group).gr_gid)
        except KeyError:
            raise SettingsError(
                f"[store] group: this machine has no group {group!r}. Make it, or name another."
            ) from None

    @property
    def file_mode(self) -> int:
        """Of the database and the locks; SQLite gives its journal the mode of the database."""
        return 0o600 if self.gid is None else 0o660


def wal_is_safe(library: tuple[int, int, int]) -> bool:
    """True when *library* can share a WAL among connections.

    3.7.0 to 3.51.2 can corrupt it (https://www.sqlite.org/wal.html, "the WAL-reset bug"); 3.50.7 and 3.44.6 carry the
    mend, 3.52.0 was withdrawn.
    """
    mended_from = MENDED.get(library[:2])
    if mended_from is not None:
        return library[2] >= mended_from
    return library >= (3, 51, 3) and library != (3, 52, 0)


def network_file_system(path: Path, mounts: str) -> str | None:
    """The type of the network file system that *path* (absolute, resolved) lies on; None on a local disk.

    *mounts* is the text of /proc/self/mountinfo (man 5 proc): statfs cannot tell one FUSE from another.
    """
    kind, depth = "", -1
    for line in mounts.splitlines():
        place, _, source = line.partition(" - ")
        point = Path(_unescaped(place.split(" ")[4]))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = source.split(" ")[0], len(point.parts)
    return kind if kind in NETWORK else None


def prepare(path: Path, url: str, access: Access, host: Host, *, create: bool) -> None:
    """Make the directory of *path* where it is missing, and refuse a place where no store can live."""
    kind = network_file_system(path, host.mounts)
    if kind is not None:
        raise StoreError(
            f"The store {url} would lie on a network file system ({kind}), where SQLite's locks do not hold. "
            "Put it on a local disk, or use PostgreSQL."
        )
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "no ordinary file"
        raise StoreUnreachable(url=url, reason=f"{path} is {what}; name a file, such as saga.db")
    if not create and not path.exists():
        raise StoreUnreachable(url=url, reason=f"there is no file {path}; `saga run` or `saga db upgrade` makes one")
    if path.exists() and not _may(path, os.R_OK | os.W_OK):
        how = "may only be read" if _may(path, os.R_OK) else "may not even be read"
        raise StoreForbidden(url=url, reason=f"{path} {how}")
    _prepare_directory(path.parent, url, access)


def open_for_all(path: Path, access: Access) -> int:
    """Open *path* to write, made with exactly the mode and group of *access* where it is missing."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        pass
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, access.file_mode)
    except FileExistsError:  # made by another process just now
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    _give(file, access)
    return file


def make_database(path: Path, access: Access) -> None:
    """Make the empty file of a database. Only under the store's write lock, and never for a file that exists.

    Closing any descriptor of a file drops all POSIX locks that this process has on it, SQLite's too.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, access.file_mode)
    try:
        _give(file, access)
    finally:
        os.close(file)


@contextmanager
def system_errors(url: str) -> Iterator[None]:
    """Say what the operating system refuses as an error of the store."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(url=url, reason=reason) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StoreForbidden(url=url, reason=reason) from error
        raise StoreUnreachable(url=url, reason=reason) from error


def _prepare_directory(directory: Path, url: str, access: Access) -> None:
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        if access.gid is not None:
            os.chown(directory, -1, access.gid)
            directory.chmod(0o700 | GROUP_BITS)
    elif access.gid is not None:
        # Somebody else's directory is not ours to open up.
        found = directory.stat()
        if found.st_gid != access.gid or found.st_mode & GROUP_BITS != GROUP_BITS:
            group = grp.getgrgid(access.gid).gr_name
            raise StoreForbidden(
                url=url,
                reason=f"its directory is not open to the group: chgrp {group} {directory} && chmod 2770 {directory}",
            )


def _may(path: Path, mode: int) -> bool:
    """SQLite would open what may only be read, and say nothing before the first write."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _give(file: int, access: Access) -> None:
    """The umask took bits away when the file was made."""
    if access.gid is not None:
        os.fchown(file, -1, access.gid)
    os.fchmod(file, access.file_mode)


def _unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
