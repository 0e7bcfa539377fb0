"""Projects whose processes are killed, and the seed of what is chosen by chance."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kill.project import Project
from tests.support.nursery import CHECKOUT, Nursery

FreshUrl = Callable[[str, str], str]
Projects = Callable[..., Project]

SEED_VARIABLE = "SAGA_TEST_SEED"
ONE_TRIAL: Final = "SAGA_TEST_KILL"
"""Set to a shape and hits, it asks for one trial, where a test would do many."""

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where workers come from."""
    nursery = Nursery("tests.kill.nursery")
    yield nursery
    nursery.close()


@pytest.fixture
def project_of(tmp_path: Path, nursery: Nursery, fresh_url: FreshUrl) -> Iterator[Projects]:
    """Ask `project_of("sqlite", "postgresql", lease_seconds=1)` for a project with this store, target and limits."""
    with ExitStack() as projects:

        def project_of(store: str, target: str = "sqlite", **given: Any) -> Project:
            folder = tmp_path / "project"
            project = Project(folder, nursery, fresh_url(store, "saga"), fresh_url(target, "target"), **given)
            projects.callback(project.close)
            return project

        yield project_of


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """The kind of the store, once each."""
    return str(request.param)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """What the test chooses by; printed with the command that chooses the same again."""
    seed = os.environ.get(SEED_VARIABLE) or ("1" if os.environ.get("CI") else secrets.token_hex(4))
    print(f"{SEED_VARIABLE}={seed} pytest -p no:randomly '{request.node.nodeid}'")  # noqa: T201  shown with a failure
    return seed


@pytest.fixture
def ask(
    tmp_path: Path, fresh_url: FreshUrl, seed: str, request: pytest.FixtureRequest, record_property: Callable[..., None]
) -> Ask:
    """Ask `ask("sweep", "sqlite", "postgresql", kills=100)` for the answer of ``tests.kill.sweep``, all well."""

    def ask(harness: str, store: str, target: str, **order: Any) -> dict[str, Any]:
        for name, kind in (("store", store), ("target", target)):
            order[name] = f"sqlite:///{tmp_path / name}.db" if kind == "sqlite" else fresh_url(kind, name)
        order["seed"] = f"{seed} {store} {target}"
        if ONE_TRIAL in os.environ:
            shape, *at = os.environ[ONE_TRIAL].split()
            order |= {"shapes": [shape], "at": at}
        done = subprocess.run(
            [sys.executable, "-m", f"tests.kill.{harness}"], input=json.dumps(order),
            cwd=CHECKOUT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        record_property("counted", f"{store} to {target}: {counted(answer)}")
        assert not answer["wrong"], "\n\n".join(again(request.node.nodeid, seed, wrong) for wrong in answer["wrong"])
        return answer

    return ask


def at_least(number: int) -> int:
    """So many are expected, but where one is asked for."""
    return 1 if ONE_TRIAL in os.environ else number


def counted(answer: dict[str, Any]) -> str:
    """For the end of the output of pytest."""
    numbers = [f"{answer[what]} {what}" for what in ("kills", "pauses", "trials") if what in answer]
    return f"{', '.join(numbers)} at {len(answer['failpoints'])} failpoints in {answer['seconds']:.0f} s"


def again(test: str, seed: str, wrong: dict[str, Any]) -> str:
    """What went wrong, and the one command that does the same again."""
    where = f"{wrong['shape']} {' '.join(wrong['at'])}"
    command = f"{ONE_TRIAL}='{where}' {SEED_VARIABLE}='{seed}' pytest -p no:randomly '{test}'"
    return "\n".join([f"{wrong['key']} at {where}:", *wrong["problems"], "again:", command])
