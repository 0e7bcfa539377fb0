"""What is read off a process and its store: bytes, memory, journal mode, percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from saga_engine.store import inspect
from saga_engine.store.connect import Store


def size(store: Store, url: str) -> int:
    """Bytes of the whole store, indexes included, its log excluded; of PostgreSQL's after a plain VACUUM."""
    if store.dialect == "sqlite":
        with store.read() as db:
            pages, of = (db.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size"))
        return int(pages) * int(of)
    with sa.create_engine(url, isolation_level="AUTOCOMMIT").connect() as db:
        db.execute(sa.text("VACUUM"))
        return int(db.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())


def memory_mb() -> float:
    """The most that this process has had in memory. (getrusage counts what its parent had, too.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024, 1)


def journal(store: Store) -> str:
    """``truncate, SQLite 3.40.1``, or ``PostgreSQL 15.3``: what a figure holds for, and nothing that is not durable."""
    with store.read() as db:
        found = inspect.durability(db)
    if store.dialect == "sqlite":
        return f"{found['journal_mode']}, SQLite {found['sqlite_version']}"
    off = [name for name in ("fsync", "synchronous_commit", "full_page_writes") if found[name] == "off"]
    assert not off, f"a figure of a store that may lose what it has answered is none: {', '.join(off)} off"
    return f"PostgreSQL {found['server_version'].split()[0]}"


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which *part* of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def spread(seconds: Sequence[float], name: str = "") -> dict[str, float]:
    """``NAMEp50_ms`` and ``NAMEp99_ms`` of durations in seconds."""
    return {f"{name}p{part}_ms": round(1_000 * percentile(seconds, part / 100), 3) for part in (50, 99)}
