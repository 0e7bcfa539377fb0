"""What README and documentation show is what happens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from saga_engine.settings import secret
from tests.support.blocks import Block, Command, PageWrong, blocks_of, commands_of, missing, run_page

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    path
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs").glob("[!_]*/**/*.md")),
    ]
    if any(block.acts for block in blocks_of(path.read_text()))
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, an empty home, and no setting from outside."""
    for name in [name for name in os.environ if name.startswith("SAGA_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(secret, "_known", secret._Known())
    return tmp_path / "work"


@pytest.mark.timeout(300)  # a page may show twenty commands, each a process of its own
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_does_what_it_shows(page: Path, folder: Path) -> None:
    run_page(page, folder)


def run(text: str, folder: Path) -> None:
    page = folder.parent / "page.md"
    page.write_text(text)
    run_page(page, folder)


def test_blocks_know_their_language_their_words_and_their_line() -> None:
    page = "# Title\n\n```python no-run\nx = 1\n```\n\n- in a list\n\n  ```toml file=a/b.toml\n  y = 2\n  ```\n"
    assert blocks_of(page) == [
        Block("python", ("no-run",), "x = 1\n", 4),
        Block("toml", ("file=a/b.toml",), "y = 2\n", 10),
    ]


def test_commands_carry_what_is_shown_below_them() -> None:
    block = Block("console", (), "$ cat <<X\n> a\n> X\na\n$ false  # exit 1\n", 7)
    assert commands_of(block) == [Command("cat <<X\na\nX", ("a",), 0, 7), Command("false  # exit 1", (), 1, 11)]


def test_python_blocks_of_a_page_share_names_and_the_folder_with_its_commands(folder: Path) -> None:
    writes = "```python\nfrom pathlib import Path\nPath('a').write_text('kept')\nx = 1\n```\n"
    run(writes + "```console compare\n$ cat a\nkept\n```\n```python\nassert x == 1\n```\n", folder)


def test_a_block_with_a_file_is_written_and_not_run(folder: Path) -> None:
    run("```python file=sagas/one.py\nraise SystemExit\n```\n```console\n$ test -f sagas/one.py\n```\n", folder)


def test_a_python_block_that_fails_fails_the_page_at_its_line(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        run("# Title\n\n```python\nx = 0\n1 / x\n```\n", folder)
    assert (error.traceback[-1].path, error.traceback[-1].lineno) == (folder.parent / "page.md", 4)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("```console\n$ exit 3\n```", "page.md, line 2: $ exit 3\nended with 3, not 0:\n"),
        ("```console\n$ true # exit 5\n```", "page.md, line 2: $ true # exit 5\nended with 0, not 5:\n"),
        ("```console compare\n$ echo a\nb\n```", "page.md, line 2: $ echo a\ndid not print 'b', but:\na\n"),
        ("```console\nno command\n```", "line 2: a console block begins with a command: $ ..."),
    ],
)
def test_a_command_that_does_something_else_fails_the_page(block: str, told: str, folder: Path) -> None:
    with pytest.raises(PageWrong) as error:
        run(block, folder)
    assert str(error.value) == told


def test_a_block_marked_no_run_is_only_shown(folder: Path) -> None:
    run("```console no-run\n$ exit 3\n```\n```python no-run\n1 / 0\n```\n", folder)


@pytest.mark.parametrize(
    ("shown", "lost"),
    [
        (("a  1", "c"), None),
        (("a ...", "c"), None),
        (("...", "c"), None),
        (("", "b … 3"), None),
        (("c", "a 1"), "a 1"),
        (("a",), "a"),
    ],
)
def test_output_is_compared_in_order_and_without_blanks(shown: tuple[str, ...], lost: str | None) -> None:
    assert missing(shown, "a   1\nb 2 3\nc\n") == lost
