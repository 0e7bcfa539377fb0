"""Acting: what becomes of a run, what is said of it, and how the exit code tells."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from saga_engine.settings import system_user
from tests.cli.place import Done, Place

ME = system_user()


def states(saga: Place, run: str) -> tuple[str, str]:
    item = saga("show", run, "--json").json["item"]
    return item["state"], item["status"]


def kinds(saga: Place, run: str) -> list[str]:
    return [line["kind"] for line in saga("history", run, "--json").json["items"]]


# --- starting


def test_run_prints_the_name_alone_and_the_rest_beside_it(saga: Place) -> None:
    done = saga("run", "parcel", "--input", "to=Ann")
    assert (done.code, states(saga, done.out.strip())) == (0, ("PACKING", "running"))
    assert done.err.splitlines() == [
        f"note:  PACKING, running, waits for a worker; saga show {done.out.strip()} --watch",
        "note:  no worker is alive: start one with saga worker, or say saga run --work",
    ]
    assert saga("run", "parcel", "--input", "to=Ann", "-q").err == ""


def test_input_is_read_as_the_type_of_its_field(saga: Place) -> None:
    (saga.folder / "input.json").write_text('{"to": "Bea", "grams": 7, "labels": ["x"]}')
    given = ["--input", "@input.json", "--input", "to=12", "--input", 'labels=["a=b", "c"]', "--input", "local=no"]
    item = saga("run", "parcel", *given, "--json", "-q").json["item"]
    assert item["input"] == {
        "to": "12", "grams": 7, "labels": ["a=b", "c"], "local": False, "fail": "", "slow": 0.0,
    }  # fmt: skip
    piped = saga("run", "parcel", "--input", "-", "--json", "-q", stdin='{"to": "Cid"}').json["item"]
    assert piped["input"]["to"] == "Cid"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--input", "grams=5"], "parcel cannot start with this input: to: Field required"),
        (["--input", "to=A", "--input", "grams=heavy"], "grams: Input should be a valid integer"),
        (["--input", "too=A"], "too: Extra inputs are not permitted"),
        (["--input", "Ann"], "--input Ann: write name=value, @FILE with a JSON object, or - for standard input"),
        (["--input", "@missing.json"], "--input: missing.json cannot be read: No such file or directory"),
        (["--input", "@saga.toml"], "--input: this is no JSON"),
        (["--input", "-"], "--input: this is no JSON"),
    ],
)
def test_a_wrong_input_is_named_and_starts_nothing(saga: Place, given: list[str], told: str) -> None:
    done = saga("run", "parcel", *given)
    error, hint = done.err.splitlines()
    assert (done.code, done.out, told in error, error[:7]) == (2, "", True, "error: ")
    assert hint.startswith("hint:  saga run parcel --input to=… [--input grams=…]")
    assert saga("list", "--json").json["items"] == []


def test_a_run_key_gives_the_same_run_and_refuses_another_input(saga: Place) -> None:
    first = saga("run", "parcel", "--input", "to=Ann", "--key", "may-1", "-q").out.strip()
    assert saga("run", "parcel", "--input", "to=Ann", "--key", "may-1", "-q").out.strip() == first
    other = saga("run", "parcel", "--input", "to=Bea", "--key", "may-1")
    assert (other.code, other.out) == (7, "")
    assert other.err.splitlines() == [
        f"error: The run key may-1 belongs to {first}, which was started with another input. Use another key.",
        f"hint:  saga show {first}",
    ]


def test_a_wrong_input_of_a_saga_that_requires_none_shows_what_it_takes(saga: Place) -> None:
    file = saga.folder / "workflows" / "parcel.py"
    file.write_text(
        file.read_text().replace("    to: str\n    grams: int = 500\n", '    to: str = ""\n    grams: int = 5\n')
    )
    refused = saga("run", "parcel", "--input", "grams=heavy")
    assert refused.err.splitlines()[1].startswith("hint:  saga run parcel [--input to=…] [--input grams=…]")


# --- waiting


@pytest.mark.parametrize(
    ("given", "code", "end"),
    [
        (["fail=pack"], 5, ("RETURNED", "rolled_back")),
        (["fail=weigh"], 8, ("WEIGHING", "parked")),
        ([], 8, ("ASKING", "waiting")),
        (["local=false"], 8, ("COURIER", "waiting")),
    ],
)
def test_work_sees_a_run_through_and_its_exit_code_says_how_it_ended(
    saga: Place, given: list[str], code: int, end: tuple[str, str]
) -> None:
    inputs = [word for pair in ("to=Ann", *given) for word in ("--input", pair)]
    done = saga("run", "parcel", *inputs, "--work", "--json")
    assert (done.code, (done.json["item"]["state"], done.json["item"]["status"])) == (code, end)
    assert saga("workers", "--json").json["items"] == []


def test_wait_ends_with_the_run_or_with_its_time(any_saga: Place) -> None:
    saga = any_saga
    worker = saga.start("worker", "-q")
    try:
        late = saga("run", "parcel", "--input", "to=Ann", "--input", "slow=2", "--wait=1", "--json", "-q")
        assert (late.code, late.json["item"]["state"]) == (124, "PACKING")
        name = late.json["item"]["name"]
        asks = saga("resume", name, "--wait=25", "-q", "--json")
        assert (asks.code, asks.json["item"]["state"]) == (8, "ASKING")
        done = saga("approve", name, "--shown", saga.digest(name), "--wait", "--json", "-q")
        assert (done.code, done.json["kind"], done.json["item"]["status"]) == (0, "Run", "completed")
        other = saga("run", "parcel", "--input", "to=Bea", "--wait=25", "-q")
        assert (other.code, other.out.endswith(": ASKING, waiting, waits for approval by sender (0/1)\n")) == (8, True)
        undone = saga("cancel", other.out.split(":")[0], "--yes", "--wait=25")
        assert (undone.code, undone.out.splitlines()[-1].split(": ")[1]) == (5, "RETURNED, cancelled")
    finally:
        worker.terminate()
        assert worker.communicate(timeout=30) == ("", "")
    assert worker.returncode == 0


@pytest.mark.parametrize("length", ["300", "5m", "forever"])
def test_a_wait_with_a_blank_before_its_time_is_refused_and_takes_no_run_for_it(saga: Place, length: str) -> None:
    name = saga.started(to="Ann")
    other = saga("run", "parcel", "--input", "to=Bea", "--key", length, "-q").out.strip()
    refused = Done(2, "", f"error: --wait takes its time behind an equals sign\nhint:  write --wait={length}\n")
    assert saga("cancel", name, "--yes", "--wait", length) == refused
    assert saga("run", "parcel", "--input", "to=Cid", "--wait", length) == refused
    assert [states(saga, run)[0] for run in (name, other)] == ["ASKING", "PACKING"]
    assert len(saga("list", "--json").json["items"]) == 2
    assert saga("cancel", "--wait", name, "--yes", "--dry-run").code == 0
    assert "no such option '--wait'" in saga("show", "--wait", length).err.lower()
    assert saga("pause", length, "--dry-run").out == f"{other}: would be paused, in PACKING\n"


def test_one_time_is_for_all_runs_that_are_waited_for(saga: Place) -> None:
    names = [saga("run", "parcel", "--input", f"to={number}", "-q").out.strip() for number in range(4)]
    began = time.monotonic()
    done = saga("resume", *names, "--wait=1", "-q", "--json")
    took = time.monotonic() - began
    assert (done.code, [run["name"] for run in done.json["items"]], 1 <= took < 3) == (124, names, True)


BROKEN_STORE = """
from saga_engine.errors import StoreDamaged
from saga_engine.runtime.engine import Engine

