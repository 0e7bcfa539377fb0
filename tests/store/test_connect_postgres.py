"""The store in PostgreSQL: limits of sessions, lost connections, and answers to COMMIT that never come."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from saga_engine.errors import OutcomeUnknown, StoreBusy, StoreError, StoreUnreachable
from saga_engine.failpoints import switched_on
from saga_engine.store import postgres
from saga_engine.store.connect import Store, open_store, reading, retrying

numbers = Table("numbers", MetaData(), Column("n", Integer, primary_key=True))
BACKEND = text("SELECT pg_backend_pid()")


@dataclass
class Proxy:
    """Stands between a client and the server, and can swallow the request or the answer of one COMMIT."""

    server: tuple[str, int]
    swallow: str = ""
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        """Serve until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            answering = threading.Event()
            answering.set()
            for work in (self._requests, self._answers):
                threading.Thread(target=work, args=(client, server, answering), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, answering: threading.Event) -> None:
        while data := received(client):
            if b"COMMIT" in data and self.swallow == "request":
                break
            if b"COMMIT" in data and self.swallow == "answer":
                answering.clear()
            server.sendall(data)
        hang_up(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, answering: threading.Event) -> None:
        while data := received(server):
            if not answering.is_set():
                break
            client.sendall(data)
        hang_up(client, server)


def received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def hang_up(*peers: socket.socket) -> None:
    for peer in peers:
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)
        peer.close()


@pytest.fixture
def admin(postgres_url: str) -> Iterator[Engine]:
    """A second client of the same database."""
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    made = open_store(postgres_url, lease_seconds=1.5)
    with made.write() as db:
        numbers.create(db)
    yield made
    made.close()


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    url = make_url(postgres_url)
    assert url.host is not None
    between = Proxy((url.host, url.port or 5432))
    serving = threading.Thread(target=between.run)
    serving.start()
    yield between
    between.listener.shutdown(socket.SHUT_RDWR)
    serving.join()
    between.listener.close()


@contextmanager
def behind(proxy: Proxy, postgres_url: str) -> Iterator[Store]:
    url = make_url(postgres_url).set(host="127.0.0.1", port=proxy.port)
    store = open_store(url.render_as_string(hide_password=False))
    try:
        yield store
    finally:
        store.close()


def end_session(admin: Engine, backend: int) -> None:
    with admin.connect() as db:
        assert db.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend}).scalar_one()


def kept(store: Store) -> list[int]:
    with store.read() as db:
        return list(db.scalars(select(numbers.c.n).order_by(numbers.c.n)))


def test_an_option_that_libpq_does_not_know_is_a_store_that_cannot_be_reached(postgres_url: str) -> None:
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}sslmod=require"
    with pytest.raises(StoreUnreachable, match="sslmod"), closing(open_store(url)) as store, store.read():
        pass


def test_every_session_has_its_limits_and_says_whose_it_is(postgres_url: str) -> None:
    names = (
        "idle_in_transaction_session_timeout",
        "lock_timeout",
        "tcp_user_timeout",
        "client_connection_check_interval",
        "application_name",
        "transaction_isolation",
        "transaction_read_only",
    )
    store = open_store(postgres_url, lease_seconds=15)
    with store.write() as db:
        writing = {name: db.execute(text(f"SHOW {name}")).scalar_one() for name in names}
    with store.read() as db:
        reading = {name: db.execute(text(f"SHOW {name}")).scalar_one() for name in names}
    store.close()
    assert writing == {
        "idle_in_transaction_session_timeout": "5s",
        "lock_timeout": "10s",
        "tcp_user_timeout": "15000",
        "client_connection_check_interval": "2s",
        "application_name": f"saga_engine {socket.gethostname()}:{os.getpid()}",
        "transaction_isolation": "read committed",
        "transaction_read_only": "off",
    }
    assert reading == writing | {"transaction_isolation": "repeatable read", "transaction_read_only": "on"}


