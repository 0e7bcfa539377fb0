"""Files of sagas are loaded as they are now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from saga_engine.runtime.registry import modules


def told(file: Path) -> str:
    ((_, module),) = modules(file)
    return module if isinstance(module, str) else str(vars(module).get("TOLD"))


def test_a_file_that_was_written_again_within_the_second_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "flow.py"
    file.write_text("TOLD = 'old'\n")
    moment = file.stat().st_mtime_ns
    assert told(file) == "old"
    file.write_text("TOLD = 'new'\n")
    os.utime(file, ns=(moment, moment))
    assert told(file) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["flow.py"], "nothing is left beside the user's files"


def test_what_is_no_python_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "flow.txt"
    file.write_text("TOLD = 'text'\n")
    assert "this is no Python file" in told(file)
