"""Secrets: a reference becomes a URL here and nowhere else, and what became known is removed from every text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_plus

from pydantic import SecretStr

from saga_engine.errors import SettingsError

HIDDEN: Final = "***"
FILE_BYTES_MAX: Final = 64 * 1024
"""A file that holds one URL is not larger."""

_NAME_OF_SECRET: Final = r"(?:ssl)?password|passwd|pwd|secret|token|api_?key"  # noqa: S105  words, not a password
_BEFORE: Final = r"(?:[\w-]*[_-])?"
# As SQLAlchemy reads a URL: the password ends at the first @; it may hold a slash or a colon.
_URL: Final = re.compile(r"^[\w+]+://(?:[^:/]*(?::(?P<password>[^@]*))?@)?")
# A value that is a URL as a whole: what stands before its last @ may hold anything, and none of it is shown.
_URL_ALONE: Final = re.compile(r"^(?P<head>[\w+.-]+://[^:/]*:).*(?=@)", re.DOTALL)
_QUERY_ALONE: Final = re.compile(rf"(?P<head>[?&]{_BEFORE}(?:{_NAME_OF_SECRET})=)[^&#]*", re.IGNORECASE)
# In running text a password with @ in it must go too, so this one goes on to the last @ of the word. A quote belongs
# to the word unless what comes behind it says that it ends there. Looked for where a word begins only: a text that is
# one long word would take the square of its length.
_URL_IN_TEXT: Final = re.compile(
    r"(?<![\w+.-])(?P<head>[\w+.-]+://[^\s:/]*:)(?:[^\s\"'<>]|[\"'](?![\s,;:.)\]}<>\"'=]|$)){0,1024}(?=@)"
)
_STRING: Final = r"[bBrRuU]{0,2}(?:\\\"(?:(?!\\\").)*\\\"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_PAIR_IN_TEXT: Final = re.compile(
    rf"(?P<head>(?:\b|_)(?:{_NAME_OF_SECRET})\s*=\s*)(?:{_STRING}|[^\s&;,'\"]+)", re.IGNORECASE
)
# As in JSON, in a JSON string, and in what Python prints: the colon alone, as in "unexpected token: x", is none.
_MEMBER_IN_TEXT: Final = re.compile(
    rf"(?P<head>(?P<quote>\\?[\"']){_BEFORE}(?:{_NAME_OF_SECRET})(?P=quote)\s*[:=]\s*)"
    rf"(?:{_STRING}|[^\s&;,'\"\[\]{{}}\\]+)",
    re.IGNORECASE,
)


class Words(NamedTuple):
    """What is said of a reference that leads nowhere: what it stands for, and what is read when it is looked up."""

    url: str = "database URL"
    like: str = "postgresql+psycopg://host/db"
    file: str = "file:PATH"
    unset: str = "set it, or write it into .env"


OF_A_DATABASE: Final = Words()


class _Known:
    """Every secret that was resolved in this process, as one pattern that is replaced whole."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._secrets: frozenset[str] = frozenset()
        self.pattern: re.Pattern[str] | None = None

    def add(self, *secrets: str) -> None:
        with self._lock:
            self._secrets = self._secrets.union(filter(None, secrets))
            if self._secrets:
                longest_first = sorted(self._secrets, key=len, reverse=True)
                self.pattern = re.compile("|".join(map(_alone, longest_first)))


_known = _Known()


def redact(text: str) -> str:
    """Return *text* without the passwords of URLs, without ``password=...``, and without any secret resolved so far."""
    pattern = _known.pattern
    if pattern is not None:
        text = pattern.sub(HIDDEN, text)
    for pattern in (_URL_IN_TEXT, _PAIR_IN_TEXT, _MEMBER_IN_TEXT):
        text = pattern.sub(rf"\g<head>{HIDDEN}", text)
    return text


def redact_value(value: str) -> str:
    """The same for a *value* that stands alone: where it is a URL, nothing of its password is shown.

    In running text nobody can tell where a password ends that holds a blank or a quote.
    """
    if is_url(value):
        for pattern in (_URL_ALONE, _QUERY_ALONE):
            value = pattern.sub(rf"\g<head>{HIDDEN}", value)
    return redact(value)


