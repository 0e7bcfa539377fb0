"""Files of sagas are loaded as they are now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from saga_engine.errors import DefinitionError
from saga_engine.runtime.registry import Registry, load, modules
from tests.runtime import plays

TWICE = "play v1 is written in two ways; raise the version of the newer one"


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


def test_a_saga_written_in_two_ways_is_refused_as_often_as_it_is_asked_for() -> None:
    first, twin = plays.saga(), plays.saga(deadline=plays.AN_HOUR)
    known = Registry([first])
    for add in (known.add, known.chart_of, known.add):
        with pytest.raises(DefinitionError) as refused:
            add(twin)
        assert str(refused.value) == TWICE
    assert [chart.saga for chart in known] == [first]


def test_of_a_file_of_which_one_saga_is_refused_nothing_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from tests.runtime import plays\nfirst = plays.saga()\n")
    (tmp_path / "b.py").write_text(
        "from tests.runtime import plays\nfirst = plays.saga()\n"
        "other = plays.waiting()\ntwin = plays.saga(deadline=plays.AN_HOUR)\n"
    )
    found = load(tmp_path)
    assert found.broken == {str(tmp_path / "b.py"): f"DefinitionError: {TWICE}"}
    assert [(chart.name, found.file_of(chart)) for chart in found] == [("play", tmp_path / "a.py")]
