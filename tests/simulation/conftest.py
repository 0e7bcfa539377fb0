"""Keeps the hundreds of thousands of seeds for whoever asks for them."""

from __future__ import annotations

import pytest

LONG = "soak"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{LONG}: takes an hour or more; only `pytest -m {LONG}` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LONG in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker(LONG) and "simulation" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason=f"takes an hour or more: pytest -m {LONG}"))
