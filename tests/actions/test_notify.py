"""Notices reach whom they are meant for, with the step key, and say nothing of what is secret."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from saga_engine.actions.notify import Notice, Noticed, notify, tell
from saga_engine.errors import NoticeFailed, SettingsError
from saga_engine.runtime.payload import plain
from saga_engine.testing import UnitStep, step

RECORD = "import os, sys; open(sys.argv[1], 'a').write(os.environ['SAGA_STEP_KEY'] + ' ' + sys.stdin.read() + '\\n')"


class Heard:
    """A server that keeps what it was sent and answers with *status*."""

    def __init__(self, status: int) -> None:
        self.requests: list[tuple[str, str, object]] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.requests.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cret"


@pytest.fixture
def hearing() -> Iterator[Callable[[int], Heard]]:
    servers: list[Heard] = []

    def start(status: int) -> Heard:
        heard = Heard(status)
        servers.append(heard)
        threading.Thread(target=heard.server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return heard

    yield start
    for heard in servers:
        heard.server.shutdown()
        heard.server.server_close()


def noticing(**notice: object) -> UnitStep[Noticed]:
    return step(Noticed(notice=Notice.model_validate(notice)), key="run.9")


def test_a_command_gets_the_message_and_the_key(tmp_path: Path) -> None:
    file = tmp_path / "told"
    tell(noticing(command=(sys.executable, "-c", RECORD, str(file))), "completed", table="item", rows=5)
    key, _, message = file.read_text().partition(" ")
    assert (key, json.loads(message)) == (
        "run.9", {"event": "completed", "run": "0" * 32, "key": "run.9", "table": "item", "rows": 5},
    )  # fmt: skip


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "a; touch b"
    notify(noticing(command=(sys.executable, "-c", RECORD, str(file))))
    assert [path.name for path in tmp_path.iterdir()] == ["a; touch b"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with 3"),
        (("/nowhere/at-all",), "/nowhere/at-all cannot be started: No such file or directory"),
    ],
)
def test_a_command_that_fails_is_a_notice_that_failed(command: tuple[str, ...], reason: str) -> None:
    with pytest.raises(NoticeFailed) as failed:
        notify(noticing(command=command))
    assert str(failed.value).endswith(reason)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); "
        f"open({str(file)!r}, 'w').write(str(p.pid)); p.wait()"
    )
    with pytest.raises(NoticeFailed, match=r"did not end within 1 s"):
        notify(noticing(command=(sys.executable, "-c", child), timeout_seconds=1))
    status = Path(f"/proc/{file.read_text()}/stat")
    deadline = time.monotonic() + 5
    while status.exists() and status.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.01)


def test_a_webhook_gets_the_message_and_the_key(
    hearing: Callable[[int], Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hearing(204)
    monkeypatch.setenv("HOOK", heard.url)
    notify(noticing(webhook="env:HOOK"))
    assert heard.requests == [
        ("/hook/s3cret", "run.9", {"event": "reached", "run": "0" * 32, "key": "run.9"}),
    ]


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_any_other_answer_is_a_failure_and_the_address_stays_secret(
    hearing: Callable[[int], Heard], status: int
) -> None:
    heard = hearing(status)
    with pytest.raises(NoticeFailed) as failed:
        notify(noticing(webhook=heard.url))
    assert (str(failed.value), len(heard.requests)) == (
        f"The notice could not be given: the webhook answered {status}",
        1,
    )
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/s3cret"


def test_a_webhook_that_does_not_answer_is_a_failure() -> None:
    with (
        silent() as url,
        pytest.raises(NoticeFailed, match=r"^The notice could not be given: the webhook was not reached"),
    ):
        notify(noticing(webhook=url, timeout_seconds=0.2))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "gopher://host"])
def test_only_http_is_spoken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", url)
    with pytest.raises(NoticeFailed, match="neither https:// nor http://"):
        notify(noticing(webhook="env:HOOK"))


@pytest.mark.parametrize(
    ("webhook", "told"),
    [
        (
            "env:NO_SUCH_HOOK",
            "the webhook: the environment variable NO_SUCH_HOOK is not set; set it in the environment of the worker",
        ),
        ("env:PROSE", "the webhook: env:PROSE holds no URL; write one like https://host/hook"),
        ("ask Ann", "the webhook: this is no URL and no reference; write a URL, env:NAME or file:/PATH"),
        ("env:", "the webhook: env: names nothing; write env:NAME or file:/PATH"),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_is_read(
    webhook: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROSE", "ask Ann")
    with pytest.raises(SettingsError) as failed:
        notify(noticing(webhook=webhook))
    assert str(failed.value) == told


RELATIVE = "a relative file: would be looked for wherever the worker was started; write the whole path: file:/PATH"


@pytest.mark.parametrize("webhook", ["file:hook", "file:./hook", "file:"])
def test_a_relative_file_is_refused_where_the_input_is_given(webhook: str) -> None:
    with pytest.raises(ValidationError) as refused:
        noticing(webhook=webhook)
    assert plain(refused.value) == f"webhook: Value error, {RELATIVE}"


def test_a_relative_file_in_an_older_input_is_read_where_the_worker_is(
    hearing: Callable[[int], Heard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hearing(204)
    (tmp_path / "hook").write_text(heard.url)
    monkeypatch.chdir(tmp_path)
    notify(step(Noticed.model_validate_json('{"notice": {"webhook": "file:hook"}}'), key="run.9"))
    assert [path for path, _, _ in heard.requests] == ["/hook/s3cret"]


def test_a_file_with_its_whole_path_is_read(hearing: Callable[[int], Heard], tmp_path: Path) -> None:
    heard = hearing(204)
    (tmp_path / "hook").write_text(f"{heard.url}\n")
    notify(noticing(webhook=f"file:{tmp_path}/hook"))
    assert [path for path, _, _ in heard.requests] == ["/hook/s3cret"]


def test_without_a_notice_nobody_is_told() -> None:
    notify(step(Noticed()))
