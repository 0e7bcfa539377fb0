"""A step in a process of its own is the same step: the same results, failures and refusals, in the same words."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from saga_engine import errors
from saga_engine.runtime import registry
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.isolation import linux, servers
from saga_engine.settings import Exports, Settings
from tests.runtime import isolated, plays
from tests.runtime.backups import backup
from tests.runtime.conftest import SHORT, Opened, loaded, working
from tests.runtime.isolated import ACTS

PASSWORD_URL = "postgresql+psycopg://ann:geheim@127.0.0.1:1/none"
ATTEMPTS = ("ActionSucceeded", "ActionFailed", "AttemptTimedOut", "AttemptLost")


def told(engine: Engine, run: str) -> tuple[Any, ...]:
    """How a run has gone, without what differs from run to run: names, and the process that it ran in."""
    found = engine.get(run)
    attempts = [line.event for line in engine.history(run) if line.kind in ATTEMPTS]
    events = [
        {
            name: re.sub(r"process \d+", "process", str(value))
            for name, value in event.items()
            if name not in ("task", "incarnation")
        }
        for event in attempts
    ]
    return found.state, found.status, [(task.parked, task.error, task.failures) for task in found.tasks], events


def first_process(engine: Engine, run: str) -> str:
    value = next(line.event["value"] for line in engine.history(run) if line.kind == "ActionSucceeded")
    return str(json.loads(value)["text"])


@pytest.mark.parametrize(
    ("made_url", "target_url"), [("sqlite", "postgresql"), ("postgresql", "sqlite")], indirect=True
)
def test_a_step_comes_to_the_same_on_a_thread_and_in_a_process(
    made_url: str, target_url: str, dw: str, tmp_path: Path
) -> None:
    bare = f"sqlite:///{tmp_path / 'bare.db'}"
    settings = Settings(
        store=made_url,
        connections={"dw": dw, "bare": bare, "away": PASSWORD_URL, "own": made_url},
        limits=SHORT.model_copy(update={"result_bytes_max": 2_000, "lease_seconds": 10}),
        exports=Exports(dir=tmp_path / "exports"),
    )
    sagas = [isolated.on_a_thread, isolated.in_a_process, isolated.probed_on_a_thread, isolated.probed_in_a_process]
    acts = [act for act in ACTS if act != "writes to the store" or made_url.startswith("sqlite")]
    pairs = [("on_a_thread", "in_a_process", act) for act in acts]
    pairs += [("probed_on_a_thread", "probed_in_a_process", how) for how in ("done", "in doubt")]
    with Engine(sagas=sagas, settings=settings) as engine, capture_logs() as logged:
        runs = [[engine.start(saga, {"how": how, "n": 5}).id for saga in pair] for *pair, how in pairs]
        engine.work(until_idle=True)
        for (*_, how), (thread, process) in zip(pairs, runs, strict=True):
            assert (how, told(engine, process)) == (how, told(engine, thread))
        processes = [first_process(engine, process) for _, process in runs[: len(acts)]]
        assert {first_process(engine, thread) for thread, _ in runs[: len(acts)]} == {f"process {os.getpid()}"}
        [secret] = [process for (*_, how), (_, process) in zip(pairs, runs, strict=True) if how == "tells a secret"]
        assert "the password is ***" in str(told(engine, secret))
    assert len({f"process {os.getpid()}", *processes}) == len(acts) + 1, "each attempt has a process of its own"
    assert loaded(dw) == ["x", "x"]
    said = Counter((line["how"], line["attempt"]) for line in logged if line["event"] == "step.acts")
    assert {how for how, _ in said} == set(acts)
    assert set(said.values()) == {2}, "what a child logs comes out here"


@pytest.mark.parametrize(("made_url", "target_url"), [("sqlite", "mariadb"), ("postgresql", "sqlite")], indirect=True)
@pytest.mark.parametrize("fails", [False, True], ids=["forward", "back"])
def test_a_process_takes_over_and_undoes_what_only_a_ledger_knew(  # noqa: PLR0917  a world
    opened: Opened,
    made_url: str,
    dw: str,
    fresh_url: Callable[[str, str], str],
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    before = opened(isolated.in_a_process, connections={"dw": dw})
    before.door.store_uuid()  # the room of these tests was swept, and a store has one from the beginning
    run = before.start("in_a_process", {"how": isolated.MAY_FAIL}).id
    copy = backup(made_url, fresh_url)
    before.work(until_idle=True)
    assert (before.get(run).status, loaded(dw)) == ("completed", ["y"])
    engine = opened(isolated.in_a_process, connections={"dw": dw}, url=copy)
    done = engine.reconcile(run)
    assert [(step.step, step.verdict, bool(step.mends)) for step in done.steps] == [("TWO 1", "unknown", True)]
    if fails:
        monkeypatch.setenv(isolated.FAILS, "1")
    engine.work(until_idle=True)
    found = engine.get(run)
    assert [(task.parked, task.error) for task in found.tasks] == []
    assert (found.status, loaded(dw)) == (("rolled_back", []) if fails else ("completed", ["y"]))
    assert engine.reconcile(run).steps == ()


def in_a_function() -> Any:
    return isolated.made("in_a_function", "process")


def test_a_saga_that_a_process_could_not_load_is_refused_before_a_worker_begins(opened: Opened) -> None:
    engine = opened(in_a_function())
    with pytest.raises(errors.DefinitionError) as refused:
        engine.work(until_idle=True)
    assert str(refused.value) == (
        'in_a_function asks for isolation="process": a process of its own cannot load it: it has to stand at module '
        "level of a file, not be made by a function"
    )
    assert engine.workers() == []


def test_nothing_is_isolated_where_there_is_no_linux(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "HERE", False)
    with pytest.raises(errors.DefinitionError, match="that needs Linux"):
        opened(isolated.in_a_process).worker()


WORKFLOW = """
import os
import threading
from enum import Enum, auto
from saga_engine import Frozen, Outcome, Retry, Saga, Step, minutes, seconds
{before}
class S(Enum):
    ONE = auto(); BACK = auto(); DONE = auto(); UNDONE = auto()
