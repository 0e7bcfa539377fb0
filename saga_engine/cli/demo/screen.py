"""What the demo shows: colours, bars and a state line on a terminal; plain lines in a pipe."""

import os
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from saga_engine.runtime.views import RunView

PLAIN_EVERY = 10
"""In a pipe, a line for each tenth of the way."""


class Screen:
    """Prints the story."""

    def __init__(self, color: str = "auto") -> None:
        plain = color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))
        self.console = Console(
            highlight=False, soft_wrap=True, no_color=plain, color_system="standard" if color == "always" else "auto"
        )

    @property
    def interactive(self) -> bool:
        """True on a terminal that a person can answer at."""
        return self.console.is_terminal

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.print(Text(text, style="bold cyan"))

    def say(self, text: str, style: str = "") -> None:
        """One line."""
        self.console.print(Text(f"  {text}", style=style))

    def command(self, text: str) -> None:
        """A command as a person would type it."""
        self.console.print(Text(f"  $ {text}", style="green"))

    def bar(self) -> "Bar":
        """Progress of a run, until the block ends."""
        return Bar(self.console)


class Bar:
    """A state line with a bar on a terminal; in a pipe, a line where something changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("  {task.description:<18}"),
            BarColumn(40),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._state = ""
        self._tenth = -1

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, run: RunView) -> None:
        """Show where the run is."""
        done, total, unit = reached(run)
        told = f"{done:,}/{total:,} {unit}" if total else run.status
        if run.state != self._state:
            self._begin(run.state, total)
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total or 1, told=told)
        elif total and done * PLAIN_EVERY // total > self._tenth:
            self._tenth = done * PLAIN_EVERY // total
            self._console.print(f"  {run.state:<18} {told}", markup=False)

    def _begin(self, state: str, total: int) -> None:
        """A new state gets a line of its own; the one before stays, full."""
        if self._live:
            if self._task is not None:
                self._progress.update(self._task, completed=1, total=1, told="done")
            self._task = self._progress.add_task(state, total=total or 1, told="")
        else:
            self._console.print(f"  {state}", markup=False)
        self._state, self._tenth = state, -1


def reached(run: RunView) -> tuple[int, int, str]:
    """``(done, total, unit)`` of the running step; zeros where it says nothing."""
    for task in run.tasks:
        if task.progress and task.state == run.state:
            return int(task.progress["done"]), int(task.progress["total"] or 0), str(task.progress["unit"])
    return 0, 0, ""