def test_options_of_the_users_own_stay(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}?options=-c%20search_path%3Dsaga,public")
    with store.read() as db:
        shown = [db.execute(text(f"SHOW {name}")).scalar_one() for name in ("search_path", "lock_timeout")]
    store.close()
    assert shown == ["saga,public", "10s"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_all_names_of_postgresql_are_taken(postgres_url: str, scheme: str) -> None:
    store = open_store(f"{scheme}://{postgres_url.partition('://')[2]}")
    assert store.dialect == "postgresql"
    store.close()


def test_a_refused_connection_is_named_without_password_or_options() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(StoreUnreachable) as refused:
        open_store(f"postgresql://ann:hunter2@127.0.0.1:{port}/saga?sslpassword=hunter3")
    assert str(refused.value) == (
        f"The store postgresql://ann:***@127.0.0.1:{port}/saga cannot be reached: connection failed: connection to "
        f'server at "127.0.0.1", port {port} failed: Connection refused'
    )


def test_a_missing_database_is_named(postgres_url: str) -> None:
    url = make_url(postgres_url).set(database="no_such_database").render_as_string(hide_password=False)
    with pytest.raises(StoreUnreachable, match='FATAL:  database "no_such_database" does not exist'):
        open_store(url)


def test_a_wrong_user_is_named_and_the_password_is_not(postgres_url: str) -> None:
    url = make_url(postgres_url).set(username="no_such_user", password="hunter2").render_as_string(hide_password=False)
    with pytest.raises(StoreUnreachable) as refused:
        open_store(url)
    assert '"no_such_user"' in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_missing_driver_is_named_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnreachable, match=r"psycopg is not installed: pip install 'saga-engine\[postgres\]'"):
        open_store("postgresql://ann@127.0.0.1/saga")


def test_a_swallowed_error_does_not_pass_for_a_commit(store: Store) -> None:
    def write_and_swallow(db: Connection) -> None:
        db.execute(insert(numbers), {"n": 1})
        with suppress(DBAPIError):
            db.execute(text("SELECT 1 / 0"))

    with pytest.raises(StoreError, match="Nothing was written"), store.write() as db:
        write_and_swallow(db)
    assert kept(store) == []


def test_a_transaction_that_is_idle_for_a_third_of_the_lease_is_ended_and_frees_its_rows(store: Store) -> None:
    with store.write() as db:
        db.execute(insert(numbers), {"n": 1})

    def write_after_a_pause(db: Connection) -> None:
        db.execute(text("UPDATE numbers SET n = 2"))
        time.sleep(0.8)
        db.execute(text("UPDATE numbers SET n = 3"))

    with pytest.raises(StoreUnreachable), store.write() as db:
        write_after_a_pause(db)
    with store.write() as db:
        db.execute(text("UPDATE numbers SET n = 4"))
    assert kept(store) == [4]


def test_waiting_for_a_row_has_a_limit(store: Store, admin: Engine) -> None:
    with store.write() as db:
        db.execute(insert(numbers), {"n": 1})
    with admin.connect() as other:
        other.execute(text("BEGIN"))
        other.execute(text("UPDATE numbers SET n = 2"))
        with pytest.raises(StoreBusy, match="lock timeout"), store.write() as db:
            db.execute(text("UPDATE numbers SET n = 3"))
        other.execute(text("ROLLBACK"))
    assert kept(store) == [1]


def test_a_connection_that_broke_between_two_uses_is_replaced_unseen(
    store: Store, admin: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.read() as db:
        backend = db.execute(BACKEND).scalar_one()
    end_session(admin, backend)
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 0.0)
    assert kept(store) == []


def test_a_connection_that_broke_a_moment_ago_is_lost_once(store: Store, admin: Engine) -> None:
    with store.read() as db:
        backend = db.execute(BACKEND).scalar_one()
    end_session(admin, backend)
    assert reading(store, lambda db: list(db.scalars(select(numbers.c.n)))) == []


