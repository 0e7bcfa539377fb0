"""What one test of settings and logging leaves behind is not the next one's."""

from __future__ import annotations

import pytest

from saga_engine.settings import secret


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that one test resolves is a word to the next."""
    monkeypatch.setattr(secret, "_known", secret._Known())