class Given(Frozen):
    n: int = 0
class Value(Frozen):
    pid: int
def one(step: Step[Given]) -> Value:
    {body}
    return Value(pid=os.getpid())
def undo(step: Step[Given], was: Outcome[Value]) -> None: ...
flow = Saga("flow", version=1, states=S, input=Given, start=S.ONE)
flow.at(S.ONE).run(one, isolation="process", timeout=minutes({minutes}), retry=Retry(2, first=seconds(0.01))).undo(
    undo).then(S.DONE, failed=S.BACK)
flow.rolls_back(S.BACK).to(S.UNDONE)
flow.final(S.DONE, S.UNDONE)
"""


def written(folder: Path, before: str = "", body: str = "pass", minutes: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "flow.py"
    file.write_text(textwrap.dedent(WORKFLOW.format(before=before, body=body, minutes=minutes)))
    return file


def at_file(url: str, file: Path) -> Engine:
    settings = Settings(store=url, limits=SHORT, workflows=file)
    return Engine(settings=settings, registry=registry.load(file))


def waits_because(engine: Engine) -> str:
    """Why the run's step is not done, once a worker has tried; nothing is counted."""
    run = engine.start("flow", {}).id
    with working(engine):
        plays.until(lambda: engine.get(run).tasks[0].error)
    [task] = engine.get(run).tasks
    assert (task.failures, task.crashes, task.leased_by) == (0, 0, None)
    return task.error


def test_a_file_that_has_changed_since_the_worker_loaded_it_is_not_run(made_url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "w")
    with at_file(made_url, file) as engine:
        written(tmp_path / "w", minutes=2)
        assert waits_because(engine) == (
            "IsolationFailed: flow asks for a process of its own, and cannot have one: the file has changed since this "
            "worker loaded it: start the worker again. Nothing of it has run, and nothing is counted."
        )


PROGRAM = """
if __name__ == "__main__":
    from saga_engine.runtime.engine import Engine
    with Engine("sqlite:///saga.db", sagas=[flow]) as engine:
        run = engine.start(flow, Given())
        engine.work(until_idle=True)
        print(engine.get(run.id).status, engine.get(run.id).results["ONE"]["pid"] != os.getpid())
"""