def test_a_session_that_was_just_in_use_is_not_asked_whether_it_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    with store.read() as db:
        monkeypatch.setattr(db.dialect, "do_ping", lambda _connection: asked.append(1))
    kept(store)
    assert asked == []
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 0.0)
    kept(store)
    assert asked == [1]


def test_a_connection_lost_in_a_transaction_is_an_error_and_retrying_begins_anew(store: Store, admin: Engine) -> None:
    tries: list[int] = []

    def work(db: Connection) -> None:
        tries.append(len(tries) + 1)
        db.execute(insert(numbers), {"n": tries[-1]})
        if tries == [1]:
            end_session(admin, db.execute(BACKEND).scalar_one())
        db.execute(insert(numbers), {"n": tries[-1] + 10})

    retrying(store, work)
    assert (tries, kept(store)) == ([1, 2], [2, 12])


def test_two_that_deadlock_both_get_through(store: Store, postgres_url: str) -> None:
    patient = open_store(postgres_url)  # the server looks for deadlocks after 1 s, before the limit of a wait
    with store.write() as db:
        db.execute(insert(numbers), [{"n": 1}, {"n": 2}])
    met = threading.Barrier(2)
    tries: list[int] = []

    def cross(first: int, second: int) -> None:
        def work(db: Connection) -> None:
            tries.append(first)
            lock = select(numbers.c.n).with_for_update()
            db.execute(lock.where(numbers.c.n == first))
            if len(tries) <= 2:
                met.wait(5)
            db.execute(lock.where(numbers.c.n == second))

        retrying(patient, work)

    threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patient.close()
    assert len(tries) > 2, "they met, and neither was in the other's way"
    assert set(tries) == {1, 2}


@pytest.mark.parametrize(("swallow", "there"), [("request", []), ("answer", [1])])
def test_an_answer_to_commit_that_never_comes_is_an_unknown_outcome_and_is_not_repeated(
    store: Store, proxy: Proxy, postgres_url: str, swallow: str, there: list[int]
) -> None:
    tries: list[int] = []

    def work(db: Connection) -> None:
        tries.append(1)
        db.execute(insert(numbers), {"n": 1})
        proxy.swallow = swallow

    with behind(proxy, postgres_url) as distant:
        with pytest.raises(OutcomeUnknown, match="may be there or not"):
            retrying(distant, work)
        proxy.swallow = ""
        with distant.write() as db:
            db.execute(text("LOCK TABLE numbers"))  # waits for the lost transaction to end, either way
        assert (tries, kept(distant)) == ([1], there)


def test_a_session_ended_at_commit_is_an_unknown_outcome(store: Store, admin: Engine) -> None:
    backends: list[int] = []

    def write(db: Connection) -> None:
        backends.append(db.execute(BACKEND).scalar_one())
        db.execute(insert(numbers), {"n": 1})

    def end(point: str) -> None:
        if point == "store.write.before_commit":
            end_session(admin, backends[0])

    with switched_on(end), pytest.raises(OutcomeUnknown), store.write() as db:
        write(db)
    assert kept(store) == []


def test_a_commit_that_the_server_refuses_is_no_unknown_outcome(store: Store) -> None:
    deferred = "ALTER TABLE numbers ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"
    with store.write() as db:
        db.execute(text("ALTER TABLE numbers DROP CONSTRAINT numbers_pkey"))
        db.execute(text(deferred))
    with pytest.raises(Exception, match="duplicate key value") as refused, store.write() as db:
        db.execute(insert(numbers), [{"n": 1}, {"n": 1}])
    assert not isinstance(refused.value, StoreError)
    assert kept(store) == []


def test_all_connections_in_use_is_named(postgres_url: str) -> None:
    store = open_store(postgres_url, connections_max=1, wait_seconds=0.2)
    refused: list[str] = []

    def ask() -> None:
        with pytest.raises(StoreBusy) as busy, store.read():
            pass
        refused.append(str(busy.value))

    with store.read():
        other = threading.Thread(target=ask)
        other.start()
        other.join()
    store.close()
    assert len(refused) == 1
    assert "is busy: all connections of this process are in use" in refused[0]
