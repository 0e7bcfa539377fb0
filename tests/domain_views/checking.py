"""How the tests of ``check`` ask."""

from __future__ import annotations

from saga_engine.domain.check import Finding, check
from tests.domain_views.sagas import saga_of

ROLES = {"dba": ["ann", "bob"], "lead": ["cleo"]}


def codes(lines: str, roles: dict[str, list[str]] | None = None) -> list[tuple[str, str, str]]:
    return [(found.code, found.severity, found.state) for found in check(saga_of(lines), roles)]


def only(lines: str, roles: dict[str, list[str]] | None = None) -> Finding:
    (found,) = check(saga_of(lines), roles)
    return found
