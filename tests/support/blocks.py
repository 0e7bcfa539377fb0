"""Runs the fenced blocks of a page of documentation (docs/decisions/0004 tells the convention)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from markdown_it import MarkdownIt

COMMAND_SECONDS_MAX: Final = 60
RUN: Final = {"python", "console"}


class PageWrong(AssertionError):
    """A page shows something that does not happen; the text says where and what happened instead."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. *line* is that of its first line of content, from 1; *words* follow the language."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """Where the block is written to, if it is a file."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def acts(self) -> bool:
        """True when running the page does something with this block."""
        return "no-run" not in self.words and (self.file is not None or self.language in RUN)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, the output shown below it, and the exit status that it must have."""

    text: str
    shown: tuple[str, ...]
    status: int
    line: int


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page in markdown, in order."""
    blocks = []
    for token in MarkdownIt().parse(page):
        if token.type == "fence" and token.map:
            language, *words = shlex.split(token.info) or [""]
            blocks.append(Block(language, tuple(words), token.content, token.map[0] + 2))
    return blocks


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block."""
    commands: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            status = re.search(r"# exit (\d+)\s*$", line)
            commands.append(Command(line[2:], (), int(status[1]) if status else 0, number))
        elif not commands:
            raise PageWrong(f"line {number}: a console block begins with a command: $ ...")
        elif line.startswith("> ") and not commands[-1].shown:
            commands[-1] = _longer(commands[-1], text=f"{commands[-1].text}\n{line[2:]}")
        else:
            commands[-1] = _longer(commands[-1], shown=line)
    return commands


def run_page(path: Path, folder: Path) -> None:
    """Run the blocks of the page at *path* in *folder*, the first wrong one raises ``PageWrong`` or its own error."""
    module = ModuleType(f"page_{path.stem.replace('-', '_')}")
    sys.modules[module.__name__] = module  # functions and models of the page resolve their annotations there
    try:
        for block in blocks_of(path.read_text()):
            if block.acts:
                _run_block(block, path, folder, module)
    finally:
        del sys.modules[module.__name__]


def missing(shown: tuple[str, ...], printed: str) -> str | None:
    """The first line of *shown* that *printed* does not have after those before it; None when all are there.

    Runs of blanks count as one, empty lines do not count, and ``...`` stands for anything.
    """
    rest: Iterator[str] = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in shown:
        wanted = " ".join(line.split())
        if wanted in {"", "..."}:
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in re.split(r"\.\.\.|…", wanted)))
        if not any(pattern.fullmatch(found) for found in rest):
            return line
    return None


def _longer(command: Command, *, text: str | None = None, shown: str | None = None) -> Command:
    lines = command.shown if shown is None else (*command.shown, shown)
    return Command(text or command.text, lines, command.status, command.line)


def _run_block(block: Block, path: Path, folder: Path, module: ModuleType) -> None:
    if block.file is not None:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.text)
    elif block.language == "python":
        # The empty lines before it give a traceback the line numbers of the page.
        exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), module.__dict__)
    else:
        for command in commands_of(block):
            _run_command(command, path, folder, compare="compare" in block.words)


def _run_command(command: Command, path: Path, folder: Path, *, compare: bool) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", command.text],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    where = f"{path.name}, line {command.line}: $ {command.text}"
    if done.returncode != command.status:
        raise PageWrong(f"{where}\nended with {done.returncode}, not {command.status}:\n{done.stdout}")
    lost = missing(command.shown, done.stdout) if compare else None
    if lost is not None:
        raise PageWrong(f"{where}\ndid not print {lost!r}, but:\n{done.stdout}")