def test_a_program_may_have_its_saga_in_itself(tmp_path: Path) -> None:
    file = written(tmp_path / "w")
    file.write_text(file.read_text() + PROGRAM)
    done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("completed True\n", 0), done.stderr


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_step_is_what_it_was_when_its_worker_began(made_url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "w")
    with at_file(made_url, file) as engine, capture_logs() as logged, working(engine):
        plays.until(lambda: any(line["event"] == "isolation.loaded" for line in logged))
        written(tmp_path / "w", body="1 / 0")
        run = engine.start("flow", {}).id
        plays.until(lambda: engine.get(run).ended)
        assert engine.get(run).status == "completed"


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "has started a thread, and a process with threads cannot be forked safely",
        ),
        ("from saga_engine.runtime.engine import Engine; Engine('sqlite:///x.db')", "this file makes an Engine while"),
        ("os._exit(1)", "the process that it is forked from could not be started, or has ended"),
    ],
    ids=["it fails", "it starts a thread", "it makes an engine", "it exits"],
)
def test_a_file_that_a_fork_server_cannot_load_is_not_run(
    made_url: str, tmp_path: Path, before: str, told: str
) -> None:
    file = written(tmp_path / "w")
    with at_file(made_url, file) as engine:
        written(tmp_path / "w", before=before)
        assert told in waits_because(engine)


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_file_that_starts_a_thread_spoils_no_other_saga_and_ends_no_attempt(made_url: str, tmp_path: Path) -> None:
    """Not the one that runs already, and none that begins later."""
    spoilt = written(tmp_path / "w")
    spoilt = spoilt.rename(spoilt.with_name("spoilt.py"))
    spoilt.write_text(spoilt.read_text().replace('"flow"', '"spoilt"'))
    written(
        tmp_path / "w",
        body='while not os.path.exists("{tmp}"): threading.Event().wait(0.01)'.format(tmp=tmp_path / "go"),
    )
    with at_file(made_url, tmp_path / "w") as engine:
        thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()\nclass S(Enum)"
        spoilt.write_text(spoilt.read_text().replace("class S(Enum)", thread))
        first = engine.start("flow", {}).id
        with capture_logs() as logged, working(engine):
            plays.until(lambda: any(line["event"] == "attempt.isolated" for line in logged))
            stuck = engine.start("spoilt", {}).id
            plays.until(lambda: engine.get(stuck).tasks[0].error)
            second = engine.start("flow", {}).id
            plays.until(lambda: len([line for line in logged if line["event"] == "attempt.isolated"]) == 2)
            (tmp_path / "go").touch()
            plays.until(lambda: engine.get(first).ended and engine.get(second).ended)
        assert [engine.get(run).status for run in (first, second)] == ["completed", "completed"]
        failed = [x.event for run in (first, second) for x in engine.history(run) if x.kind == "ActionFailed"]
        assert [event for event in failed if not event["busy"]] == [], "one may have come while the server was replaced"
        assert "importing its file has started a thread" in engine.get(stuck).tasks[0].error


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fork server that does not answer; longer than one takes to start."""
    monkeypatch.setattr(servers, "START_SECONDS", 4.0)


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_file_that_hangs_while_it_is_imported_holds_up_no_other_saga(made_url: str, tmp_path: Path) -> None:
    """What runs below the fork server that hangs runs on; the others get another one."""
    bad, hanging = written_as(tmp_path / "w", "hangs")
    written(tmp_path / "w", body=f'while not os.path.exists("{tmp_path / "go"}"): threading.Event().wait(0.01)')
    with at_file(made_url, tmp_path / "w") as engine:
        bad.write_text("1 / 0")
        first = engine.start("flow", {}).id
        with capture_logs() as logged, working(engine):

            def begun(count: int) -> list[int]:
                plays.until(lambda: len([x for x in logged if x["event"] == "attempt.isolated"]) == count)
                return [x["pid"] for x in logged if x["event"] == "attempt.isolated"]

            begun(1)
            bad.write_text(hanging)
            stuck = engine.start("hangs", {}).id
            plays.until(lambda: engine.get(stuck).tasks[0].error)
            assert "its file was imported for 4 s and was not done" in engine.get(stuck).tasks[0].error
            second = engine.start("flow", {}).id
            one, other = (parent(parent(pid)) for pid in begun(2))
            assert one != other, "each has its own fork server"
            (tmp_path / "go").touch()
            plays.until(lambda: engine.get(first).ended and engine.get(second).ended)
        runs = [engine.get(run) for run in (first, second)]
        assert [(run.status, [task.failures for task in run.tasks]) for run in runs] == [("completed", [])] * 2
    assert not Path(f"/proc/{one}").exists(), "it ends with its worker"


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_what_is_to_be_imported_after_a_file_that_hangs_is_not_taken_for_one(made_url: str, tmp_path: Path) -> None:
    bad, hanging = written_as(tmp_path / "w", "a_hangs")
    written(tmp_path / "w")
    with at_file(made_url, tmp_path / "w") as engine:
        bad.write_text(hanging)
        with working(engine):
            run = engine.start("flow", {}).id
            plays.until(lambda: engine.get(run).ended)
        assert engine.get(run).status == "completed"


def written_as(folder: Path, name: str) -> tuple[Path, str]:
    """A whole file of a saga of that name, and the text with which its import does not end."""
    file = written(folder)
    file = file.rename(file.with_name(f"{name}.py"))
    file.write_text(file.read_text().replace('"flow"', f'"{name}"'))
    return file, file.read_text().replace("class S(Enum)", "threading.Event().wait()\nclass S(Enum)")


@pytest.mark.parametrize("made_url", ["postgresql"], indirect=True)
def test_a_fork_server_that_was_killed_is_started_again(made_url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "w", body="while step.attempt == 1: pass")
    with at_file(made_url, file) as engine:
        run = engine.start("flow", {}).id
        with capture_logs() as logged, working(engine):
            plays.until(lambda: any(line["event"] == "attempt.isolated" for line in logged))
            [first] = [line["pid"] for line in logged if line["event"] == "attempt.isolated"]
            server = parent(parent(first))
            assert parent(server) == os.getpid()
            os.kill(server, signal.SIGKILL)
            plays.until(lambda: engine.get(run).ended)
        assert not Path(f"/proc/{first}").exists()
        assert engine.get(run).status == "completed"
        failed = [line.event["error"] for line in engine.history(run) if line.kind == "ActionFailed"]
        assert failed == ["its process ended by signal 9 (SIGKILL)"]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
