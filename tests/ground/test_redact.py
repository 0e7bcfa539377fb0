"""No secret leaves by a text: not by a URL, not by a driver's message, not by a log line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from saga_engine import log
from saga_engine.settings import redact, resolve, secret


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that one test resolves is a word to the next."""
    monkeypatch.setattr(secret, "_known", secret._Known())


def resolved(url: str) -> str:
    return resolve("connections.dw", "env:URL", {"URL": url}, Path("/")).get_secret_value()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://me:hunter2@h:5432/db", "postgresql+psycopg://me:***@h:5432/db"),
        ("cannot reach mysql://root:p@ss@h/db: refused", "cannot reach mysql://root:***@h/db: refused"),
        ("postgresql://:only@h", "postgresql://:***@h"),
        ("host=h password=hunter2 user=me", "host=h password=*** user=me"),
        ("Password = 'two words', port=1", "Password = ***, port=1"),
        ("postgresql://h/db?sslpassword=x&sslmode=require", "postgresql://h/db?sslpassword=***&sslmode=require"),
        ("http://127.0.0.1:8080/path at noon", "http://127.0.0.1:8080/path at noon"),
        ("sqlite:////srv/saga.db", "sqlite:////srv/saga.db"),
        ("7: APPROVING → LOADING", "7: APPROVING → LOADING"),
    ],
)
def test_passwords_leave_texts_and_nothing_else_does(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_resolved_secret_is_removed_wherever_it_turns_up_as_written_and_as_meant() -> None:
    resolved("postgresql://me:corr%20ect%2Fhorse@h/db?sslpassword=battery-staple")
    assert (
        redact("tried corr%20ect%2Fhorse, then 'corr ect/horse'; key battery-staple")
        == "tried ***, then '***'; key ***"
    )


def test_a_short_password_does_not_eat_words_that_contain_it() -> None:
    resolved("postgresql://me:xq@h/db")
    assert redact("xq, exquisite, (xq) and faxq") == "***, exquisite, (***) and faxq"


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/@%+:?#*"), min_size=1, max_size=20))
def test_no_password_survives_in_any_message(password: str) -> None:
    with pytest.MonkeyPatch.context() as only_this:
        only_this.setattr(secret, "_known", secret._Known())
        resolved(f"postgresql://me:{password}@h/db")
        assert redact(f"\t{password}\t") == "\t***\t"


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
