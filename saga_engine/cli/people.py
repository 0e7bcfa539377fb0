"""What people read: consoles with or without colours, tables, times."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TextIO, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from saga_engine.cli.options import Options
from saga_engine.cli.trouble import clean
from saga_engine.domain.lengths import compact

T = TypeVar("T")

WIDE_ENOUGH: Final = 10_000
"""Columns where there is no terminal: a program that reads lines wants them whole."""

LINE_BREAK: Final = "\n"
BREAK_SHOWN: Final = "\\x0a"

NARROW: Final = 60
"""Fewer columns than this, and tables would have some of no width: the terminal folds whole lines instead."""

STYLES: Final = {
    "running": "cyan",
    "waiting": "yellow",
    "parked": "bold red",
    "completed": "green",
    "rolled_back": "magenta",
    "cancelled": "magenta",
    "failed": "red",
    "error": "red",
    "problem": "red",
    "warning": "yellow",
    "ok": "green",
}
"""How statuses and severities look on a terminal."""


@dataclass(frozen=True)  # no slots: a generic one cannot be made frozen on Python 3.11
class Column(Generic[T]):
    """One column of a table. *wide*: only with ``-o wide``; *whole*: never broken over lines."""

    title: str
    value: Callable[[T], str]
    wide: bool = False
    whole: bool = False


def console(options: Options, stream: TextIO, *, whole: bool = False) -> Console:
    """A console on *stream*: no ANSI without a terminal, with NO_COLOR, or on a dumb terminal, unless ``--color``.

    *whole*: lines longer than the terminal are left to it, not folded inside their columns.
    """
    terminal = stream.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    colors = options.color == "always" or (options.color == "auto" and not plain)
    found = Console(
        file=stream,
        force_terminal=terminal or options.color == "always",
        color_system=("auto" if terminal else "standard") if colors else None,
        no_color=not colors,
        width=None if terminal and not whole else WIDE_ENOUGH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    if found.width < NARROW:
        found.width = WIDE_ENOUGH
    return found


def show(options: Options, what: RenderableType, stream: TextIO | None = None) -> None:
    """Print *what*; without a terminal no line ends with blanks."""
    out = console(options, stream or sys.stdout, whole=options.format == "wide")
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as captured:
        out.print(what)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def live(options: Options) -> Live:
    """A place on the terminal that is drawn again and again."""
    # Rich would put a stream without an encoding in the place of standard output.
    return Live(console=console(options, sys.stdout), auto_refresh=False, redirect_stdout=False)


def unicode() -> bool:
    """Whether standard output can show every character."""
    return (sys.stdout.encoding or "").lower().startswith("utf")


def line(text: str) -> None:
    """Print one line as it is, out at once: somebody may be reading along. A line break in it is made visible."""
    sys.stdout.write(f"{clean(text).replace(LINE_BREAK, BREAK_SHOWN)}\n")
    sys.stdout.flush()


def table(columns: Sequence[Column[T]], rows: Iterable[T], *, wide: bool = False) -> Table:
    """A table without lines; a cell that names a status has its colour."""
    chosen = [column for column in columns if wide or not column.wide]
    found = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in chosen:
        found.add_column(column.title, no_wrap=column.whole, overflow="fold")
    for row in rows:
        found.add_row(*(cell(column.value(row)) for column in chosen))
    return found


def cell(text: str) -> Text:
    """*text* as it is, its control characters made visible."""
    return Text(clean(text), style=STYLES.get(text, ""))


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Lines of a word and what it says, the words above each other."""
    found = Table.grid(padding=(0, 3, 0, 0))
    found.add_column(style="bold", overflow="fold")  # a word as long as the line must leave room for what it says
    found.add_column(overflow="fold")
    for word, said in pairs:
        found.add_row(clean(word).replace(LINE_BREAK, BREAK_SHOWN), said if isinstance(said, Text) else cell(said))
    return found


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """``3m12s ago``, ``in 2h``; a dash for never."""
    if moment is None:
        return "-"
    length = (now or datetime.now(UTC)) - moment
    return f"in {compact(-length)}" if length < timedelta(0) else f"{compact(length)} ago"


def brief(value: Any, most: int | None = 60) -> str:  # noqa: ANN401  any JSON
    """A value in one line of at most *most* characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"
