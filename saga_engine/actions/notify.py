"""Notices: run a command or post to a webhook when a run enters a state.

A notice is tried again until it is given, so whoever gets it may get it twice: the step key tells. The command finds
the message as JSON on standard input, and its main facts in SAGA_RUN, SAGA_STEP_KEY and SAGA_EVENT; the webhook gets
it as the body of a POST, with the key as Idempotency-Key. Neither address nor output is ever printed: they may hold
secrets.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from pydantic import Field, ValidationInfo, field_validator

from saga_engine.domain.definition.facts import Step
from saga_engine.domain.definition.values import Frozen
from saga_engine.errors import NoticeFailed
from saga_engine.settings.secret import Words, resolve

SCHEMES: Final = ("https", "http")
WORDS: Final = Words("URL", "https://host/hook", "file:/PATH", unset="set it in the environment of the worker")


class Notice(Frozen):
    """How to tell somebody: *command* is a program and its arguments, never run by a shell; *webhook* is a URL.

    An address with a secret in it is written ``env:NAME``, of the environment of the worker, or ``file:/PATH``: what
    is written here is stored.
    """

    command: tuple[str, ...] = ()
    webhook: str = ""
    timeout_seconds: float = Field(default=30.0, gt=0, le=240)

    @field_validator("webhook")
    @classmethod
    def _whole_path(cls, webhook: str, info: ValidationInfo) -> str:
        """Inputs are given as Python and stored as JSON: one that is stored must be read, or its run cannot end."""
        if info.mode == "python" and (problem := _relative(webhook)):
            raise ValueError(problem)
        return webhook


class Noticed(Frozen):
    """What an input extends to have notices; None: nobody is told."""

    notice: Notice | None = None


def notify(step: Step[Noticed]) -> None:
    """Tell that the run is here; for ``entering``, ``leaving`` and final states. ``tell`` says more."""
    tell(step, "reached")


def tell(step: Step[Noticed], event: str, **facts: object) -> None:
    """Send *event* and *facts*, as JSON, to whom the input names. Raises ``NoticeFailed``, to be tried again."""
    notice = step.input.notice
    if notice is None:
        return
    message = json.dumps({"event": event, "run": step.run_id, "key": step.key, **facts}, default=str).encode()
    if notice.command:
        _run(notice, message, {"SAGA_RUN": step.run_id, "SAGA_STEP_KEY": step.key, "SAGA_EVENT": event})
    if notice.webhook:
        _post(notice, message, step.key)


def _run(notice: Notice, message: bytes, facts: Mapping[str, str]) -> None:
    name = notice.command[0]
    try:
        process = subprocess.Popen(
            notice.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **facts},
            start_new_session=True,  # so that its children end with it
        )
    except OSError as error:
        raise NoticeFailed(reason=f"{name} cannot be started: {error.strerror}") from None
    with process:
        try:
            process.communicate(message, notice.timeout_seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise NoticeFailed(reason=f"{name} did not end within {notice.timeout_seconds:g} s") from None
    if process.returncode != 0:
        raise NoticeFailed(reason=f"{name} ended with {process.returncode}")


def _post(notice: Notice, message: bytes, key: str) -> None:
    # A relative file: is in inputs that were given before it was refused.
    url = resolve("the webhook", notice.webhook, os.environ, Path.cwd(), WORDS).get_secret_value()
    if urlsplit(url).scheme not in SCHEMES:
        raise NoticeFailed(reason="the webhook's address is neither https:// nor http://")
    request = Request(url, message, {"Content-Type": "application/json", "Idempotency-Key": key}, method="POST")  # noqa: S310  looked at above
    try:
        with _opener().open(request, timeout=notice.timeout_seconds):
            pass
    except HTTPError as error:
        error.close()
        raise NoticeFailed(reason=f"the webhook answered {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoticeFailed(reason=f"the webhook was not reached ({type(error).__name__})") from None


def _relative(webhook: str) -> str:
    """Why a *webhook* that is a ``file:`` leads to no certain file; empty where it does, or is none."""
    if webhook.startswith("file:") and not webhook.startswith(("file:/", "file:~")):
        return "a relative file: would be looked for wherever the worker was started; write the whole path: file:/PATH"
    return ""


def _opener() -> OpenerDirector:
    """Speak HTTP only, and follow no redirect: it would make a GET of the POST, and say "done" with nobody told."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler(), HTTPErrorProcessor(), HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    return opener
