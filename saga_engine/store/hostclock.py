"""The time of a SQLite store: the host's clock, held against the clock that nobody can set (PROTOCOL, L3).

A pair of both clocks is kept beside the store, and renewed by every write. Time never goes back behind it. Where the
host's clock has jumped since, the store's time goes on as if it had not: after a jump forward no timer fires early,
until the new time has stood for a while: then it is meant (a machine that slept unknowingly, a clock set right).
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from pathlib import Path
from typing import Final

TOLERANCE_SECONDS: Final = 2.0
"""So far the host's clock may be off and is still followed: leap seconds, small steps of a time server."""
SLEWED: Final = 0.001
"""The part of the time that has passed by which a clock may have been slewed (adjtimex: half of it)."""
BELIEVED_SECONDS: Final = 600.0
"""How long a clock that was set forward must stand there before the store's time follows."""
TICK_SECONDS: Final = 2e-6
"""More than a time of the journal is rounded to."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/time")

_FORM: Final = struct.Struct("<16sddd")
SIZE: Final = _FORM.size + 4
"""Bytes of a pair, its checksum included."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One moment: *told* is the store's time (seconds since 1970), *steady* the clock that nobody can set.

    *ahead_since*, on the steady clock: from when on the host's clock was ahead of the store's time; 0 where it is not.
    """

    boot: bytes
    told: float
    steady: float
    ahead_since: float = 0.0

    def packed(self) -> bytes:
        """As it is kept."""
        text = _FORM.pack(self.boot, self.told, self.steady, self.ahead_since)
        return text + zlib.crc32(text).to_bytes(4)


def unpacked(kept: bytes) -> Pair | None:
    """What was kept; None for what is no pair: nothing yet, or half of one."""
    text, check = kept[: _FORM.size], kept[_FORM.size : SIZE]
    if len(kept) < SIZE or zlib.crc32(text).to_bytes(4) != check:
        return None
    return Pair(*_FORM.unpack(text))


def follow(last: Pair | None, boot: bytes, wall: float, steady: float) -> Pair:
    """The moment at which the host's clock says *wall* and the steady one *steady*, as it follows on *last*."""
    if last is None:
        return Pair(boot, wall, steady)
    passed = steady - last.steady
    if last.boot != boot or passed < 0:
        return Pair(boot, max(wall, last.told), steady)
    expected = last.told + passed
    ahead = wall - expected
    believed = bool(last.ahead_since) and steady - last.ahead_since >= BELIEVED_SECONDS
    if abs(ahead) <= TOLERANCE_SECONDS + passed * SLEWED or (ahead > 0 and believed):
        return Pair(boot, max(wall, last.told), steady)
    return Pair(boot, expected, steady, (last.ahead_since or steady) if ahead > 0 else 0.0)


def steady() -> float:
    """CLOCK_BOOTTIME goes on while the machine sleeps; where there is none, the monotonic clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _boot() -> bytes:
    """What the steady clock belongs to: this boot, and this process's own view of the clock (man 7 time_namespaces)."""
    boot = BOOT_ID.read_bytes() if BOOT_ID.exists() else b""
    namespace = str(NAMESPACE.readlink()).encode() if NAMESPACE.is_symlink() else b""
    return blake2s(boot + namespace, digest_size=16).digest()


class HostClock:
    """Tells the time; *kept* and *keep* read and write the pair, ``keep`` only under the write lock."""

    def __init__(
        self,
        kept: Callable[[], bytes],
        keep: Callable[[bytes], None],
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady,
    ) -> None:
        self._kept, self._keep, self._wall, self._steady = kept, keep, wall, steady
        self._boot = _boot()

    def now(self) -> datetime:
        """The store's time."""
        return datetime.fromtimestamp(self._follow().told, UTC)

    def ahead(self) -> timedelta:
        """How far the host's clock is ahead of the store's time, where it has jumped; else nothing."""
        now = self._follow()
        return timedelta(seconds=self._wall() - now.told) if now.ahead_since else timedelta(0)

    def set(self) -> None:
        """Keep this moment: time goes on from here. Under the write lock.

        No two writes keep the same one, though the host's clock stand or be set back a little: by its moment a line of
        the journal is known for whose it is.
        """
        last = unpacked(self._kept())
        now = follow(last, self._boot, self._wall(), self._steady())
        if last is not None and now.told <= last.told:
            now = replace(now, told=last.told + TICK_SECONDS)
        self._keep(now.packed())

    def _follow(self) -> Pair:
        return follow(unpacked(self._kept()), self._boot, self._wall(), self._steady())
