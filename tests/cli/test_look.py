"""Looking: what is data, in which forms, and that it is the same data in each."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from typing import Any

import pytest

from saga_engine.settings import system_user
from tests.cli.place import ANSI, Place

RUN_FIELDS = {
    "id", "name", "saga", "version", "key", "state", "status", "paused", "revision", "input", "results", "waiting_on",
    "created_at", "updated_at",
}  # fmt: skip
APPROVAL_FIELDS = {"run", "state", "role", "need", "have", "digest", "shows", "expires_at"}
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.mark.durable  # else `saga doctor` finds fault
def test_every_look_has_an_envelope_and_no_colours(any_saga: Place) -> None:
    saga = any_saga
    name = saga.started(to="Ann")
    lists = {
        ("list",): "RunList",
        ("approvals",): "ApprovalList",
        ("approvals", "--mine"): "ApprovalList",
        ("workers",): "WorkerList",
        ("history", name): "HistoryList",
        ("why", "--all"): "WhyList",
        ("doctor",): "SymptomList",
        ("config", "show"): "SettingList",
        ("check",): "FindingList",
    }
    singles = {
        ("show", name): "Run",
        ("why", name): "Why",
        ("status",): "Status",
        ("rollback", name, "--plan"): "RollbackPlan",
        ("db", "current"): "Schema",
    }
    for command, kind in (lists | singles).items():
        done = saga(*command, "--json", "-q")
        assert (done.code, done.err, done.json["schema"], done.json["kind"]) == (0, "", "saga/v1", kind), command
        assert set(done.json) == {"schema", "kind"} | ({"items", "next"} if command in lists else {"item"}), command
        plain = saga(*command)
        assert (plain.code, ANSI.findall(plain.out + plain.err)) == (0, []), command


def test_a_run_has_the_fields_that_programs_were_promised(saga: Place) -> None:
    name = saga.started("grams=750", to="Ann")
    item = saga("show", name, "--json").json["item"]
    line = saga("list", "--json").json["items"][0]
    assert RUN_FIELDS - set(item) == set()
    assert {field: item[field] for field in line if field != "waiting_on"} == {
        field: value for field, value in line.items() if field != "waiting_on"
    }
    assert item["input"] == {"to": "Ann", "grams": 750, "labels": [], "local": True, "fail": "", "slow": 0.0}
    assert item["results"] == {"PACKING": None, "WEIGHING": {"grams": 750, "to": "Ann"}}
    assert (item["state"], item["status"], item["version"], item["key"]) == ("ASKING", "waiting", 1, None)
    assert [UTC.fullmatch(item[field]) is not None for field in ("created_at", "updated_at", "entered_at")] == [
        True
    ] * 3


def test_an_approval_has_the_fields_that_programs_were_promised(saga: Place) -> None:
    name = saga.started("grams=750", to="Ann")
    (item,) = saga("approvals", "--json").json["items"]
    assert APPROVAL_FIELDS - set(item) == set()
    told = {field: item[field] for field in ("run", "state", "role", "need", "have", "shows", "leads_to")}
    assert told == {
        "run": name,
        "state": "ASKING",
        "role": "sender",
        "need": 1,
        "have": 0,
        "shows": {"grams": 750, "to": "Ann"},
        "leads_to": "SHIPPING",
    }
    assert re.fullmatch("[0-9a-f]{64}", item["digest"]) is not None


def test_json_lines_and_csv_hold_what_json_holds(saga: Place) -> None:
    saga.started(to="Ann")
    saga.started(to="Bea")
    items = saga("list", "--json").json["items"]
    lines = saga("list", "-o", "jsonl").out.splitlines()
    rows = list(csv.DictReader(io.StringIO(saga("list", "-o", "csv").out)))
    assert [json.loads(line) for line in lines] == items
    assert [list(row) for row in rows] == [list(item) for item in items]
    assert [row["name"] for row in rows] == [item["name"] for item in items]
    assert [(row["key"], row["paused"], row["revision"]) for row in rows] == [("", "false", "3")] * 2


def test_an_empty_list_is_data_too(saga: Place) -> None:
    assert saga("db", "upgrade", "-q").code == 0
    assert saga("list") == (0, "", "no runs\n")
    assert saga("list", "-q") == (0, "", "")
    assert saga("list", "--json").json == {"schema": "saga/v1", "kind": "RunList", "items": [], "next": None}
    assert saga("list", "-o", "jsonl") == (0, "", "")
    assert saga("list", "-o", "csv").out.startswith("id,name,saga,version,key,state,status,")


def test_a_list_is_filtered_and_paged(saga: Place) -> None:
    first, second = saga.started(to="Ann"), saga.started("local=false", to="Bea")
    third = saga.started("fail=pack", to="Cid")

    def names(*wanted: str) -> list[str]:
        return [item["name"] for item in saga("list", *wanted, "--json").json["items"]]

    assert names() == [third, second, first]
    assert names("--state", "COURIER") == [second]
    assert names("--status", "rolled_back") == [third]
    assert (names("--live"), names("--ended")) == ([second, first], [third])
    assert (names("--since", "1h"), names("--since", "2100-01-01")) == ([third, second, first], [])
    assert names("--saga", "parcel", "--limit", "1") == [third]
    page = saga("list", "--limit", "2", "--json").json
    rest = saga("list", "--limit", "2", "--page", page["next"], "--json").json
    assert ([item["name"] for item in rest["items"]], rest["next"]) == ([first], None)


def test_the_table_names_runs_states_and_what_they_wait_for(saga: Place) -> None:
    name = saga.started(to="Ann")
    head, line = saga("list").out.splitlines()
    assert head.split() == ["RUN", "STATE", "STATUS", "STARTED", "WAITS", "FOR"]
    assert line.split()[:3] == [name, "ASKING", "waiting"]
    assert "approval by sender" in line
    assert "ID" in saga("list", "-o", "wide").out.splitlines()[0].split()


def test_the_picture_of_a_run(saga: Place) -> None:
    name = saga.started(to="Ann")
    lines = saga("show", name).out.splitlines()
    words = [line.split("  ")[0] for line in lines]
    assert words[:5] == ["Run", "State", "Path", "Can undo", "Recent"]
    assert re.fullmatch(rf"Run +{name}   saga parcel v1   by \w+", lines[0])
    assert re.fullmatch(r"State +ASKING   waiting   .+ deadline .+ UTC → ROLLING_BACK", lines[1])
    assert re.fullmatch(r"Path +PACKING ✓ \d+s ─▶ WEIGHING ✓ \d+s ─▶ ASKING ● \d+s ─▶ SHIPPING ─▶ DELIVERED", lines[2])
    assert lines[3] == "Can undo   yes: PACKING; point of no return: SHIPPING"
    assert lines[-1] == f"saga history {name}    saga why {name}"
    wide = saga("show", name, "-o", "wide").out
    assert 'Input      {"fail": "", "grams": 500, "labels": [], "local": true, "slow": 0.0, "to": "Ann"}\n' in wide
    assert 'Result     WEIGHING: {"grams": 500, "to": "Ann"}' in wide


def test_the_history_tells_what_happened_and_what_followed(saga: Place) -> None:
    name = saga.started("fail=pack", to="Ann")
    told = [re.split(r" {2,}", line, maxsplit=2)[1:] for line in saga("history", name).out.splitlines()]
    assert told == [
        [f"started by {system_user()}", "→ PACKING"],
        ["PACKING failed: RuntimeError: no tape for \\x1b[31mAnn\\x1b[0m", "→ ROLLING_BACK (failed)"],
        ["the undo of PACKING succeeded", "→ RETURNED; ended rolled_back"],
    ]


def test_the_history_as_json_is_the_journal(saga: Place) -> None:
    name = saga.started(to="Ann")
    done = saga("history", name, "--json").json
    kinds = [line["kind"] for line in done["items"]]
    assert kinds == ["RunStarted", "ActionSucceeded", "ActionSucceeded"]
    assert done["items"][0]["commands"][0] == {
        "kind": "Move", "source": "", "target": "PACKING", "visit": 1, "because": "start",
    }  # fmt: skip
    page = saga("history", name, "--limit", "2", "--json").json
    rest = saga("history", name, "--after", page["next"], "--json").json
    assert page["items"] + rest["items"] == done["items"]


def test_history_follows_a_run_to_its_end(saga: Place) -> None:
    name = saga.started(to="Ann")
    following = saga.start("history", name, "-f")
    assert following.stdout is not None
    first = following.stdout.readline()
    assert saga("approve", name, "--shown", saga.digest(name)).code == 0
    saga.work()
    out, err = following.communicate(timeout=30)
    assert ("started by" in first, following.returncode, err) == (True, 0, "")
    assert [line.split("→")[-1].strip() for line in out.splitlines()[-2:]] == ["SHIPPING", "DELIVERED; ended completed"]


def test_why_names_the_reason_and_the_commands(saga: Place) -> None:
    name = saga.started(to="Ann")
    item: dict[str, Any] = saga("why", name, "--json").json["item"]
    (reason,) = item["reasons"]
    assert (item["run"], item["state"], item["status"], reason["code"]) == (name, "ASKING", "waiting", "W03")
    text = saga("why", name).out
    assert f"{name} is in ASKING, waiting, for" in text
    assert f"saga approve {name} --reason …" in text
    assert saga("why", "--all").out.splitlines()[1].split()[:4] == [name, "ASKING", "waiting", "W03"]


def test_status_counts_and_names_what_needs_a_person(saga: Place) -> None:
    asks, parked = saga.started(to="Ann"), saga.started("fail=weigh", to="Bea")
    lines = [" ".join(line.split()) for line in saga("status").out.splitlines()]
    assert lines[:3] == ["SAGA STATE STATUS RUNS", "parcel ASKING waiting 1", "parcel WEIGHING parked 1"]
    assert lines[4] == "needs a person now"
    assert lines[5].startswith(f"{parked} parked in WEIGHING: ")
    assert lines[6].startswith(f"{asks} asks 1 of sender (0 given), expires in ")
    assert lines[-1] == "workers: none alive; saga worker starts one"


ALL_IN_SMALL_PAGES = """
from saga_engine.cli import here, look
from saga_engine.store import inspect
here.PAGE = inspect.OPEN_SHOWN = 2
look.PARKED_SHOWN = 1
"""


def test_no_list_ends_before_its_end_without_a_word(saga: Place) -> None:
    asking = [saga.started(to=f"Ann {number}") for number in range(3)]
    parked = [saga.started("fail=weigh", to=f"Bea {number}") for number in range(3)]
    why = saga.patched(ALL_IN_SMALL_PAGES, "why", "--all", "--json")
    assert [item["run"] for item in why.json["items"]] == [*reversed(parked), *reversed(asking)]
    mine = saga.patched(ALL_IN_SMALL_PAGES, "approvals", "--mine", "--json")
    assert (mine.code, mine.err, [gate["run"] for gate in mine.json["items"]]) == (0, "", asking)
    some = saga.patched(ALL_IN_SMALL_PAGES, "approvals")
    more = "more:  these are the first 2 to expire; saga approvals --mine goes through all\n"
    assert (some.err, [line.split()[0] for line in some.out.splitlines()[1:]]) == (more, asking[:2])
    told = saga.patched(ALL_IN_SMALL_PAGES, "status").out.splitlines()
    assert [line for line in told if line.startswith("  and ")] == [
        "  and 2 more that are parked    saga list --status parked",
        "  and more approvals    saga approvals --mine",
    ]
    data = saga.patched(ALL_IN_SMALL_PAGES, "status", "--json")
    assert (
        data.err
        == "more:  2 more that are parked; saga list --status parked\nmore:  more approvals; saga approvals --mine\n"
    )
    assert "  and " not in saga("status").out


PAGES_OF_TWO = """
from saga_engine.cli import history, look
look.PAGE = history.LINES_AT_ONCE = 2
"""


def test_lines_for_programs_go_on_to_the_last_unless_a_limit_is_given(saga: Place) -> None:
    """``saga list -o jsonl | saga retry -`` acts on all of them."""
    names = [saga.started(to=f"Ann {number}") for number in range(5)][::-1]
    lines = saga.patched(PAGES_OF_TWO, "list", "-o", "jsonl")
    assert ([json.loads(line)["name"] for line in lines.out.splitlines()], lines.err) == (names, "")
    rows = saga.patched(PAGES_OF_TWO, "list", "-o", "csv").out
    assert [row["name"] for row in csv.DictReader(io.StringIO(rows))] == names
    page = saga.patched(PAGES_OF_TWO, "list", "--json").json
    assert ([item["name"] for item in page["items"]], bool(page["next"])) == (names[:2], True)
    some = saga("list", "-o", "jsonl", "--limit", "3")
    assert (len(some.out.splitlines()), some.err[:23]) == (3, "more:  saga list --page")

    whole = saga("history", names[0], "--json").json["items"]
    lines = saga.patched(PAGES_OF_TWO, "history", names[0], "-o", "jsonl")
    assert ([json.loads(line) for line in lines.out.splitlines()], lines.err) == (whole, "")
    rows = saga.patched(PAGES_OF_TWO, "history", names[0], "-o", "csv", "--after", "1").out
    assert [row["revision"] for row in csv.DictReader(io.StringIO(rows))] == ["2", "3"]
    some = saga("history", names[0], "-o", "csv", "--limit", "2")
    assert (len(some.out.splitlines()), some.err) == (3, f"more:  saga history {names[0]} --after 2\n")


def test_json_does_not_speak_to_a_terminal(saga: Place) -> None:
    name = saga.started(to="Ann")
    reason = "a \x9b2J \u202e b \x1b \U000e0041 é 中 🚚"
    assert saga("pause", name, "--reason", reason).code == 0
    for form in ("json", "jsonl"):
        told = saga("history", name, "-o", form).out
        assert [char for char in told if not char.isprintable() and char != "\n"] == []
        assert "\\u009b2J \\u202e b \\u001b \\udb40\\udc41 é 中 🚚" in told
    assert saga("history", name, "--json").json["items"][-1]["event"]["reason"] == reason


def test_a_command_that_is_offered_can_be_pasted(saga: Place) -> None:
    assert saga("run", "parcel", "--input", "to=Ann", "--key", "may 1", "--work", "-q").code == 8
    some = saga("history", "may 1", "--limit", "2")
    assert some.err == "more:  saga history 'may 1' --after 2\n"


def test_a_line_of_the_history_is_one_line_whatever_a_reason_holds(saga: Place) -> None:
    name = saga.started(to="Ann")
    forged = "lunch\n2026-11-23 07:22:41 UTC  approved by ann\r\n\u2028second\tthird\x1b[2J"
    assert saga("pause", name, "--reason", forged).code == 0
    lines = len(saga("history", name, "--json").json["items"])
    for command in (("history", name), ("history", name, "-o", "wide")):
        told = saga(*command).out
        assert len(told.split("\n")) == len(told.splitlines()) + 1 == lines + 1, told
        assert "lunch; 2026-11-23 07:22:41 UTC  approved by ann; second" in told.splitlines()[-1]
    assert [line for line in saga("show", name).out.splitlines() if line.startswith("2026-11-23")] == []


def test_graph_draws_no_conclusion_from_a_store_that_it_cannot_read(saga: Place) -> None:
    (saga.folder / ".saga" / "saga.db").write_text("not a database, only words, and enough of them for a page\n" * 99)
    assert (saga("graph", "parcel").code, saga("graph", "parcel-7f3k2").code) == (0, 9)
    (saga.folder / ".saga" / "saga.db").unlink()
    missing = saga("graph", "parcle")
    assert (missing.code, missing.err.splitlines()[0]) == (
        3, "error: No saga and no run is called parcle. Did you mean parcel?",
    )  # fmt: skip


def test_graph_says_that_nothing_is_called_so_where_no_store_is_made_yet(any_saga: Place) -> None:
    missing = any_saga("graph", "parcle")
    assert (missing.code, missing.err.splitlines()[0]) == (
        3, "error: No saga and no run is called parcle. Did you mean parcel?",
    )  # fmt: skip


def test_watch_without_a_terminal_prints_each_change_once(saga: Place) -> None:
    name = saga.started(to="Ann")
    watching = saga.start("show", name, "--watch", "-o", "jsonl")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    assert saga("reject", name, "--shown", saga.digest(name), "--reason", "too heavy").code == 0
    saga.work()
    out, err = watching.communicate(timeout=30)
    states = [json.loads(line)["state"] for line in out.splitlines()]
    assert (first["state"], states[-1], watching.returncode, err) == ("ASKING", "RETURNED", 0, "")
    assert [line for line, before in pairwise(out.splitlines()) if line == before] == []


def test_an_encoding_that_lacks_a_character_breaks_nothing(saga: Place) -> None:
    name = saga.started(to="Łódź 🙂")
    plain, plain_err = saga.start("show", name, PYTHONIOENCODING="ascii").communicate(timeout=30)
    data, data_err = saga.start("show", name, "--json", PYTHONIOENCODING="ascii").communicate(timeout=30)
    assert (plain_err, data_err, json.loads(data)["item"]["input"]["to"]) == ("", "", "Łódź 🙂")
    assert re.search(r"PACKING ok \d+s -> WEIGHING ok \d+s -> ASKING \* \d+s -> SHIPPING", plain) is not None
    early = saga("run", "parcel", "--input", "to=Ann", "-q").out.strip()
    shown, _ = saga.start("show", early, PYTHONIOENCODING="ascii").communicate(timeout=30)
    assert "PACKING * 0s -> WEIGHING -> COURIER -> || ASKING -> SHIPPING" in re.sub(r"\* \d+s", "* 0s", shown)


def test_progress_is_drawn_with_what_the_encoding_has(saga: Place) -> None:
    name = saga("run", "parcel", "--input", "to=Ann", "--input", "slow=30", "-q").out.strip()
    worker = saga.start("worker")
    try:
        watching = saga.start("show", name, "--watch", "-o", "jsonl")
        assert watching.stdout is not None
        assert any(json.loads(line)["tasks"][0]["progress"] for line in watching.stdout)
        plain, _ = saga.start("show", name, PYTHONIOENCODING="ascii").communicate(timeout=30)
    finally:
        for process in (watching, worker):
            process.kill()
            process.communicate()
    assert re.search(r"Progress +#*\.+  \d/4 sheets", plain) is not None, plain


def test_graph_draws_a_saga_and_where_a_run_is(saga: Place) -> None:
    name = saga.started(to="Ann")
    assert saga("graph", "parcel").out.splitlines()[0] == "parcel v1"
    assert saga("graph", name).out.splitlines()[0] == "parcel v1, in ASKING"
    assert saga("graph", "parcel", "-o", "mermaid").out.startswith("stateDiagram-v2\n")
    assert saga("graph", "parcel", "-o", "dot").out.startswith('digraph "parcel" {\n')
    assert saga("graph", "parcle") == (
        3, "", "error: No saga and no run is called parcle. Did you mean parcel?\nhint:  saga list\n"
    )  # fmt: skip


def test_an_output_that_a_command_lacks_is_refused_by_name(saga: Place) -> None:
    done = saga("list", "-o", "mermaid")
    assert (done.code, done.out) == (2, "")
    assert "mermaid is no output of saga list; it has table, wide, json, jsonl, csv" in done.err


def test_global_options_stand_before_and_after_the_command(saga: Place) -> None:
    saga.started(to="Ann")
    assert saga("--json", "list").json == saga("list", "--json").json
    assert saga("-o", "csv", "list", "-o", "json").json == saga("list", "--json").json
    other = f"sqlite:///{saga.folder}/other.db"
    assert saga("--store", other, "db", "upgrade").code == 0
    assert saga("list", "--store", other, "--json").json["items"] == []
    assert saga("list", "--json", SAGA_STORE=other).json["items"] == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("rollback", "--yes", "--reason", "wrong box"), 'rolled back by {user}: "wrong box"'),
        (("cancel", "--yes", "--reason", "no need"), 'cancelled by {user}: "no need"'),
        (("reject", "--shown", "{digest}", "--reason", "too heavy"), 'rejected by {user}: "too heavy"'),
    ],
)
def test_why_tells_what_a_run_turned_back_for(saga: Place, asked: tuple[str, ...], told: str) -> None:
    name = saga.started(to="Ann")
    verb, *flags = (word.format(digest=saga.digest(name)) for word in asked)
    assert saga(verb, name, *flags).code == 0
    back = saga("why", name).out.splitlines()[2]
    assert back.startswith("BACK  ")
    assert told.format(user=system_user()) in back
    saga.work()
    first, empty, same = saga("why", name).out.splitlines()
    assert first.startswith(f"{name} is in RETURNED, ")
    assert (empty, same) == ("", back)


def test_why_tells_what_made_a_run_that_never_began_end(saga: Place) -> None:
    name = saga("run", "parcel", "--input", "to=A", "-q").out.strip()
    assert saga("cancel", name, "--yes", "--reason", "twice").code == 0
    assert f'cancelled by {system_user()}: "twice"' in saga("why", name).out.splitlines()[2]


def test_why_of_a_run_that_completed_has_nothing_to_tell(saga: Place) -> None:
    name = saga.started(to="Ann")
    saga("approve", name, "--shown", saga.digest(name))
    saga.work()
    [line] = saga("why", name).out.splitlines()
    assert line.startswith(f"{name} is in DELIVERED, completed, for ")


def test_a_wait_for_a_run_that_did_not_complete_says_where_to_look(saga: Place) -> None:
    name = saga.started(to="Ann")
    saga("cancel", name, "--yes")
    saga.work()
    done = saga("resume", name, "--wait")
    assert done.code == 7
    again = saga("run", "parcel", "--input", "to=Bo", "--input", "fail=pack", "--work", "--wait=20s")
    assert again.code in {5, 8}
    assert again.err.splitlines()[-1].startswith("hint:  saga why parcel-")
