"""The file of a SQLite store: where it may lie, its journal, its modes, and what goes wrong with files."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from saga_engine.errors import (
    LibraryTooOld,
    SettingsError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreReplaced,
    StoreUnreachable,
)
from saga_engine.store.connect import Store, open_store, reading
from saga_engine.store.files import Access, Host, network_file_system, wal_is_safe
from saga_engine.store.migrate import check
from saga_engine.store.prepare import prepare
from saga_engine.store.sqlite import open_sqlite

OLD = (3, 40, 1)
NEW = (3, 51, 3)
GROUP = grp.getgrgid(os.getegid()).gr_name
MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /mnt/shared rw,relatime shared:7 - nfs4 server:/export rw,addr=10.0.0.1
31 30 0:41 / /mnt/shared/fast rw,relatime - xfs /dev/vdb rw
32 27 0:42 / /mnt/win\\040share rw,relatime - cifs //server/share rw
33 27 0:43 / /mnt/ssh rw,relatime shared:9 master:2 - fuse.sshfs host:/ rw
34 27 0:44 / /mnt/over rw,relatime - nfs server:/old rw
35 27 0:45 / /mnt/over rw,relatime - tmpfs tmpfs rw
"""


def opened(path: Path, library: tuple[int, int, int] = OLD, mounts: str = "") -> Store:
    return open_sqlite(
        make_url(f"sqlite:///{path}"),
        wait_seconds=5,
        connections_max=2,
        access=Access.of(None),
        create=True,
        host=Host(library, mounts),
    )


def write(store: Store, statement: str) -> None:
    with store.write() as db:
        db.exec_driver_sql(statement)


def ask(store: Store, statement: str) -> object:
    with store.read() as db:
        return db.exec_driver_sql(statement).scalar()


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saga.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:///{path}", wait_seconds=5)
    write(made, "CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT)")
    yield made
    made.close()


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A directory of one's own, as a user whom modes bind: root passes them all."""
    directory = Path(tempfile.mkdtemp(prefix="saga-nobody-"))
    root = os.geteuid() == 0
    if root:
        nobody = pwd.getpwnam("nobody").pw_uid
        os.chown(directory, nobody, -1)
        os.seteuid(nobody)
    try:
        yield directory
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(directory)


# --- the journal


@pytest.mark.parametrize(
    ("library", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 51, 9), True),
        ((3, 52, 0), False),
        ((3, 52, 1), True),
        ((4, 0, 0), True),
    ],
)
def test_a_wal_is_for_libraries_that_cannot_corrupt_it(library: tuple[int, int, int], safe: bool) -> None:
    assert wal_is_safe(library) is safe


@pytest.mark.parametrize(("library", "journal"), [(OLD, "truncate"), (NEW, "wal")])
def test_a_new_store_takes_the_journal_that_the_library_bears_and_commits_in_full(
    path: Path, library: tuple[int, int, int], journal: str
) -> None:
    store = opened(path, library)
    settings = {name: ask(store, f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")}
    with store.write() as db:
        written = {name: db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in settings}
    store.close()
    assert settings == written == {"journal_mode": journal, "synchronous": 2, "foreign_keys": 1}


def test_an_older_library_may_not_open_a_wal_and_the_error_says_what_to_do(path: Path) -> None:
    opened(path, NEW).close()
    with pytest.raises(LibraryTooOld) as refused:
        opened(path, OLD)
    assert str(refused.value) == (
        f"The store {path} keeps a WAL, which SQLite 3.40.1 can corrupt. Open it with a Python whose SQLite is 3.51.3 "
        "or newer (or 3.50.7, or 3.44.6), or have one of those run `PRAGMA journal_mode = TRUNCATE` on it."
    )
    assert refused.value.exit_code == 9
    again = opened(path, NEW)
    assert ask(again, "PRAGMA journal_mode") == "wal"
    again.close()


def test_a_store_made_with_a_truncated_journal_keeps_it_under_a_newer_library(path: Path) -> None:
    opened(path, OLD).close()
    store = opened(path, NEW)
    assert ask(store, "PRAGMA journal_mode") == "truncate"
    store.close()


# --- where


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/srv/saga.db", None),
        ("/mnt/shared/saga.db", "nfs4"),
        ("/mnt/sharedness/saga.db", None),
        ("/mnt/shared/fast/saga.db", None),
        ("/mnt/win share/saga.db", "cifs"),
        ("/mnt/ssh/a/b/saga.db", "fuse.sshfs"),
        ("/mnt/over/saga.db", None),
    ],
)
def test_the_mount_table_tells_network_file_systems(place: str, kind: str | None) -> None:
    assert network_file_system(Path(place), MOUNTS) == kind