def is_url(value: str) -> bool:
    """True when *value* as a whole is written as a URL is."""
    return re.match(r"[\w+.-]+://", value) is not None


def is_secret_name(name: str) -> bool:
    """True when whatever is called *name* is a secret, such as "password", "db_password" or "api_key"."""
    return re.fullmatch(rf"{_BEFORE}(?:{_NAME_OF_SECRET})", name, re.IGNORECASE) is not None


def resolve(
    name: str, reference: str, environment: Mapping[str, str], base: Path, words: Words = OF_A_DATABASE
) -> SecretStr:
    """The URL behind *reference*: a URL itself, ``env:NAME``, or ``file:PATH`` (relative to *base*).

    From then on ``redact`` knows its password. A SQLite path that is not absolute is taken from *base*. Raises
    ``SettingsError``, which names the setting *name*, where the reference leads nowhere or to no URL; its remedy is
    in *words*.
    """
    problem = reference_problem(reference, words)
    if problem:
        raise SettingsError(f"{name}: {problem}")
    url = _look_up(name, reference, environment, base, words)
    if not _URL.match(url):
        raise SettingsError(f"{name}: {_kind(reference)} holds no {words.url}; write one like {words.like}")
    _known.add(*_passwords(url))
    return SecretStr(anchored(url, base))


def reference_problem(reference: str, words: Words = OF_A_DATABASE) -> str:
    """Why *reference* can never lead to a URL, with the remedy; empty where it may."""
    scheme, colon, rest = reference.partition(":")
    if scheme == "keyring" and colon:
        return f"keyring needs the extra saga-engine[keyring], which this version lacks; write env:NAME or {words.file}"
    if scheme in {"env", "file"} and not rest:
        return f"{reference} names nothing; write env:NAME or {words.file}"
    if scheme not in {"env", "file"} and not _URL.match(reference):
        return f"this is no {words.url} and no reference; write a URL, env:NAME or {words.file}"
    return ""


def has_password(reference: str) -> bool:
    """True when *reference* is a URL that holds its password in the clear."""
    return any(_passwords(reference))


def anchored(reference: str, base: Path) -> str:
    """Return *reference* with its relative SQLite path or ``file:`` path made absolute from *base*."""
    head, slashes, path = reference.partition(":///")
    if slashes and head.partition("+")[0] == "sqlite" and path and not path.startswith((":memory:", "file:", "/")):
        return f"{head}:///{base / path}"
    if reference.startswith("file:"):
        return f"file:{base / Path(reference.removeprefix('file:')).expanduser()}"
    return reference


def _look_up(name: str, reference: str, environment: Mapping[str, str], base: Path, words: Words) -> str:
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        if not environment.get(rest):
            raise SettingsError(f"{name}: the environment variable {rest} is not set; {words.unset}")
        return environment[rest].strip()
    if scheme == "file":
        return _read_secret(name, base / Path(rest).expanduser())
    return reference


def _read_secret(name: str, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(FILE_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            f"{name}: {path} cannot be read: {reason}; put the URL there, readable for you alone"
        ) from None


def _kind(reference: str) -> str:
    """The reference where it is one, and never a URL: that may hold the secret."""
    return reference if reference.startswith(("env:", "file:")) else "the value"


def _passwords(url: str) -> list[str]:
    """Each password in *url*, as written and as meant."""
    match = _URL.match(url)
    written = [match["password"]] if match and match["password"] else []
    query = parse_qsl(url.partition("?")[2])
    named = [value for key, value in query if is_secret_name(key)]
    return [form for password in written for form in (password, unquote(password), unquote_plus(password))] + named


def _alone(secret: str) -> str:
    """A pattern that finds *secret*, but not inside a longer word: a password may be as short as "a"."""
    left = r"(?<!\w)" if re.match(r"\w", secret) else ""
    right = r"(?!\w)" if re.search(r"\w$", secret) else ""
    return left + re.escape(secret) + right
