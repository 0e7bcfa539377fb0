"""A TCP proxy before a database server that loses the connection at a chosen COMMIT (hazard T3).

What a COMMIT looks like is the affair of a `Wire`, one for each protocol.
"""

from __future__ import annotations

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final

from sqlalchemy.engine import URL

CHUNK_BYTES: Final = 1 << 16


class Loss(Enum):
    REQUEST = "the server never hears of the COMMIT, and sees the connection end"
    REPLY = "the server commits, and nobody hears of it"
    HALF_OPEN = "the server never hears of the COMMIT, nor that its client is gone"
    LATE = "the client sees the connection end, and the server hears of the COMMIT a while later"
    SILENCE = "the server never hears of the COMMIT, and neither side hears of the other again"


class Wire(ABC):
    """What one client sends over one connection, as it comes in, in pieces of any size."""

    @abstractmethod
    def commits(self, data: bytes) -> bool:
        """Whether a COMMIT is asked for by a message that ends within *data*."""


class Postgres(Wire):
    """A start-up message without a type, then messages of a type (1 byte) and a length (4 bytes, its own included).

    A transaction that only reads commits nothing. T2's single statement is a transaction by itself (store/guard.py).
    """

    def __init__(self) -> None:
        self._unread = b""
        self._begun = self._reads = self._bound = False
        self._at_once: set[bytes] = set()
        """Names of statements, as they were parsed, that are transactions by themselves."""

    def commits(self, data: bytes) -> bool:
        self._unread += data
        found = False
        while (size := self._size()) and len(self._unread) >= size:
            message, self._unread = self._unread[:size], self._unread[size:]
            text = message[5:].rstrip(b"\0; ").upper() if self._begun and message[:1] == b"Q" else b""
            if text.startswith(b"BEGIN"):
                self._reads = text.endswith(b"READ ONLY")
            found = found or (text == b"COMMIT" and not self._reads) or self._executes(message)
            self._begun = True
        return found

    def _executes(self, message: bytes) -> bool:
        """Whether such a statement is executed: parsed at some time, bound to its values, executed."""
        kind, (first, second) = message[:1], [*message[5:].split(b"\0", 2), b"", b""][:2]
        if kind == b"P":
            (self._at_once.add if b"WITH guard_heads" in second else self._at_once.discard)(first)
        elif kind == b"B":
            self._bound = second in self._at_once
        return kind == b"E" and self._bound

    def _size(self) -> int:
        """Of the next message; 0 while its head is not all there."""
        kind = 1 if self._begun else 0
        head = self._unread[kind : kind + 4]
        return kind + int.from_bytes(head) if len(head) == 4 else 0


class Mysql(Wire):
    """Packets of a length (3 bytes, its own head not included) and a number; a query is a packet that begins with 3."""

    def __init__(self) -> None:
        self._unread = b""

    def commits(self, data: bytes) -> bool:
        self._unread += data
        found = False
        while len(self._unread) >= 4 and len(self._unread) >= (size := 4 + int.from_bytes(self._unread[:3], "little")):
            packet, self._unread = self._unread[4:size], self._unread[size:]
            found = found or (packet[:1] == b"\x03" and packet[1:].rstrip(b"; ").upper() == b"COMMIT")
        return found


WIRES: Final[dict[str, Callable[[], Wire]]] = {"postgresql": Postgres, "mysql": Mysql}
PORTS: Final = {"postgresql": 5432, "mysql": 3306}
PLAIN: Final = {"postgresql": {"sslmode": "disable", "gssencmode": "disable"}, "mysql": {"ssl_disabled": "true"}}
"""What keeps a driver from encrypting."""


class _Line:
    """One client and its connection to the server. *mute*: replies are dropped; *silent*: nothing passes any more."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.mute, self.silent = threading.Event(), threading.Event()
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def end(self) -> None:
        _end(self.client)
        _end(self.server)


class Proxy:
    """Forwards to *server*; loses the connection as *loss* says at the *at*-th COMMIT from the call of ``lose_at``."""

    def __init__(self, server: URL) -> None:
        kind = server.get_backend_name()
        self._server = (server.host or "127.0.0.1", server.port or PORTS[kind])
        self._wire = WIRES[kind]
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = server.set(host="127.0.0.1", port=port, query=PLAIN[kind])
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._loss: Loss | None = None
        self._at = 0
        self._goes_down = False
        self.commits = 0
        self.lost = 0
        self.late = threading.Event()
        """Set when a late COMMIT may go on its way."""
        self.answers = True
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_at(self, loss: Loss, at: int = 1, *, goes_down: bool = False) -> None:
        """*goes_down*: from that COMMIT on nobody gets through, until somebody sets ``answers`` again."""
        with self._lock:
            self._loss, self._at, self._goes_down, self.commits = loss, at, goes_down, 0

    def cut_all(self, but: _Line | None = None) -> None:
        """End every connection that is there now."""
        with self._lock:
            there, self._lines = self._lines, [line for line in self._lines if line is but]
        for line in there:
            if line is not but:
                line.end()

    def close(self) -> None:
        self.cut_all()
        _end(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.answers:
                client.close()
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:  # it is down: so is the proxy, for this client
                client.close()
                continue
            line = _Line(client, server)
            with self._lock:
                self._lines.append(line)
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(line,), daemon=True).start()

    def _to_server(self, line: _Line) -> None:
        wire = self._wire()
        with suppress(OSError):
            while data := line.client.recv(CHUNK_BYTES):
                loss = self._due(line) if wire.commits(data) else None
                if loss is Loss.REPLY:
                    line.mute.set()
                elif loss is Loss.SILENCE:
                    line.silent.set()
                    return
                elif loss is Loss.HALF_OPEN:
                    _end(line.client)
                    return
                elif loss is Loss.REQUEST:
                    break
                elif loss is Loss.LATE:
                    _end(line.client)
                    self.late.wait()
                line.server.sendall(data)
        line.end()

    def _to_client(self, line: _Line) -> None:
        with suppress(OSError):
            while (data := line.server.recv(CHUNK_BYTES)) and not line.mute.is_set():
                line.client.sendall(data)
        if not line.silent.is_set():
            _end(line.client)

    def _due(self, line: _Line) -> Loss | None:
        with self._lock:
            self.commits += 1
            if self._loss is None or self.commits != self._at:
                return None
            self.lost += 1
            loss, goes_down = self._loss, self._goes_down
        if goes_down:
            self.answers = False
            self.cut_all(but=line)
        return loss


@contextmanager
def proxy_before(server: URL) -> Iterator[Proxy]:
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
