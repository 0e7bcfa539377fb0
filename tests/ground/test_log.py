"""Log lines: JSON or readable, of ours and of libraries alike, without secrets; and no line breaks who says it."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from saga_engine import log
from saga_engine.runtime.engine import Engine
from saga_engine.settings import resolve


def resolved(url: str) -> str:
    return resolve("connections.dw", "env:URL", {"URL": url}, Path("/")).get_secret_value()


@pytest.fixture
def quiet_afterwards() -> Iterator[None]:
    """Gives logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line.pop("at").endswith("Z") for line in found)
    return found


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_line_off_a_terminal_is_json_with_what_was_bound_and_without_secrets() -> None:
    resolved("postgresql://me:hunter2@h/db")
    stream = io.StringIO()
    log.configure(stream=stream)
    with log.bound("orders-7f3k2", "LOADING", 2):
        structlog.get_logger().info(
            "run.moved", source="EXPORTING", rows=3, found=None, deep={"urls": ["postgresql://a:b@h"], "token": "abc"}
        )
    structlog.get_logger().info("worker.idle", note="hunter2")
    assert lines(stream) == [
        {
            "event": "run.moved",
            "level": "info",
            "run": "orders-7f3k2",
            "state": "LOADING",
            "attempt": 2,
            "source": "EXPORTING",
            "rows": 3,
            "found": None,
            "deep": {"urls": ["postgresql://a:***@h"], "token": "***"},
        },
        {"event": "worker.idle", "level": "info", "note": "***"},
    ]


def fail(text: str) -> None:
    raise ConnectionError(text)


@pytest.mark.usefixtures("quiet_afterwards")
@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_of_ours_or_of_a_library_shows_no_secret(as_json: bool) -> None:
    resolved("postgresql://me:hunter2@h/db")
    stream = io.StringIO()
    log.configure(stream=stream, json=as_json)
    for logger in (structlog.get_logger(), logging.getLogger("psycopg")):
        try:
            fail("server refused hunter2")
        except ConnectionError:
            logger.exception("store.lost")
    told = stream.getvalue()
    assert (told.count("ConnectionError: server refused ***"), "hunter2" in told) == (2, False)


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_library_is_heard_from_warning_on() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    logging.getLogger("alembic.runtime").info("Running upgrade")
    logging.getLogger("alembic.runtime").warning("odd")
    assert lines(stream) == [{"event": "odd", "level": "warning", "logger": "alembic.runtime"}]


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_program_that_embeds_the_engine_keeps_the_log_it_has_and_hears_the_engine_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    root, file = logging.getLogger(), logging.FileHandler(tmp_path / "program.log")
    root.addHandler(file)
    root.setLevel(logging.INFO)
    before = root.handlers[:]
    structlog.reset_defaults()
    with Engine(f"sqlite:///{tmp_path}/saga.db"):
        logging.getLogger("program").info("mine")
    structlog.get_logger().info("ours")
    file.close()
    assert (root.handlers, root.level) == (before, logging.INFO)
    assert (tmp_path / "program.log").read_text().splitlines()[-1] == "mine"
    assert lines(heard) == [{"event": "ours", "level": "info"}]


@pytest.mark.usefixtures("quiet_afterwards")
@pytest.mark.parametrize(
    ("verbosity", "heard"), [(-1, ["c"]), (0, ["b", "c"]), (1, ["a", "b", "c"]), (9, ["a", "b", "c"])]
)
def test_verbosity_decides_what_is_heard(verbosity: int, heard: list[str]) -> None:
    stream = io.StringIO()
    log.configure(verbosity, stream)
    logger = structlog.get_logger()
    logger.debug("a")
    logger.info("b")
    logger.error("c")
    assert [line["event"] for line in lines(stream)] == heard


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("quiet_afterwards")
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_readable_lines_in_colour_unless_no_color_is_set(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    log.configure(stream=stream)
    structlog.get_logger().info("run.moved", target="LOADING")
    told = stream.getvalue()
    assert ("run.moved" in told, "\x1b[" in told, told.startswith("{")) == (True, coloured, False)


def say(text: str) -> None:
    """One line of ours, one of a library."""
    structlog.get_logger().info(text)
    logging.getLogger("alembic").warning(text)


@pytest.mark.usefixtures("quiet_afterwards")
def test_a_line_goes_to_what_is_standard_error_when_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log.configure()
    say("before")
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    say("after")
    assert [line["event"] for line in lines(second)] == ["after", "after"]


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.usefixtures("quiet_afterwards")
@pytest.mark.parametrize("broken", [closed(), Full(), None], ids=["closed", "full", "none"])
def test_a_line_that_cannot_be_written_is_lost_and_breaks_nobody(
    broken: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    log.configure()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sys, "stderr", broken)
        say("lost")
    say("heard")
    assert [line["event"] for line in lines(heard)] == ["heard", "heard"]
