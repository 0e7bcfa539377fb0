"""The demo's shop: three related tables with rows that have broken migrations elsewhere; and a warehouse."""

import hashlib
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

CUSTOMERS: Final = 10_000
ORDERS: Final = 40_000
LINES: Final = 150_000
OLD_ORDERS: Final = 1_000

SCHEMA: Final = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, "Select" TEXT, born TEXT, balance TEXT NOT NULL, photo BLOB
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), placed_at TEXT NOT NULL, note TEXT
);
CREATE TABLE order_lines (
    order_id INTEGER NOT NULL REFERENCES orders (id), line INTEGER NOT NULL, sku TEXT NOT NULL,
    quantity INTEGER NOT NULL, price TEXT NOT NULL, tracking INTEGER, remark TEXT,
    PRIMARY KEY (order_id, line)
);
"""

AWKWARD: Final = (
    *(None, "", " spaces ", "it's", 'say "hi"', "two\nlines", "tab\there", "back\\slash", "NULL", "\\N", "%s {0}"),
    *("Łódź", "naïve café", "日本語", "🙂", "-- ; DROP TABLE orders"),
)
BEYOND_DOUBLE: Final = 2**53 + 1
"""The first integer that a floating-point number cannot hold."""


def build_source(path: Path) -> None:
    """Make the shop: 200,000 rows, the same ones every time."""
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA)
        db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", _customers())
        db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _orders())
        db.executemany("INSERT INTO order_lines VALUES (?, ?, ?, ?, ?, ?, ?)", _lines())
    db.close()


def build_target(path: Path) -> None:
    """Make the warehouse: it has an old copy of the orders, which a failed migration must leave alone."""
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE orders "
            "(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, placed_at TEXT NOT NULL, note TEXT)"
        )
        db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", islice(_orders(), OLD_ORDERS))
    db.close()


def imprint(path: Path, table: str) -> str:
    """The rows of a table and their hash, read by a connection of its own, for comparing before and after."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    digest, rows = hashlib.sha256(), 0
    for row in db.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2'):  # noqa: S608  a name of this module's
        digest.update(repr(row).encode())
        rows += 1
    db.close()
    return f"{rows:,} rows, sha256 {digest.hexdigest()[:16]}"


def _customers() -> Iterator[tuple[object, ...]]:
    for i in range(1, CUSTOMERS + 1):
        photo = bytes((i * k) % 256 for k in range(i % 9)) if i % 3 else None
        balance = f"{i % 977}.{i % 100:02d}"
        yield (
            i,
            f"Customer {i}",
            AWKWARD[i % len(AWKWARD)],
            f"{1930 + i % 80}-{1 + i % 12:02d}-{1 + i % 28:02d}",
            balance,
            photo,
        )


def _orders() -> Iterator[tuple[object, ...]]:
    for i in range(1, ORDERS + 1):
        placed = f"20{10 + i % 16}-{1 + i % 12:02d}-{1 + i % 28:02d} {i % 24:02d}:{i % 60:02d}:00"
        yield i, 1 + i % CUSTOMERS, placed, AWKWARD[(i * 7) % len(AWKWARD)]


def _lines() -> Iterator[tuple[object, ...]]:
    for i in range(LINES):
        price = f"{i % 499}.{i % 100:02d}"
        tracking = BEYOND_DOUBLE + i if i % 5 else None
        yield (
            1 + i % ORDERS,
            1 + i // ORDERS,
            f"SKU-{i % 3571:05d}",
            1 + i % 12,
            price,
            tracking,
            AWKWARD[(i * 3) % len(AWKWARD)],
        )
