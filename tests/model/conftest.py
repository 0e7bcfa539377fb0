"""Models that take minutes are for `pytest -m soak`."""

from __future__ import annotations

import pytest

LONG = "soak"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{LONG}: kills for many minutes; only `pytest -m {LONG}` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LONG in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker(LONG):
            item.add_marker(pytest.mark.skip(reason=f"takes many minutes: pytest -m {LONG}"))
