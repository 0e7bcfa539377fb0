"""A TCP proxy before PostgreSQL or MariaDB that loses the connection at a chosen COMMIT (hazard T3)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from sqlalchemy.engine import URL

COMMIT = {"postgresql": b"COMMIT\0", "mysql": b"\x07\0\0\0\x03COMMIT"}
"""As it is sent."""
PLAIN = {"postgresql": {"sslmode": "disable", "gssencmode": "disable"}, "mysql": {"ssl_disabled": "true"}}
"""What keeps a driver from encrypting."""
CHUNK_BYTES = 1 << 16


class Loss(Enum):
    REQUEST = "the server never hears of the COMMIT, and sees the connection end"
    REPLY = "the server commits, and nobody hears of it"
    HALF_OPEN = "the server never hears of the COMMIT, nor that its client is gone"


class Proxy:
    """Forwards to *server*; loses the connection as *loss* says at the *at*-th COMMIT from the call of ``lose_at``."""

    def __init__(self, server: URL) -> None:
        kind = server.get_backend_name()
        self._server = (server.host or "127.0.0.1", server.port or {"postgresql": 5432, "mysql": 3306}[kind])
        self._commit = COMMIT[kind]
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = server.set(host="127.0.0.1", port=port, query=PLAIN[kind])
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = [self._listener]
        self._loss: Loss | None = None
        self._at = 0
        self.commits = 0
        self.lost = 0
        self.answers = True
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_at(self, loss: Loss, at: int = 1) -> None:
        with self._lock:
            self._loss, self._at, self.commits = loss, at, 0

    def close(self) -> None:
        with self._lock:
            for each in self._sockets:
                _end(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.answers:
                client.close()
                continue
            server = socket.create_connection(self._server)
            with self._lock:
                self._sockets += [client, server]
            swallowing = threading.Event()
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(client, server, swallowing), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, swallowing: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                loss = self._due() if self._commit in data else None
                if loss is Loss.REPLY:
                    swallowing.set()
                elif loss is Loss.HALF_OPEN:
                    _end(client)
                    return
                elif loss is Loss.REQUEST:
                    break
                server.sendall(data)
        _end(client)
        _end(server)

    def _to_client(self, client: socket.socket, server: socket.socket, swallowing: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if swallowing.is_set():
                    break
                client.sendall(data)
        _end(client)

    def _due(self) -> Loss | None:
        with self._lock:
            self.commits += 1
            if self._loss is None or self.commits != self._at:
                return None
            self.lost += 1
            return self._loss


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