def test_a_network_file_system_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    mounts = f"30 27 0:40 / {tmp_path} rw - nfs4 server:/export rw"
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk, or use PostgreSQL"):
        opened(tmp_path / "new" / "saga.db", OLD, mounts)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="there is no file"):
        open_store(f"sqlite:///{tmp_path}/new/saga.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_and_a_pipe_are_no_stores(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreUnreachable, match=r"is a directory; name a file, such as saga\.db"):
        open_store(f"sqlite:///{tmp_path}")
    with pytest.raises(StoreUnreachable, match=r"is no ordinary file; name a file, such as saga\.db"):
        open_store(f"sqlite:///{tmp_path}/pipe")


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("select * from shop;\n" * 100)
    with pytest.raises(StoreDamaged, match=r"file is not a database \(SQLITE_NOTADB\)"):
        open_store(f"sqlite:///{path}")
    assert path.read_text() == "select * from shop;\n" * 100


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    store = opened(path)
    assert (ask(store, "PRAGMA journal_mode"), ask(store, "PRAGMA application_id")) == ("truncate", 0x53414741)
    store.close()


def test_two_names_of_one_file_share_its_locks(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "saga.db")
    open_store(f"sqlite:///{tmp_path}/link.db").close()
    assert sorted(file.name for file in (tmp_path / "real").iterdir()) == [
        "saga.db",
        "saga.db-journal",
        "saga.db.lock",
        "saga.db.turn",
    ]


# --- who


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("library", [OLD, NEW])
def test_files_and_directory_are_for_the_owner_alone(tmp_path: Path, library: tuple[int, int, int]) -> None:
    store = opened(tmp_path / "new" / "saga.db", library)
    write(store, "CREATE TABLE numbers (n)")
    modes = {mode(file) for file in (tmp_path / "new").iterdir()}
    store.close()
    assert (mode(tmp_path / "new"), modes) == ("0o700", {"0o600"})


@pytest.mark.usefixtures("closed_umask")
def test_files_and_directory_open_to_a_group_where_one_is_named(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/new/saga.db", group=GROUP)
    write(store, "CREATE TABLE numbers (n)")
    files = {file.name: mode(file) for file in (tmp_path / "new").iterdir()}
    groups = {file.stat().st_gid for file in (tmp_path / "new").iterdir()}
    store.close()
    assert mode(tmp_path / "new") == "0o2770"
    assert files == dict.fromkeys(("saga.db", "saga.db-journal", "saga.db.lock", "saga.db.turn"), "0o660")
    assert groups == {os.getegid()}


def test_a_directory_that_is_not_the_groups_is_refused_with_the_commands_that_help(tmp_path: Path) -> None:
    with pytest.raises(StoreForbidden) as refused:
        open_store(f"sqlite:///{tmp_path}/saga.db", group=GROUP)
    assert f"chgrp {GROUP} {tmp_path} && chmod 2770 {tmp_path}" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_group_that_does_not_exist_is_a_mistake_in_the_settings(path: Path) -> None:
    with pytest.raises(SettingsError, match="this machine has no group 'no-such-group'"):
        open_store(f"sqlite:///{path}", group="no-such-group")
    assert not path.exists()


def test_a_file_that_may_only_be_read_is_refused() -> None:
    with as_nobody() as directory:
        open_store(f"sqlite:///{directory}/saga.db").close()
        (directory / "saga.db").chmod(0o400)
        with pytest.raises(StoreForbidden, match=r"saga.db may only be read. Check the owner, mode and grants"):
            open_store(f"sqlite:///{directory}/saga.db")


def test_a_file_that_may_not_even_be_read_is_refused_as_that() -> None:
    with as_nobody() as directory:
        open_store(f"sqlite:///{directory}/saga.db").close()
        (directory / "saga.db").chmod(0o200)
        with pytest.raises(StoreForbidden, match=r"saga.db may not even be read. Check the owner, mode and grants"):
            open_store(f"sqlite:///{directory}/saga.db")


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("in_use", [True, False])
def test_a_file_of_somebody_else_is_refused_and_nothing_is_left_beside_it(
    path: Path, journal: str, *, create: bool, in_use: bool
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as shop:
        shop.execute(f"PRAGMA journal_mode = {journal}")
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        shop.commit()
        if not in_use:
            shop.close()
        before = {file.name for file in path.parent.iterdir()}
        with pytest.raises(StoreError, match=r"is no store: it holds other tables \(orders, …\)\. Name another file"):
            open_store(f"sqlite:///{path}", create=create)
        assert {file.name for file in path.parent.iterdir()} == before


def test_a_file_that_is_no_database_or_empty_is_refused_and_nothing_is_left_beside_it(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for content, told in ((b"only words, " * 999, "file is not a database"), (b"", "is empty; `saga run`")):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=told):
            open_store(f"sqlite:///{path}", create=False)
        assert list(path.parent.iterdir()) == [path]


def test_a_store_without_its_locks_and_mark_is_still_one(path: Path) -> None:
    """As a dump restores it: the locks are made by whoever opens it, the mark in its header is not dumped."""
    prepare(store := open_store(f"sqlite:///{path}"))
    store.close()
    for lock in ("saga.db.lock", "saga.db.turn"):
        path.with_name(lock).unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 0")
    store = open_store(f"sqlite:///{path}", create=False)
    check(store)
    store.close()


def test_a_directory_that_may_only_be_read_is_refused() -> None:
    with as_nobody() as directory:
        directory.chmod(0o500)
        with pytest.raises(StoreForbidden, match=r"Permission denied: .*saga.db.turn"):
            open_store(f"sqlite:///{directory}/saga.db")
        directory.chmod(0o700)
        assert list(directory.iterdir()) == []


# --- what goes wrong later


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StoreFull), (errno.EROFS, StoreForbidden)])
def test_a_disk_that_takes_nothing_beside_the_store_either_is_an_error_of_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[StoreError]
) -> None:
    """As where writing over a block takes a new one (btrfs, ZFS), or what is mounted has become read-only."""
    store = open_store(f"sqlite:///{path}")

    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(os, "pwrite", refused)
        with pytest.raises(error, match=os.strerror(number)), store.write():
            pass
    with store.write():
        pass
    store.close()


