"""A line between two processes: one frame of JSON after the other, each with its length before it."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

Frame = dict[str, Any]

CHUNK_BYTES: Final = 64 * 1024
FILES_MAX: Final = 2
_LENGTH: Final = struct.Struct(">I")

_ours: WeakSet[socket.socket] = WeakSet()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a line: ours, which no process that user code forks from this one keeps open, and theirs."""
    ours, theirs = socket.socketpair()
    _ours.add(ours)
    return ours, theirs


def _leave_to_parent() -> None:
    """Else the other side would not see it when we die."""
    for end in list(_ours):
        end.close()


os.register_at_fork(after_in_child=_leave_to_parent)


class WireBroken(Exception):
    """Nobody hears the other side any more, or what it says makes no sense."""


class Wire:
    """One end of a line; it hears no frame longer than *bytes_max*. Threads may share it for sending."""

    def __init__(self, end: socket.socket, bytes_max: int) -> None:
        self._end = end
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._sending = Lock()
        self._inode = os.fstat(end.fileno()).st_ino
        self.silent = False
        """The line ended for whoever waited at this end, because nothing came in the time that its socket has."""

    def fileno(self) -> int:
        """For ``selectors``."""
        return self._end.fileno()

    @property
    def is_open(self) -> bool:
        """False once this end was closed here."""
        return self._end.fileno() >= 0

    def send(self, frame: Frame) -> None:
        """Send a frame; ``WireBroken`` where nobody hears it."""
        text = json.dumps(frame, default=str).encode()
        try:
            # A step may close whatever it finds open, and open something else under that number.
            if os.fstat(self._end.fileno()).st_ino != self._inode:
                raise WireBroken("the line was closed")
            with self._sending:
                self._end.sendall(_LENGTH.pack(len(text)) + text)
        except (OSError, ValueError) as error:
            raise WireBroken(f"the line is closed: {type(error).__name__}") from None

    def receive(self) -> Frame | None:
        """Wait for one frame; None at the end of the line."""
        while True:
            for frame in self._frames():
                return frame
            if not self._read():
                return None

    def arrived(self) -> tuple[list[Frame], bool]:
        """What has arrived, now that the line is readable; False where it has ended."""
        goes_on = self._read()
        return list(self._frames()), goes_on

    def has_more(self) -> bool:
        """Whether something has come that nobody has heard yet."""
        if self._buffer:
            return True
        try:
            self._end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            pass
        return True

    def hang_up(self) -> None:
        """End the line for everybody who has it open, here and there."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of this end; whoever shares it goes on."""
        self._end.close()

    def _read(self) -> bool:
        try:
            came = self._came()
        except (OSError, ValueError) as error:
            self.silent = isinstance(error, TimeoutError)
            return False
        self._buffer += came
        return bool(came)

    def _came(self) -> bytes:
        return self._end.recv(CHUNK_BYTES)

    def _frames(self) -> Iterator[Frame]:
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._bytes_max:
                raise WireBroken(f"a frame of {length} bytes is longer than {self._bytes_max}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            text = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _parsed(text)


def _parsed(text: bytes) -> Frame:
    try:
        frame = json.loads(text)
    except ValueError:
        raise WireBroken("a frame is no JSON") from None
    if not isinstance(frame, dict):
        raise WireBroken("a frame is no object")
    return frame


class Door(Wire):
    """A line along which open files can be handed."""

    def __init__(self, end: socket.socket, bytes_max: int) -> None:
        super().__init__(end, bytes_max)
        self._files: list[int] = []

    def hand(self, frame: Frame, *ends: socket.socket) -> None:
        """Send a short frame and open sockets with it."""
        text = json.dumps(frame).encode()
        try:
            with self._sending:
                socket.send_fds(self._end, [_LENGTH.pack(len(text)) + text], [end.fileno() for end in ends])
        except (OSError, ValueError) as error:
            raise WireBroken(f"the line is closed: {type(error).__name__}") from None

    def take_files(self) -> list[int]:
        """The files that have come with the last frame."""
        files, self._files = self._files, []
        return files

    def _came(self) -> bytes:
        came, files, _, _ = socket.recv_fds(self._end, CHUNK_BYTES, FILES_MAX)
        self._files += files
        return came