def broken(*_given, **_more):
    raise StoreDamaged(url="sqlite:///saga.db", reason="I/O error")

Engine.workers = Engine.resolve_name = Engine.get = broken
"""


def test_a_start_that_is_recorded_is_told_whatever_fails_behind_it(saga: Place) -> None:
    started = saga.patched(BROKEN_STORE, "run", "parcel", "--input", "to=Ann")
    name = started.out.strip()
    assert (started.code, started.err) == (
        0, f"note:  PACKING, running, waits for a worker; saga show {name} --watch\n",
    )  # fmt: skip
    assert saga("show", "@last", "--json").json["item"]["name"] == name
    waited = saga.patched(BROKEN_STORE, "run", "parcel", "--input", "to=Bea", "--wait=1")
    name = saga("show", "@last", "--json").json["item"]["name"]
    assert (waited.code, waited.out) == (9, "")
    assert waited.err.splitlines()[0] == f"note:  {name} is started; saga show {name} --watch"


NO_LOOK = """
from saga_engine.errors import StoreDamaged
from saga_engine.runtime.engine import Engine

def broken(*_given, **_more):
    raise StoreDamaged(url="sqlite:///saga.db", reason="I/O error")

Engine.get = broken
"""


def test_what_is_recorded_is_told_though_the_wait_for_it_fails(saga: Place) -> None:
    """Who is told that nothing was changed does it again."""
    first, second, third = (saga.started(to=f"Ann {number}") for number in range(3))
    one = saga.patched(NO_LOOK, "cancel", first, "--yes", "--wait=1", "--json")
    assert (one.code, one.out) == (9, "")
    assert one.err.splitlines()[0] == f"note:  {first}: cancelled is recorded; saga show {first} --watch"
    two = saga.patched(NO_LOOK, "cancel", second, third, "--yes", "--wait=1")
    assert (two.code, two.out) == (9, "")
    assert two.err.splitlines()[:2] == [
        f"note:  {name}: cancelled is recorded; saga show {name} --watch" for name in (second, third)
    ]
    states = {saga("show", name, "--json").json["item"]["state"] for name in (first, second, third)}
    assert states == {"ROLLING_BACK"}
    again = saga.patched(NO_LOOK, "cancel", first, "--yes", "--wait=1")
    assert (again.code, "is recorded" in again.err) == (9, False)


def test_braces_in_what_is_asked_about_are_text(saga: Place) -> None:
    name = saga.started(to="Ann")
    for command in (("rollback", name, "--to", "{}{0}{x}"), ("reconcile", name, "--settled", "{}{0}{x}")):
        with saga.terminal(*command) as terminal:
            terminal.until("? [y/N]: ")
            terminal.type("n")
            assert terminal.end() == 2
        assert ("{}{0}{x}" in terminal.seen, name in terminal.seen) == (True, True)


def test_what_is_settled_is_said_of_exactly_one_run(saga: Place) -> None:
    first, second = saga.started(to="Ann"), saga.started(to="Bea")
    for given, count in (("", "none is"), (f"{first}\n{second}\n", "2 are")):
        assert saga("reconcile", "-", "--settled", "x", "--yes", stdin=given) == Done(
            2,
            "",
            f"error: --settled is said of one run, and here {count} named\nhint:  saga reconcile RUN --settled TASK\n",
        )


def test_names_that_are_not_text_are_refused_and_nothing_is_done(saga: Place) -> None:
    name = saga.started(to="Ann")
    shell = ["sh", "-c", f"printf '{name}\\n\\377\\n' | {sys.executable} -m saga_engine pause -"]
    strict = {**saga.environment, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(shell, cwd=saga.folder, env=strict, capture_output=True, text=True, check=False)
    assert Done(done.returncode, done.stdout, done.stderr) == Done(
        2,
        "",
        "error: standard input is no text in UTF-8\nhint:  names of runs come one on a line: saga list -o jsonl\n",
    )
    assert saga("show", name, "--json").json["item"]["paused"] is False


def test_an_event_wakes_a_waiting_run_and_counts_once_with_its_key(saga: Place) -> None:
    name = saga.started("local=false", to="Ann")
    late = saga("send", name, "courier", "--data", "name=Max", "--data", "bikes=two")
    assert (late.code, late.out) == (2, "")
    assert "courier cannot be sent with this payload: bikes: Input should be a valid integer" in late.err
    bare = saga("send", name, "courier")
    assert bare.err.splitlines() == [
        "error: courier cannot be sent with this payload: name: Field required",
        f"hint:  saga send {name} courier --data '{{\"name\": …}}'",
    ]
    assert bare.err.splitlines()[1].split("hint:  ")[1] in saga("why", name).out, "as why says it"
    sent = saga("send", name, "courier", "--data", "name=Max", "--data", "bikes=2", "--key", "c-1")
    assert sent == Done(0, f"{name}: courier sent, COURIER → ASKING\n", "")
    again = saga("send", name, "courier", "--data", '{"name": "Max", "bikes": 2}', "--key", "c-1", "--json")
    assert (again.code, again.err) == (0, "note:  an event with the key c-1 has arrived already\n")
    assert again.json["item"]["note"] == "an event with the key c-1 has arrived already"
    assert kinds(saga, name).count("EventReceived") == 1
    assert saga("send", name, "abort").code == 7


# --- deciding


def test_a_verdict_needs_what_was_seen(saga: Place) -> None:
    name = saga.started(to="Ann")
    before = saga("show", name, "--json").json
    assert saga("approve", name) == Done(
        2,
        "",
        "error: there is no terminal to ask at: say what you have seen with --shown DIGEST\n"
        f"hint:  saga approvals {name} -o json shows what waits, with its digest\n",
    )
    assert saga("approve", name, "--yes") == Done(
        2,
        "",
        "error: --yes does not say what you have seen: --shown DIGEST does\n"
        f"hint:  saga approvals {name} -o json shows what waits, with its digest\n",
    )
    assert saga("approve", name, "--shown", "0" * 64) == Done(
        7,
        "",
        f"error: what you were shown is not what waits now; look again and decide on that\nhint:  saga why {name}\n",
    )
    assert saga("show", name, "--json").json == before


def test_who_comes_second_reads_who_decided_and_when(saga: Place) -> None:
    name = saga.started(to="Ann")
    digest = saga.digest(name)
    first = saga("approve", name, "--shown", digest[:12], "--reason", "weight is right")
    assert first == Done(0, f"{name}: approved, ASKING → SHIPPING\n", "")
    second = saga("reject", name, "--shown", digest)
    error, hint = second.err.splitlines()
    assert (second.code, second.out, hint) == (7, "", f"hint:  saga show {name}")
    assert error.startswith(f"error: {name} was already approved by {ME} at 2")
    assert error.endswith(" UTC: weight is right")
    assert kinds(saga, name).count("VerdictGiven") == 1


def test_who_is_not_in_the_role_may_look_and_not_decide(saga: Place) -> None:
    name = saga.started(to="Ann")
    settings = saga.folder / "saga.toml"
    settings.write_text(settings.read_text().replace(f'sender = ["{ME}"]', 'sender = ["ann"]'))
    assert saga("approvals", "--mine", "--json").json["items"] == []
    refused = saga("approve", name, "--shown", saga.digest(name))
    assert (refused.code, refused.out) == (4, "")
    assert refused.err.startswith(f"error: {ME} is not in role sender")


def test_a_rejection_leads_back(saga: Place) -> None:
    name = saga.started(to="Ann")
    rejected = saga("reject", name, "--shown", saga.digest(name), "--reason", "too heavy", "--json")
    item = rejected.json["item"]
    assert (rejected.json["kind"], item["source"], item["state"]) == ("Reply", "ASKING", "ROLLING_BACK")
    saga.work()
    assert states(saga, name) == ("RETURNED", "rolled_back")


# --- repairing


def test_what_is_parked_is_tried_again_once_it_is_mended(saga: Place) -> None:
    name = saga.started("fail=weigh", to="Ann")
    assert saga("retry", name, "--dry-run") == Done(0, f"{name}: would be tried again, in WEIGHING\n", "")
    assert states(saga, name) == ("WEIGHING", "parked")
    (saga.folder / "mended").touch()
    assert saga("retry", name, "--reason", "tape bought") == Done(0, f"{name}: tried again, in WEIGHING\n", "")
    saga.work()
    assert states(saga, name) == ("ASKING", "waiting")
    assert "tried again by " in saga("history", name).out


def test_a_step_in_doubt_is_resolved_with_its_result(saga: Place) -> None:
    name = saga.started("fail=weigh", to="Ann")
    bad = saga("resolve", name, "--done", "--evidence", "seen", "--result", '{"grams": "x"}')
    assert (bad.code, bad.out, "Weight" in bad.err) == (2, "", True)
    assert states(saga, name) == ("WEIGHING", "parked")
    done = saga("resolve", name, "--done", "--evidence", "scales say so", "--result", '{"grams": 3, "to": "Ann"}')
    assert done == Done(0, f"{name}: resolved, WEIGHING → ASKING\n", "")
    assert saga("resolve", name, "--evidence", "x") == Done(
        2, "", f"error: say what you have found: --done or --not-done\nhint:  saga why {name}\n"
    )


def test_a_step_with_a_result_is_not_skipped(saga: Place) -> None:
    name = saga.started("fail=weigh", to="Ann")
    done = saga("skip", name, "--reason", "never mind", "--yes")
    assert (done.code, done.out) == (7, "")
    assert "WEIGHING cannot be skipped: what follows needs its result" in done.err
    assert states(saga, name) == ("WEIGHING", "parked")


def test_an_undo_that_fails_is_skipped_by_a_person(saga: Place) -> None:
    file = saga.folder / "workflows" / "parcel.py"
    once = file.read_text().replace(".undo(unpack)", ".undo(unpack, retry=Retry(1))")
    file.write_text(once.replace("Outcome, Saga", "Outcome, Retry, Saga"))
    name = saga.started("fail=unpack", to="Ann")
    saga("cancel", name, "--yes", "-q")
    saga.work()
    assert states(saga, name) == ("ROLLING_BACK", "parked")
    assert saga("skip", name, "--reason", "done by hand", "--yes").code == 0
    saga.work()
    assert states(saga, name) == ("RETURNED", "cancelled")


def test_pause_holds_and_resume_lets_go(saga: Place) -> None:
    name = saga("run", "parcel", "--input", "to=Ann", "-q").out.strip()
    assert saga("pause", name, "--reason", "lunch") == Done(0, f"{name}: paused, in PACKING\n", "")
    again = saga("pause", name)
    assert again == Done(0, f"{name}: nothing done, in PACKING\n", "note:  the run is paused already\n")
    saga.work()
    assert states(saga, name) == ("PACKING", "running")
    assert saga("resume", name, "--wait=0", "-q").code == 124
    saga.work()
    assert states(saga, name) == ("ASKING", "waiting")


def test_what_cannot_be_taken_back_is_asked_for(saga: Place) -> None:
    name = saga.started(to="Ann")
    asked = {
        ("cancel", name): "say --yes",
        ("rollback", name): "say --yes, or --plan to see what would be undone",
        ("skip", name, "--reason", "x"): "say --yes",
    }
    for command, hint in asked.items():
        assert saga(*command) == Done(
            2,
            "",
            f"error: this needs to be confirmed, and there is no terminal to ask at\nhint:  {hint}\n",
        )
    assert states(saga, name) == ("ASKING", "waiting")


def test_a_plan_of_a_rollback_changes_nothing_and_is_what_happens(saga: Place) -> None:
    name = saga.started(to="Ann")
    plan = saga("rollback", name, "--plan", "--json").json
    item = plan["item"]
    assert (plan["kind"], item["state"], item["via"], item["ends_in"]) == (
        "RollbackPlan", "ASKING", "ROLLING_BACK", "RETURNED",
    )  # fmt: skip
    assert [(step["state"], step["outcome"], step["undo"]) for step in item["steps"]] == [("PACKING", "done", "unpack")]
    assert saga("rollback", name, "--plan").out.splitlines()[0] == (
        f"{name} would go ASKING → ROLLING_BACK → RETURNED, and undo, in this order:"
    )
    assert states(saga, name) == ("ASKING", "waiting")
    back = saga("rollback", name, "--to", "PACKING", "--yes", "--reason", "pack again")
    assert back == Done(0, f"{name}: rolled back, ASKING → ROLLING_BACK\n", "")
    saga.work()
    assert states(saga, name) == ("ASKING", "waiting")
    assert saga("rollback", name, "--yes").code == 0
    saga.work()
    assert states(saga, name) == ("RETURNED", "rolled_back")
    ended = saga("rollback", name, "--yes")
    assert ended == Done(7, "", f"error: {name} has ended: rolled_back in RETURNED.\nhint:  saga history {name}\n")


def test_a_plan_where_nothing_has_begun_says_so_and_is_what_happens(saga: Place) -> None:
    name = saga("run", "parcel", "--input", "to=A", "-q").out.strip()
    for where in (("--plan",), ("--to", "PACKING", "--plan")):
        planned = saga("rollback", name, *where)
        assert (planned.code, planned.err) == (0, ""), planned
    assert saga("rollback", name, "--plan").out == (
        f"{name} would go PACKING → ROLLING_BACK → RETURNED; nothing has to be undone\n"
    )
    assert saga("rollback", name, "--yes") == Done(0, f"{name}: rolled back, PACKING → RETURNED\n", "")
    assert states(saga, name) == ("RETURNED", "rolled_back")


def test_names_from_standard_input_are_acted_on_one_after_the_other(saga: Place) -> None:
    first, second = saga.started("fail=weigh", to="Ann"), saga.started("fail=weigh", to="Bea")
    lines = saga("list", "--status", "parked", "-o", "jsonl").out
    (saga.folder / "mended").touch()
    done = saga("retry", "-", "--json", stdin=lines)
    assert (done.code, done.json["kind"]) == (0, "ReplyList")
    assert [reply["run"] for reply in done.json["items"]] == [second, first]
    saga("pause", second, "-q")
    names = saga("pause", "-", stdin=f"{first}\n\n{second}\n")
    assert (names.code, names.err) == (0, "")
    assert [line.split() for line in names.out.splitlines()[1:]] == [
        [first, "WEIGHING", "WEIGHING", "running,", "paused"],
        [second, "WEIGHING", "WEIGHING", "running,", "paused", "the", "run", "is", "paused", "already"],
    ]
    assert saga("retry", "-", stdin="") == Done(0, "", "nothing was done\n")
    assert saga("retry", "-", stdin='{"name": "x"}\n').code == 2


def test_nothing_is_done_where_one_of_the_names_is_unknown(saga: Place) -> None:
    name = saga.started(to="Ann")
    for done in (
        saga("pause", "-", stdin=f"{name}\nnope\n"),
        saga("cancel", name, "nope", "--yes"),
        saga("rollback", name, "nope", "--yes"),
        saga("reconcile", name, "nope", "--yes"),
    ):
        assert done == Done(3, "", "error: No run is called nope.\nhint:  saga list\n")
    assert kinds(saga, name)[-1] == "ActionSucceeded"


def test_a_run_that_is_rolled_back_already_is_told_so_and_nothing_is_done(saga: Place) -> None:
    name = saga.started(to="Ann")
    saga("rollback", name, "--yes", "-q")
    note = "the run is rolling back already; nothing to do"
    assert saga("rollback", name, "--plan").out.splitlines()[0] == (
        f"{name}: {note}. It goes ROLLING_BACK → RETURNED, and undoes, in this order:"
    )
    plan = saga("rollback", name, "--plan", "--json").json["item"]
    assert (plan["note"], [step["state"] for step in plan["steps"]]) == (note, ["PACKING"])
    for verb in ("rollback", "cancel"):
        again = saga(verb, name, "--yes")
        assert again == Done(0, f"{name}: nothing done, in ROLLING_BACK\n", f"note:  {note}\n")
    assert saga("cancel", name, "--yes", "--json").json["item"]["changed"] is False


# --- the names of runs


def test_a_run_is_found_by_each_of_its_names(saga: Place) -> None:
    saga.started(to="Zoe")
    name = saga("run", "parcel", "--input", "to=Ann", "--key", "may 1", "-q").out.strip()
    item = saga("show", name, "--json").json["item"]
    suffix = name.rpartition("-")[2]
    upper = name.upper().replace("PARCEL", "parcel")
    for typed in (item["id"], suffix, upper, name[:-1], name[:-2], "@parcel", "may 1", "@last"):
        assert saga("show", typed, "--json").json["item"] == item, typed
    for typed in (name[:-3], f"other-{suffix}", f"other-{suffix[:-1]}"):
        assert saga("show", typed).code == 3, typed


def test_last_is_the_run_that_this_user_touched_in_this_store(saga: Place) -> None:
    first, second = saga.started(to="Ann"), saga.started(to="Bea")
    assert saga("why", first).code == 0
    assert saga("show", "@last", "--json").json["item"]["name"] == first
    assert saga("show", "@parcel", "--json").json["item"]["name"] == second
    other = f"sqlite:///{saga.folder}/other.db"
    assert saga("--store", other, "db", "upgrade", "-q").code == 0
    assert saga("--store", other, "show", "@last") == Done(
        3, "", "error: @last is no run yet: you have touched none in this store\nhint:  saga list\n"
    )


def test_nobody_needs_a_state_folder(saga: Place) -> None:
    (saga.folder.parent / "no").write_text("a file where a folder would have to be")
    elsewhere = {"XDG_STATE_HOME": str(saga.folder.parent / "no")}
    name = saga("run", "parcel", "--input", "to=Ann", "-q", **elsewhere).out.strip()
    assert saga("show", name, **elsewhere).code == 0
    assert saga("show", "@last", **elsewhere).code == 3


def test_a_name_that_fits_several_runs_is_refused_with_them(saga: Place) -> None:
    names = [saga("run", "parcel", "--input", f"to={number}", "-q").out.strip() for number in range(3)]
    ids = [saga("show", name, "--json").json["item"]["id"] for name in names]
    shared = next(ids[0][:length] for length in range(12, 2, -1) if all(i.startswith(ids[0][:length]) for i in ids))
    done = saga("show", shared)
    assert (done.code, done.out) == (2, "")
    assert f"{shared} fits several runs: " in done.err
    assert all(name in done.err for name in names)


def test_json_of_a_list_can_be_read_line_by_line(saga: Place) -> None:
    saga.started(to="Ann")
    saga.started(to="Bea")
    watching = saga.start("list", "--watch", "-o", "jsonl")
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline())["state"] for _ in range(2)]
    watching.terminate()
    watching.communicate(timeout=30)
    assert lines == ["ASKING", "ASKING"]
