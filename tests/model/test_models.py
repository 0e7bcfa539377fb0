"""Spin goes through every order of events of a model: the protocol holds in all, and each broken variant in not all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
MEGABYTES_MAX: Final = 256
LARGER: Final = {"fence": "-DEXPIRIES=2", "ledger": "-DFIRST=3", "commit": "-DCUTS=5", "gate": "-DTICKS=9"}
"""Bounds that take minutes, and a lot of memory; without them those that the models themselves say."""
LARGER_MEGABYTES_MAX: Final = 3072

STUCK: Final = "invalid end state"
"""Nobody can go on, and it is not the end."""
NOT_THE_HOLDER: Final = "its==task"
ON_THE_PAST: Final = "seen==revision"
TWICE: Final = "effects[part]==1"
LEFT: Final = "effects[0]==0"
OLDER: Final = "began[visit]==mine"
COUNTED: Final = "happened==1"
NOT_SHOWN: Final = "looked_at==gate"
TOO_LATE: Final = "at<expires"
TOO_EARLY: Final = "now>=expires"

BROKEN: Final = [
    ("fence", "REVISION_ONLY", NOT_THE_HOLDER),
    ("fence", "ATTEMPT_ONLY", ON_THE_PAST),
    ("fence", "INCARNATION_ONLY", NOT_THE_HOLDER),
    ("fence", "NEVER_RELEASED", STUCK),
    ("fence", "NEVER_FREED", STUCK),
    ("ledger", "NO_HEAD", TWICE),
    ("ledger", "NO_TOMBSTONE", TWICE),
    ("ledger", "NO_TOKEN", OLDER),
    ("ledger", "DELETES", TWICE),
    ("ledger", "LOOKS_BEFORE", TWICE),
    ("ledger", "LISTS_BEFORE", LEFT),
    ("ledger", "SAME_KEY", STUCK),
    ("ledger", "RESETS", STUCK),
    ("commit", "PLAIN_SELECT", COUNTED),
    ("commit", "BLIND_RETRY", COUNTED),
    ("commit", "ASSUMES_DONE", COUNTED),
    ("gate", "NO_REVISION", NOT_SHOWN),
    ("gate", "NO_DIGEST", NOT_SHOWN),
    ("gate", "NO_EXPIRY_CHECK", TOO_LATE),
    ("gate", "TIMER_OF_STATE", TOO_EARLY),
    ("gate", "WORKER_CLOCK", TOO_EARLY),
]
"""A model, what is broken in it, and the promise that this breaks first."""
MODELS: Final = sorted(path.stem for path in HERE.glob("*.pml"))


@pytest.fixture
def installed() -> None:
    missing = [program for program in ("spin", "cc") if shutil.which(program) is None]
    if missing and "spin" in os.environ.get("SAGA_TEST_REQUIRE", "").split(","):
        pytest.fail(f"SAGA_TEST_REQUIRE names spin: {', '.join(missing)} is not installed")
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (Debian: apt install spin gcc)")


def verified(model: str, folder: Path, *words: str, megabytes: int = MEGABYTES_MAX) -> str:
    """What Spin's verifier says of a model, with these words defined."""
    run(folder, "spin", "-a", *words, str(HERE / f"{model}.pml"))
    run(folder, "cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={megabytes}", "-o", "pan", "pan.c")
    # -w: two to this many slots in the table of states; the longest way of these models is far below -m.
    told = run(folder, "./pan", "-w20", "-m100000")
    assert "reached -DMEMLIM bound" not in told, f"{model} needs more than {megabytes} MB"
    assert "max search depth too small" not in told, told
    return told


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def holds(told: str) -> bool:
    """No promise is broken, and every line of the model was reached."""
    assert re.findall(r"errors: (\d+)", told) == ["0"], told
    [stored] = re.findall(r"(\d+) states, stored", told)
    assert int(stored) > 100, "it has looked at next to nothing"
    return re.findall(r"\((?!0 of)\d+ of \d+ states\)", told) == []


@pytest.mark.parametrize("model", MODELS)
def test_the_protocol_holds_in_every_order(model: str, installed: None, tmp_path: Path) -> None:
    assert holds(verified(model, tmp_path))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", MODELS)
def test_the_protocol_holds_in_larger_bounds(model: str, installed: None, tmp_path: Path) -> None:
    assert holds(verified(model, tmp_path, LARGER[model], megabytes=LARGER_MEGABYTES_MAX))


@pytest.mark.parametrize(("model", "broken", "promise"), BROKEN)
def test_without_this_rule_a_promise_is_broken(
    model: str, broken: str, promise: str, installed: None, tmp_path: Path
) -> None:
    told = verified(model, tmp_path, f"-D{broken}")
    [found] = re.findall(r"pan:1: (.+) \(at depth", told)
    assert promise in found.replace("(", "").replace(")", ""), told


@pytest.mark.parametrize("model", MODELS)
def test_every_variant_that_a_model_names_is_broken_by_a_test(model: str) -> None:
    head = (HERE / f"{model}.pml").read_text().partition("*/")[0]
    named = re.findall(r"^ \*   ([A-Z_]+) ", head, re.MULTILINE)
    assert named == [broken for of, broken, _ in BROKEN if of == model]


@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_mirrors_is_there(model: str) -> None:
    readme = (HERE / "README.md").read_text()
    section = readme.partition(f"## {model}.pml")[2].partition("\n## ")[0]
    mirrored = re.findall(r"`(\w+(?:/\w+)+)\.(\w+)`", section)
    source = {file: (HERE.parents[1] / "saga_engine" / f"{file}.py").read_text() for file, _ in mirrored}
    assert mirrored
    assert [f"{file}.{name}" for file, name in mirrored if not re.search(rf"def {name}\b", source[file])] == []