def test_a_full_disk_is_named_and_the_store_goes_on_when_there_is_room(store: Store) -> None:
    with store.write() as db:
        pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        db.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match=r"database or disk is full \(SQLITE_FULL\)") as full:
        write(store, "INSERT INTO numbers VALUES (1, hex(zeroblob(100000)))")
    assert full.value.exit_code == 9
    write(store, "PRAGMA max_page_count = 1000000")
    write(store, "INSERT INTO numbers VALUES (2, '')")
    assert (ask(store, "SELECT group_concat(n) FROM numbers"), ask(store, "PRAGMA integrity_check")) == ("2", "ok")


def test_a_block_that_swallows_the_end_of_its_transaction_does_not_commit_the_rest(store: Store) -> None:
    def write_and_swallow(db: Connection) -> None:
        db.exec_driver_sql("INSERT INTO numbers VALUES (1, '')")
        with suppress(DBAPIError):
            db.exec_driver_sql("INSERT INTO numbers VALUES (2, hex(zeroblob(100000)))")
        db.exec_driver_sql("INSERT INTO numbers VALUES (3, '')")

    write(store, "PRAGMA max_page_count = 3")
    with pytest.raises(StoreError, match="Nothing was written"), store.write() as db:
        write_and_swallow(db)
    assert ask(store, "SELECT count(*) FROM numbers") == 0


def test_a_file_that_was_replaced_gets_no_more_writes(store: Store, path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)
    with pytest.raises(StoreReplaced, match="Nothing was written: start again"):
        write(store, "INSERT INTO numbers VALUES (1, '')")
    path.unlink()
    with pytest.raises(StoreReplaced):
        write(store, "INSERT INTO numbers VALUES (1, '')")
    assert not path.exists()


def test_a_foreign_reader_holds_a_commit_up_and_does_not_break_it(store: Store, path: Path) -> None:
    foreign = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    foreign.execute("BEGIN")
    foreign.execute("SELECT * FROM numbers").fetchall()
    timer = threading.Timer(0.3, foreign.close)
    timer.start()
    write(store, "INSERT INTO numbers VALUES (1, '')")
    timer.join()
    assert ask(store, "SELECT count(*) FROM numbers") == 1


@pytest.fixture
def hasty(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that does not wait for foreign readers and writers, with a table."""
    monkeypatch.setattr("saga_engine.store.sqlite.BUSY_SECONDS", 0.1)
    store = opened(path)
    write(store, "CREATE TABLE numbers (n)")
    yield store
    store.close()


def test_a_foreign_reader_that_stays_makes_the_store_busy_and_a_commit_is_taken_back(hasty: Store, path: Path) -> None:
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN")
    foreign.execute("SELECT * FROM numbers").fetchall()
    with pytest.raises(StoreBusy, match=r"database is locked \(SQLITE_BUSY\)"):
        write(hasty, "INSERT INTO numbers VALUES (1)")
    foreign.execute("COMMIT")
    # Who was refused has let go of the file: others may write at once, and so may this process.
    foreign.execute("INSERT INTO numbers VALUES (2)")
    write(hasty, "INSERT INTO numbers VALUES (3)")
    assert ask(hasty, "SELECT group_concat(n) FROM numbers") == "2,3"
    foreign.close()


def test_a_read_that_is_interrupted_before_it_has_fetched_its_rows_holds_nobody_up(hasty: Store) -> None:
    write(hasty, "INSERT INTO numbers VALUES (1), (2), (3)")

    def look(db: Connection) -> None:
        rows = db.exec_driver_sql("SELECT * FROM numbers")
        rows.fetchone()
        raise KeyboardInterrupt

    # Whoever keeps the exception keeps its frames, and they keep the cursor.
    with pytest.raises(KeyboardInterrupt) as kept:
        reading(hasty, look)
    write(hasty, "INSERT INTO numbers VALUES (4)")
    assert kept.value.__traceback__ is not None


def test_a_foreign_writer_that_stays_makes_the_store_busy_and_changes_nothing(hasty: Store, path: Path) -> None:
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"database is locked \(SQLITE_BUSY\)"):
        write(hasty, "INSERT INTO numbers VALUES (1)")
    foreign.close()
    write(hasty, "INSERT INTO numbers VALUES (2)")
    assert ask(hasty, "SELECT group_concat(n) FROM numbers") == "2"


def test_a_closed_store_refuses_and_closes_again(path: Path) -> None:
    store = opened(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed: open it again"), store.write():
        pass
